"""Bring one node up: its switch, its kernel's network, its DNS, its pods."""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.emulation.machines import Machine, node_run_dir
from testbed.emulation.services import serving
from testbed.emulation.wiring import Datapath, pod_machine
from testbed.host.dns import (
    dnsmasq_configuration,
    hosts_file,
    node_resolv_conf,
    pod_resolv_conf,
)
from testbed.host.iptables import node_rules
from testbed.host.links import hide_from_kernel, node_links, pod_links
from testbed.host.names import sandbox_id, underlay_mac, veth_name
from testbed.openflow import OFPort
from testbed.ovs import Appctl, Bridge, Port, Switch, configure, start_daemons
from testbed.pipeline import node_flows
from testbed.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from testbed.model import Cluster, HostSubnet

_TIMEOUT = 10.0
_NEIGHBOUR_AGING = "3600"
"""Seconds that userspace tunnelling remembers an idle peer: the most it allows."""

_SYSCTLS = {"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.route_localnet": "1"}
"""ip_forward is the installer's doing, route_localnet kube-proxy's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeBuild:
    """What it takes to bring up one node of a cluster."""

    cluster: Cluster
    node: HostSubnet
    machines: Mapping[str, Machine]
    datapath: Datapath
    database: Path
    ovs_version: str

    @property
    def machine(self) -> Machine:
        """The node's own machine."""
        return self.machines[self.node.name]

    @property
    def run_dir(self) -> Path:
        """The node's files; inside the node it is also /run/openvswitch."""
        return node_run_dir(self.node)


@contextlib.contextmanager
def running_node(build: NodeBuild) -> Iterator[None]:
    """Run a node until the ``with`` block ends.

    Raises:
        SwitchError: Open vSwitch did not come up or refused a flow.
        CommandError: the kernel refused an address, a route or a rule.
    """
    build.run_dir.mkdir()
    with contextlib.ExitStack() as stack:
        daemons = stack.enter_context(
            start_daemons(
                build.run_dir, database=build.database, enter=build.machine.argv()
            )
        )
        configure(daemons.database_socket, _bridges(build), build.ovs_version)
        _configure_kernel(build)
        switch = Switch(run_dir=build.run_dir)
        switch.set_fragment_handling("nx-match")
        switch.replace_flows(node_flows(build.cluster, build.node))
        _configure_pods(build)
        if build.datapath is Datapath.NETDEV:
            _introduce_peers(build, daemons.control_socket)
        stack.enter_context(_dnsmasq(build))
        yield


def _bridges(build: NodeBuild) -> list[Bridge]:
    """br0 as the SDN sets it up, and under userspace tunnelling eth0 around the wire.

    Source: openshift/origin release-3.11 pkg/network/node/ovscontroller.go (SetupOVS,
    SetUpPod).
    """
    cluster, node = build.cluster, build.node
    br0 = Bridge(
        name="br0",
        datapath_type=build.datapath.value,
        fail_mode="secure",
        protocols=("OpenFlow13",),
        ports=(
            Port(
                name="vxlan0",
                type="vxlan",
                ofport=OFPort.VXLAN0,
                options={
                    "remote_ip": "flow",
                    "key": "flow",
                    "dst_port": str(cluster.network.vxlan_port),
                },
            ),
            Port(
                name="tun0",
                type="internal",
                ofport=OFPort.TUN0,
                mtu=cluster.underlay.mtu,
            ),
            *(
                Port(
                    name=veth_name(pod),
                    ofport=pod.ofport,
                    external_ids={"sandbox": sandbox_id(pod), "ip": str(pod.ip)},
                )
                for pod in cluster.pods_on(node)
            ),
        ),
    )
    if build.datapath is Datapath.SYSTEM:
        return [br0]
    eth0 = Bridge(
        name="eth0",
        datapath_type=build.datapath.value,
        ports=(Port(name=build.datapath.uplink),),
        other_config={"hwaddr": underlay_mac(node.host_ip)},
    )
    return [br0, eth0]


def _configure_kernel(build: NodeBuild) -> None:
    machine = build.machine
    plugged = [
        build.datapath.uplink,
        *(veth_name(pod) for pod in build.cluster.pods_on(build.node)),
    ]
    if build.datapath is Datapath.NETDEV:
        machine.configure_links(hide_from_kernel(plugged))
    machine.configure_links(
        "".join(f"link set {interface} up\n" for interface in plugged)
        + node_links(build.cluster, build.node)
    )
    machine.run("iptables-restore", stdin=node_rules(build.cluster, build.node))
    machine.write_sysctls(_SYSCTLS)
    machine.replace_file("/etc/resolv.conf", node_resolv_conf(build.node))
    machine.bind(build.run_dir, "/run/openvswitch")
    if build.datapath is Datapath.NETDEV:
        machine.run("ethtool", "-K", build.datapath.uplink, "tx", "off")


def _configure_pods(build: NodeBuild) -> None:
    node = build.node
    for pod in build.cluster.pods_on(node):
        machine = build.machines[pod_machine(pod)]
        machine.configure_links(pod_links(build.cluster, node, pod))
        machine.replace_file("/etc/resolv.conf", pod_resolv_conf(node, pod))
        if build.datapath is Datapath.NETDEV:
            machine.run("ethtool", "-K", "eth0", "tx", "off")


def _introduce_peers(build: NodeBuild, control_socket: Path) -> None:
    """Tell userspace tunnelling who is where, and wait until it knows the route.

    Without this the first packet to each peer waits a second for ARP.
    """
    peers = build.cluster.peers(build.node)
    with Appctl(control_socket) as appctl:
        appctl("tnl/neigh/aging", _NEIGHBOUR_AGING)
        for peer in peers:
            appctl(
                "tnl/neigh/set", "eth0", str(peer.host_ip), underlay_mac(peer.host_ip)
            )
        for peer in peers:
            wait_until(
                functools.partial(_has_route, appctl, peer),
                timeout=_TIMEOUT,
                what=f"ovs-vswitchd of {build.node.name} has a route to {peer.name}",
            )


def _has_route(appctl: Appctl, peer: HostSubnet) -> bool:
    return "dev eth0" in appctl("ovs/route/lookup", str(peer.host_ip))


def _dnsmasq(build: NodeBuild) -> contextlib.AbstractContextManager[object]:
    configuration = build.run_dir / "dnsmasq.conf"
    names = build.run_dir / "dnsmasq.hosts"
    names.write_text(hosts_file(build.cluster))
    configuration.write_text(dnsmasq_configuration(names))
    # Without --no-daemon it would give up groups, which a user namespace forbids.
    command = ["dnsmasq", "--no-daemon", f"--conf-file={configuration}"]
    return serving(build.machine, command, ports=[53])
