"""The ways of IP packets through pods' network, nodes' kernels and the wire.

A packet may take several: a pod's for a service enters its node's kernel, comes back
into the pods' network with another destination, and may leave it again on another node.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from testbed.model import HostSubnet, Plugin, Transport
from testbed.oracle.egress_ip import egress_ips_on
from testbed.oracle.expectation import Expectation, dropped, one_of, rejected
from testbed.oracle.isolation import may_reach
from testbed.oracle.packet import Entry
from testbed.oracle.places import belongs_to, is_for_pods, machine_at, subnet_owner
from testbed.oracle.service import why_unanswered
from testbed.oracle.translation import translation

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from testbed.model import Cluster
    from testbed.oracle.packet import Packet
    from testbed.oracle.translation import Target


def through_pods_network(cluster: Cluster, packet: Packet, vnid: int) -> Expectation:
    """To an address of the cluster network, from wherever in it, with that VNID."""
    owner = subnet_owner(cluster, packet.destination)
    if owner is None:
        return dropped("no node has this subnet")
    if not owner.is_node:
        seen = vnid if owner.fixed_vnid is None else owner.fixed_vnid
        return packet.received_by(owner, by="nothing protects a ghost", vnid=seen)
    if packet.destination == owner.gateway:
        return through_node(cluster, owner, packet, Entry.PODS)
    pod = cluster.pod_at(packet.destination)
    if pod is None:
        return dropped("no pod has this address")
    ruling = may_reach(cluster, pod, packet, vnid)
    if not ruling.allowed:
        return dropped(ruling.by, ruling.considered)
    return packet.received_by(
        pod, by=ruling.by, vnid=vnid, considered=ruling.considered
    )


def through_node(
    cluster: Cluster,
    node: HostSubnet,
    packet: Packet,
    entry: Entry,
    egress_ip: IPv4Address | None = None,
) -> Expectation:
    """Through a node's kernel: it may be for the node, for a pod or for the world.

    ``egress_ip`` is the address that the sender's namespace leaves by here.
    """
    kernel = _Kernel(cluster=cluster, node=node, entry=entry, egress_ip=egress_ip)
    return kernel.take(packet)


def on_the_wire(cluster: Cluster, packet: Packet) -> Expectation:
    """To whoever has the destination on the underlay or outside."""
    machine = machine_at(cluster, packet.destination)
    if machine is None:
        return dropped("no machine has this address")
    if isinstance(machine, HostSubnet) and machine.is_node:
        return through_node(cluster, machine, packet, Entry.WIRE)
    return packet.received_by(machine, by="nothing filters the sender")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kernel:
    """A node's kernel, as a packet meets it that came from ``entry``."""

    cluster: Cluster
    node: HostSubnet
    entry: Entry
    egress_ip: IPv4Address | None

    def take(self, packet: Packet) -> Expectation:
        found = translation(self.cluster, self.node, packet, self.entry)
        if isinstance(found, Expectation):
            return found
        if not found:
            return self._pass_on(packet, self._source(packet))
        if self.node.name in packet.translated_by:
            return dropped("a service that leads to itself")
        return one_of(self._translate(packet, target) for target in found)

    def _translate(self, packet: Packet, target: Target) -> Expectation:
        changed = replace(
            packet,
            destination=target.ip,
            dport=target.port,
            translated_by=packet.translated_by | {self.node.name},
        )
        if not target.masqueraded:
            return self._pass_on(changed, self._source(changed))
        if self.entry is Entry.SELF and self._is_own(target.ip):
            return self._keep(replace(changed, source=self.node.host_ip))
        return self._pass_on(changed, self._address_towards(target.ip))

    def _pass_on(self, packet: Packet, source: IPv4Address) -> Expectation:
        """The destination is final: keep it, or send it on with its new source."""
        if self._is_own(packet.destination):
            return self._keep(replace(packet, source=self._own_source(packet)))
        packet = replace(packet, source=source)
        if is_for_pods(self.cluster, packet.destination):
            return self._back_to_pods(packet)
        if packet.destination in self.cluster.network.service_network:
            return dropped(why_unanswered(self.cluster, packet))
        return on_the_wire(self.cluster, packet)

    def _keep(self, packet: Packet) -> Expectation:
        vxlan = (Transport.UDP, self.cluster.network.vxlan_port)
        peers = [peer.host_ip for peer in self.cluster.peers(self.node)]
        if (packet.transport, packet.dport) == vxlan and packet.source not in peers:
            return dropped("VXLAN from an address that no HostSubnet has")
        ip = packet.destination
        namespace = egress_ips_on(self.cluster, self.node).get(ip)
        if namespace is not None and self.entry is not Entry.PODS:
            return rejected(f"egress IP {ip} of {namespace} takes no new connections")
        return packet.received_by(self.node, by="nothing filters what is for a node")

    def _back_to_pods(self, packet: Packet) -> Expectation:
        """From tun0: ovs-networkpolicy knows its own pods again, others have VNID 0."""
        vnid = 0
        if (
            self.cluster.network.plugin is Plugin.NETWORKPOLICY
            and packet.source in self.node.subnet
            and packet.source != self.node.gateway
        ):
            sender = self.cluster.pod_at(packet.source)
            if sender is None:
                return dropped("no pod has the source address")
            vnid = self.cluster.vnid(sender.namespace)
        return through_pods_network(self.cluster, packet, vnid)

    def _source(self, packet: Packet) -> IPv4Address:
        """Pods are masqueraded; ovs-networkpolicy shows them to other pods."""
        if packet.source.is_loopback:
            return self._address_towards(packet.destination)
        if not is_for_pods(self.cluster, packet.source):
            return packet.source
        if self.egress_ip is not None:
            return self.egress_ip
        if self.cluster.network.plugin is Plugin.NETWORKPOLICY and is_for_pods(
            self.cluster, packet.destination
        ):
            return packet.source
        return self._address_towards(packet.destination)

    def _is_own(self, ip: IPv4Address) -> bool:
        return belongs_to(self.cluster, self.node, ip)

    def _own_source(self, packet: Packet) -> IPv4Address:
        """What the node sends to itself it masquerades, too, if it is from tun0."""
        if self.entry is not Entry.SELF or not is_for_pods(self.cluster, packet.source):
            return packet.source
        if self.cluster.network.plugin is Plugin.NETWORKPOLICY and is_for_pods(
            self.cluster, packet.destination
        ):
            return packet.source
        return self.node.host_ip

    def _address_towards(self, destination: IPv4Address) -> IPv4Address:
        """The address of the interface that leads to a destination."""
        if is_for_pods(self.cluster, destination):
            return self.node.gateway
        return self.node.host_ip
