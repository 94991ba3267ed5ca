"""Addresses that two have, and neighbours that are remembered wrongly."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from ipaddress import IPv4Address  # noqa: TC003 - pydantic reads it
from typing import TYPE_CHECKING, Self

from testbed.emulation.announce import announce
from testbed.emulation.wiring import Datapath
from testbed.errors import NotFoundError
from testbed.faults.devices import noted_routes, restore_routes, routes_of
from testbed.faults.fault import Fault, PodFault
from testbed.host.egress import egress_addresses
from testbed.host.links import assign_egress_ips, release_egress_ips
from testbed.host.names import underlay_mac
from testbed.openflow import matches
from testbed.ovs import Appctl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testbed.emulation.machines import Machine
    from testbed.faults.site import Site
    from testbed.model import Cluster
    from testbed.openflow import Flow

_MATCH_OF = {
    "arp_spa": matches.arp_spa,
    "arp_sha": matches.arp_sha,
    "arp_tpa": matches.arp_tpa,
    "nw_src": matches.nw_src,
    "nw_dst": matches.nw_dst,
}
"""How a pod's flows match its address, by the field's name."""

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True, kw_only=True)
class DuplicatePodIP(PodFault):
    """A pod was given an address that another pod has (BZ1395183).

    Its eth0 has that address and the MAC that goes with it, and br0 its flows. Where
    the other pod is on the same node, what is sent to the address now gets here. The
    objects, and so iptables and policies, still have it at its own: kube-proxy knows
    which endpoints are its node's by their ``nodeName``.

    Attributes:
        ip: that address.
    """

    ip: IPv4Address

    @property
    def told(self) -> str:
        """Who has which."""
        return f"{self.pod} on {self.on} has the address {self.ip}, which is another's"

    def check(self, cluster: Cluster) -> None:
        """See that another pod has the address."""
        other = cluster.pod_at(self.ip)
        if other is None:
            raise NotFoundError(f"{self.kind}: no pod has the address {self.ip}")
        if other.key == self.pod:
            raise NotFoundError(f"{self.kind}: {self.ip} is the address of {self.pod}")

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """The flows, the pod's for that address.

        Of two that are for the same packets, this pod's: it came later.
        """
        kept: dict[tuple[int, str], Flow] = {}
        for flow in computed:
            is_own = flow.made_by == f"Pod {self.pod}"
            has = self._readdressed(flow) if is_own else flow
            key = int(has.table), has.selector
            if is_own or key not in kept:
                kept[key] = has
        return tuple(kept.values())

    def _readdressed(self, flow: Flow) -> Flow:
        names = (item.partition("=")[0] for item in flow.match)
        match = tuple(
            _MATCH_OF[name](self.ip) if name in _MATCH_OF else item
            for name, item in zip(names, flow.match, strict=True)
        )
        return dataclasses.replace(flow, match=match)

    def inject(self, site: Site) -> Mapping[str, object]:
        """Exchange address and MAC."""
        machine = site.machines[site.pod_machine(self.pod)]
        pod = site.cluster.pod(self.pod)
        memo = {"ip": str(pod.ip), "mac": pod.mac, "routes": routes_of(machine, "eth0")}
        mac = dataclasses.replace(pod, ip=self.ip).mac
        length = site.node(self.node).subnet.prefixlen
        _readdress(machine, f"{self.ip}/{length}", mac)
        own = f"src {pod.ip} "
        routes = [r.replace(own, f"src {self.ip} ") for r in noted_routes(memo)]
        restore_routes(machine, "eth0", routes)
        return memo

    def undo(self, site: Site, memo: Mapping[str, object]) -> None:
        """Exchange them back, unless the pod is gone or another by now."""
        machine = site.machines.get(site.pod_machine(self.pod))
        pods = {pod.key: pod for pod in site.cluster.pods}
        pod = pods.get(self.pod)
        if machine is None or pod is None or str(pod.ip) != memo["ip"]:
            return
        length = site.node(self.node).subnet.prefixlen
        _readdress(machine, f"{memo['ip']}/{length}", str(memo["mac"]))
        restore_routes(machine, "eth0", noted_routes(memo))


@dataclass(frozen=True, kw_only=True)
class ArpStale(Fault):
    """A pod or a node remembers a MAC for an address that is not the address's.

    It remembers it for good, where a kernel would ask again after some minutes.

    Attributes:
        pod: the pod that does (``namespace/name``); empty if it is the node itself.
        ip: the address: a pod's or a gateway's, for a node also another node's.
        mac: the MAC, as ``0a:58:0a:80:00:99``.
    """

    pod: str = ""
    ip: IPv4Address
    mac: str

    @property
    def told(self) -> str:
        """Who remembers what."""
        return f"{self.pod or self.on} remembers {self.ip} at {self.mac}"

    def resolved(self, cluster: Cluster) -> Self:
        """The same with all names in full."""
        if not self.pod:
            return super().resolved(cluster)
        node = PodFault(node=self.node, pod=self.pod).resolved(cluster).node
        return dataclasses.replace(self, node=node)

    def check(self, cluster: Cluster) -> None:
        """See that it is a MAC, and an address on a wire of the one who remembers."""
        if not _MAC.fullmatch(self.mac):
            raise NotFoundError(
                f"{self.kind}: mac must be one as 0a:58:0a:80:00:99, in lower case"
            )
        in_cluster = any(self.ip in cidr for cidr in cluster.cidrs)
        if not in_cluster and (self.pod or self.ip not in cluster.underlay.subnet):
            raise NotFoundError(
                f"{self.kind}: {self.ip} is on no wire of {self.pod or self.node}"
            )

    def inject(self, site: Site) -> Mapping[str, object]:
        """Write it down where it is looked up."""
        machine, device = self._where(site)
        shown = json.loads(
            machine.run(
                "ip",
                "-json",
                "neigh",
                "show",
                str(self.ip),
                "dev",
                device,
                "nud",
                "permanent",
            )
        )
        machine.configure_links(
            f"neigh replace {self.ip} lladdr {self.mac} dev {device} nud permanent\n"
        )
        self._tell_tunnels(site, self.mac)
        return {"permanent": shown[0]["lladdr"] if shown else None}

    def undo(self, site: Site, memo: Mapping[str, object]) -> None:
        """Have it asked for anew, or what was there before."""
        if self.pod and site.pod_machine(self.pod) not in site.machines:
            return  # it went with the pod
        machine, device = self._where(site)
        machine.configure_links(
            f"neigh replace {self.ip} lladdr {memo['permanent']} dev {device} "
            "nud permanent\n"
            if memo["permanent"]
            else f"neigh del {self.ip} dev {device}\n"
        )
        self._tell_tunnels(site, underlay_mac(self.ip))

    def recall(self, site: Site, memo: Mapping[str, object]) -> None:
        """Tell userspace tunnelling once more."""
        del memo
        self._tell_tunnels(site, self.mac)

    def _where(self, site: Site) -> tuple[Machine, str]:
        if self.pod:
            return site.machines[site.pod_machine(self.pod)], "eth0"
        in_cluster = any(self.ip in cidr for cidr in site.cluster.cidrs)
        return site.machine(self.node), "tun0" if in_cluster else "eth0"

    def _tell_tunnels(self, site: Site, mac: str) -> None:
        """Userspace tunnelling looks up its peers by itself."""
        peers = {peer.host_ip for peer in site.cluster.peers(site.node(self.node))}
        if self.pod or site.datapath is Datapath.SYSTEM or self.ip not in peers:
            return
        with Appctl(site.daemons(self.node).control_socket) as appctl:
            appctl("tnl/neigh/set", "eth0", str(self.ip), mac)


@dataclass(frozen=True, kw_only=True)
class EgressIpStale(Fault):
    """A node still has an egress IP on eth0 that is another node's now (BZ1762235).

    Two nodes answer ARP for it; whom the gateway believes is chance. This one has said
    so last.

    Attributes:
        ip: the egress IP.
    """

    ip: IPv4Address

    @property
    def told(self) -> str:
        """Which address."""
        return f"{self.on} still has the egress IP {self.ip}"

    def check(self, cluster: Cluster) -> None:
        """See that it is an egress IP of another node."""
        if self.ip in egress_addresses(cluster, cluster.node(self.node)):
            raise NotFoundError(f"{self.kind}: {self.node} is to have {self.ip}")
        there = [
            str(ip) for node in cluster.nodes for ip in egress_addresses(cluster, node)
        ]
        if str(self.ip) not in there:
            raise NotFoundError(
                f"{self.kind}: {self.ip} is no egress IP; there are: "
                f"{', '.join(there) or 'none'}"
            )

    def inject(self, site: Site) -> Mapping[str, object]:
        """Give eth0 the address."""
        machine = site.machine(self.node)
        machine.configure_links(assign_egress_ips(site.cluster, [self.ip]))
        announce(machine, self.ip)
        return {}

    def undo(self, site: Site, memo: Mapping[str, object]) -> None:
        """Take it away, and have its node say that it is there."""
        del memo
        holders = [
            node
            for node in site.cluster.nodes
            if self.ip in egress_addresses(site.cluster, node)
        ]
        if self.node not in [node.name for node in holders]:
            links = release_egress_ips(site.cluster, [self.ip])
            site.machine(self.node).configure_links(links)
        for node in holders:
            announce(site.machine(node.name), self.ip)


def _readdress(machine: Machine, address: str, mac: str) -> None:
    machine.configure_links(
        f"addr flush dev eth0\nlink set eth0 address {mac}\n"
        f"addr add {address} brd + dev eth0\n"
    )
