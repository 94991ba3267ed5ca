"""Bring one node up: its switch, its kernel's network, its DNS, its pods."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.emulation.announce import announce
from testbed.emulation.machines import Machine, node_run_dir
from testbed.emulation.pods import configure_pods, ready_veths
from testbed.emulation.ports import node_bridges
from testbed.emulation.services import serving, started
from testbed.emulation.wiring import Datapath
from testbed.errors import SwitchError
from testbed.host.dns import dnsmasq_configuration, hosts_file, node_resolv_conf
from testbed.host.egress import egress_addresses, marks_by_sender
from testbed.host.iptables import node_rules
from testbed.host.links import assign_egress_ips, hide_from_kernel, node_links
from testbed.host.names import underlay_mac
from testbed.ovs import Appctl, Switch, configure, start_daemons
from testbed.pipeline import node_flows
from testbed.process import end, runs, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from testbed.model import Cluster, HostSubnet

_TIMEOUT = 60.0
NAMES = "dnsmasq.hosts"
"""The file of names that a node's dnsmasq serves, in the node's run directory."""

_DNSMASQ = "dnsmasq.conf"

FRAGMENTS = "nx-match"
"""How br0 matches fragments (ovs-ofctl(8)); ovs-vswitchd keeps it in memory."""

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
        bridges = node_bridges(build.cluster, build.node, build.datapath)
        configure(daemons.database_socket, bridges, build.ovs_version)
        _configure_kernel(build)
        switch = Switch(run_dir=build.run_dir)
        switch.set_fragment_handling(FRAGMENTS)
        switch.replace_flows(node_flows(build.cluster, build.node))
        configure_pods(
            build.cluster,
            build.node,
            build.cluster.pods_on(build.node),
            machines=build.machines,
            datapath=build.datapath,
        )
        if build.datapath is Datapath.NETDEV:
            introduce_peers(build.cluster, build.node, daemons.control_socket)
        stack.enter_context(_dnsmasq(build))
        yield


def _configure_kernel(build: NodeBuild) -> None:
    machine, cluster, node = build.machine, build.cluster, build.node
    if build.datapath is Datapath.NETDEV:
        machine.configure_links(hide_from_kernel([build.datapath.uplink]))
    ready_veths(machine, cluster.pods_on(node), build.datapath)
    egress_ips = egress_addresses(cluster, node)
    machine.configure_links(
        f"link set {build.datapath.uplink} up\n"
        + node_links(cluster, node)
        + assign_egress_ips(cluster, egress_ips)
    )
    for ip in egress_ips:
        announce(machine, ip)
    machine.run("iptables-restore", stdin=node_rules(cluster, node))
    machine.write_sysctls(_SYSCTLS)
    machine.replace_file("/etc/resolv.conf", node_resolv_conf(node))
    machine.bind(build.run_dir, "/run/openvswitch")
    if build.datapath is Datapath.NETDEV:
        machine.run("iptables-restore", stdin=marks_by_sender(cluster, node))
        machine.run("ethtool", "-K", build.datapath.uplink, "tx", "off")


def introduce_peers(cluster: Cluster, node: HostSubnet, control_socket: Path) -> None:
    """Tell userspace tunnelling who is where, and wait until it knows the route.

    Without this the first packet to each peer waits a second for ARP.
    """
    with Appctl(control_socket) as appctl:
        appctl("tnl/neigh/aging", _NEIGHBOUR_AGING)
        for peer in cluster.peers(node):
            introduce_peer(appctl, peer)


def introduce_peer(appctl: Appctl, peer: HostSubnet) -> None:
    """Tell userspace tunnelling where one peer is, and wait for the route to it."""
    appctl("tnl/neigh/set", "eth0", str(peer.host_ip), underlay_mac(peer.host_ip))
    wait_until(
        lambda: _has_route(appctl, peer),
        timeout=_TIMEOUT,
        what=f"ovs-vswitchd has a route to {peer.name}",
    )


def _has_route(appctl: Appctl, peer: HostSubnet) -> bool:
    try:
        return "dev eth0" in appctl("ovs/route/lookup", str(peer.host_ip))
    except SwitchError:
        return False  # how it says that there is none yet


@contextlib.contextmanager
def _dnsmasq(build: NodeBuild) -> Iterator[None]:
    names = build.run_dir / NAMES
    names.write_text(hosts_file(build.cluster))
    (build.run_dir / _DNSMASQ).write_text(dnsmasq_configuration(names))
    command = _dnsmasq_argv(build.run_dir)
    with serving(build.machine, command, ports=[53]) as process:
        pid_file = build.run_dir / "dnsmasq.pid"
        pid_file.write_text(str(process.pid))
        try:
            yield
        finally:
            pid = dnsmasq_pid(build.run_dir)
            if pid != process.pid and runs(pid, str(build.run_dir)):
                end(pid)  # it has been restarted


def _dnsmasq_argv(run_dir: Path) -> list[str]:
    # Without --no-daemon it would give up groups, which a user namespace forbids.
    return ["dnsmasq", "--no-daemon", f"--conf-file={run_dir / _DNSMASQ}"]


def dnsmasq_pid(run_dir: Path) -> int:
    """The process id of a node's dnsmasq, as it was when it was started."""
    return int((run_dir / "dnsmasq.pid").read_text())


def restart_dnsmasq(machine: Machine, run_dir: Path) -> None:
    """Start a node's dnsmasq again, and return when it serves.

    Raises:
        EmulationError: it did not come up.
    """
    pid = started(machine, _dnsmasq_argv(run_dir), ports=[53])
    (run_dir / "dnsmasq.pid").write_text(str(pid))


def reread_names(run_dir: Path, cluster: Cluster) -> None:
    """Have a node's dnsmasq serve the names of a cluster that has changed.

    One that is dead will, when it is started again.
    """
    (run_dir / NAMES).write_text(hosts_file(cluster))
    pid = dnsmasq_pid(run_dir)
    if runs(pid, str(run_dir)):
        os.kill(pid, signal.SIGHUP)
