"""Make a running cluster into another one, and touch only what differs.

The SDN's own order: ports and addresses first, then the flows of each node as one
bundle in which untouched flows keep their counters, then iptables in one transaction
per table. What is running afterwards is what a fresh build would run, but for a fault
that is wanted: a proof that a scenario can fail.

Source: openshift/origin release-3.11 pkg/network/node (pod.go, subnets.go, egressip.go)
"""

from __future__ import annotations

import concurrent.futures
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from testbed.emulation import machines
from testbed.emulation.announce import announce
from testbed.emulation.machines import Kind, node_run_dir
from testbed.emulation.nodes import introduce_peer, reread_names
from testbed.emulation.pods import configure_pods, ready_veths
from testbed.emulation.ports import pod_port
from testbed.emulation.start import start_machines, stop_machine
from testbed.emulation.wiring import (
    SWITCH,
    Datapath,
    pod_machine,
    pod_wire,
    switch_ports,
)
from testbed.errors import CommandError, EmulationError
from testbed.host.conntrack import stale_conversations
from testbed.host.dns import hosts_file, node_resolv_conf, pod_resolv_conf
from testbed.host.egress import egress_addresses, marks_by_sender
from testbed.host.iptables import node_rules
from testbed.host.links import assign_egress_ips, move_node, release_egress_ips
from testbed.host.names import underlay_mac, veth_name
from testbed.host.underlay import switch_forwarding
from testbed.ovs import (
    Appctl,
    Switch,
    SwitchDaemons,
    change_ports,
    set_hardware_address,
)
from testbed.pipeline import cluster_flows, node_flows
from testbed.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testbed.emulation.machines import Machine
    from testbed.model import Cluster, HostSubnet, Pod
    from testbed.openflow import Flow
    from testbed.pipeline import ClusterFlows


class Fault(Protocol):
    """What one node is programmed with in the place of what it should be."""

    @property
    def node(self) -> str:
        """The node's name."""

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """The flows for its br0 instead of those computed."""

    def rules(self, computed: str) -> str:
        """The input for its ``iptables-restore`` instead of that computed."""


def change_cluster(
    before: Cluster, after: Cluster, *, fault: Fault | None = None
) -> None:
    """Change the cluster that runs in this sandbox.

    Args:
        before: what it is.
        after: what it is to be.
        fault: what is wrong with one node, before and after.

    Raises:
        EmulationError: it differs in something that takes a fresh build.
        SwitchError, CommandError: a node refused its part; others may have done theirs.
    """
    refuse_rebuilds(before, after)
    check_switches(before)
    _Change(before, after, fault).make()


def break_node(cluster: Cluster, fault: Fault) -> None:
    """Program a node of a running cluster with a fault.

    Raises:
        FlowRejectedError, CommandError: Open vSwitch or iptables would not have it.
    """
    _program(cluster, fault, broken=True)


def mend_node(cluster: Cluster, fault: Fault) -> None:
    """Program a node that had a fault with what it should have."""
    _program(cluster, fault, broken=False)


def _program(cluster: Cluster, fault: Fault, *, broken: bool) -> None:
    node = cluster.node(fault.node)
    flows = node_flows(cluster, node)
    switch = Switch(run_dir=node_run_dir(node))
    switch.replace_flows(fault.flows(flows) if broken else flows)
    machine = next(item for item in machines.load() if item.name == node.name)
    for rules in _all_rules(cluster, node, Datapath(machines.load_datapath())):
        faulty = fault.rules(rules)
        if faulty != rules:
            machine.run("iptables-restore", stdin=faulty if broken else rules)


def _all_rules(cluster: Cluster, node: HostSubnet, datapath: Datapath) -> list[str]:
    """What a node's ``iptables-restore`` is fed with."""
    rules = [node_rules(cluster, node)]
    if datapath is Datapath.NETDEV:
        rules.append(marks_by_sender(cluster, node))
    return rules


def check_switches(cluster: Cluster) -> None:
    """See that every node's switch runs, before a change is begun.

    Raises:
        SwitchError: a daemon has died.
    """
    for node in cluster.nodes:
        SwitchDaemons(run_dir=node_run_dir(node)).check()


def refuse_rebuilds(before: Cluster, after: Cluster) -> None:
    """Say which difference only a fresh build can make.

    Raises:
        EmulationError: there is one.
    """

    def fixed(cluster: Cluster) -> dict[str, object]:
        underlay = cluster.underlay
        return {
            "the ClusterNetwork": cluster.network,
            "which HostSubnets there are, and their subnets": [
                (host.name, host.subnet, host.is_node) for host in cluster.host_subnets
            ],
            "a ghost's hostIP": [ghost.host_ip for ghost in cluster.ghosts],
            "the Underlay": replace(
                underlay,
                external_hosts=tuple(
                    replace(host, dns_names=()) for host in underlay.external_hosts
                ),
            ),
        }

    new = fixed(after)
    for what, value in fixed(before).items():
        if value != new[what]:
            raise EmulationError(
                f"{what} cannot change while a testbed runs; "
                "take it down and build it from the new objects"
            )


def _identity(pod: Pod) -> tuple[object, ...]:
    """What makes it the same pod, with the same port, before and after."""
    return (
        pod.key,
        pod.node,
        pod.ip,
        pod.ofport,
        pod.ingress_bandwidth,
        pod.egress_bandwidth,
    )


@dataclass(frozen=True)
class _Change:
    before: Cluster
    after: Cluster
    fault: Fault | None

    def make(self) -> None:
        running = {machine.name: machine for machine in machines.load()}
        datapath = Datapath(machines.load_datapath())
        had = {_identity(pod): pod for pod in _plugged(self.before)}
        has = {_identity(pod): pod for pod in _plugged(self.after)}
        gone = [pod for identity, pod in had.items() if identity not in has]
        come = [pod for identity, pod in has.items() if identity not in had]
        if gone or come:
            self._unplug(gone, running)
            started = _start_pods(self.after, come)
            stopped = {pod_machine(pod) for pod in gone}
            running = {
                name: machine
                for name, machine in running.items()
                if name not in stopped
            } | started
            machines.save(running.values(), datapath)
        moved = [
            (old, new)
            for old, new in zip(self.before.nodes, self.after.nodes, strict=True)
            if old.host_ip != new.host_ip
        ]
        for old, new in moved:
            self._move(old, new, running, datapath)
        earlier = cluster_flows(self.before)
        flows = cluster_flows(self.after, earlier)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            jobs = [
                pool.submit(
                    self._update,
                    node,
                    [pod for pod in come if pod.node == node.name],
                    running=running,
                    datapath=datapath,
                    flows=None if flows.of(node) == earlier.of(node) else flows,
                )
                for node in self.after.nodes
            ]
            for job in concurrent.futures.as_completed(jobs):
                job.result()
        if datapath is Datapath.NETDEV:
            for _, new in moved:
                self._introduce(new)

    def _unplug(self, pods: Sequence[Pod], running: Mapping[str, Machine]) -> None:
        for node in self.before.nodes:
            veths = [veth_name(pod) for pod in pods if pod.node == node.name]
            if veths:
                daemons = SwitchDaemons(run_dir=node_run_dir(node))
                change_ports(daemons.database_socket, "br0", removed=veths)
        for pod in pods:
            running[pod.node].configure_links(f"link del {veth_name(pod)}\n")
            stop_machine(running[pod_machine(pod)])

    def _move(
        self,
        old: HostSubnet,
        new: HostSubnet,
        running: Mapping[str, Machine],
        datapath: Datapath,
    ) -> None:
        """Give a node another address, and the MAC that goes with it."""
        machine, mac = running[new.name], underlay_mac(new.host_ip)
        # The MAC first: for a new one the interface goes down, and loses its routes.
        if datapath is Datapath.NETDEV:
            daemons = SwitchDaemons(run_dir=node_run_dir(new))
            set_hardware_address(daemons.database_socket, "eth0", mac)
        else:
            machine.configure_links(f"link set eth0 address {mac}\n")
        machine.configure_links(move_node(self.after, old, new))
        ports = switch_ports(self.after)
        port = next(name for name, owner in ports.items() if owner == mac)
        run(
            ["bridge", "-n", SWITCH, "-batch", "-"],
            stdin=f"fdb del {underlay_mac(old.host_ip)} dev {port} master\n"
            + switch_forwarding({port: mac}),
        )
        announce(machine, new.host_ip)
        machine.rewrite_file("/etc/resolv.conf", node_resolv_conf(new))
        for pod in self.after.pods_on(new):
            if pod_machine(pod) in running:
                running[pod_machine(pod)].rewrite_file(
                    "/etc/resolv.conf", pod_resolv_conf(new, pod)
                )

    def _introduce(self, moved: HostSubnet) -> None:
        """Tell userspace tunnelling on all sides where a moved node is."""
        for node in self.after.nodes:
            peers = (moved,) if node != moved else self.after.peers(moved)
            daemons = SwitchDaemons(run_dir=node_run_dir(node))
            with Appctl(daemons.control_socket) as appctl:
                for peer in peers:
                    introduce_peer(appctl, peer)

    def _update(
        self,
        node: HostSubnet,
        come: Sequence[Pod],
        *,
        running: Mapping[str, Machine],
        datapath: Datapath,
        flows: ClusterFlows | None,
    ) -> None:
        machine, run_dir = running[node.name], node_run_dir(node)
        old = self.before.node(node.name)
        if come:
            ready_veths(machine, come, datapath)
            daemons = SwitchDaemons(run_dir=run_dir)
            ports = [pod_port(pod) for pod in come]
            change_ports(daemons.database_socket, "br0", added=ports)
            configure_pods(self.after, node, come, machines=running, datapath=datapath)
        self._change_egress_ips(old, node, machine)
        fault = self.fault if self.fault and self.fault.node == node.name else None
        if flows:
            computed = flows.of(node)
            Switch(run_dir=run_dir).replace_flows(
                fault.flows(computed) if fault else computed
            )
        for had, has in zip(
            _all_rules(self.before, old, datapath),
            _all_rules(self.after, node, datapath),
            strict=True,
        ):
            if had != has:
                machine.run(
                    "iptables-restore", stdin=fault.rules(has) if fault else has
                )
        for options in stale_conversations(self.before, self.after, node):
            _forget_conversations(machine, options)
        if hosts_file(self.after) != hosts_file(self.before):
            reread_names(run_dir, self.after)

    def _change_egress_ips(
        self, old: HostSubnet, node: HostSubnet, machine: Machine
    ) -> None:
        had = egress_addresses(self.before, old)
        has = egress_addresses(self.after, node)
        added = [ip for ip in has if ip not in had]
        removed = [ip for ip in had if ip not in has]
        if added or removed:
            machine.configure_links(
                release_egress_ips(self.after, removed)
                + assign_egress_ips(self.after, added)
            )
        for ip in added:
            announce(machine, ip)


def _forget_conversations(machine: Machine, options: Sequence[str]) -> None:
    try:
        machine.run("conntrack", "-D", *options)
    except CommandError as error:
        if "0 flow entries have been deleted" not in error.stderr:
            raise


def _plugged(cluster: Cluster) -> list[Pod]:
    return [pod for pod in cluster.pods if not pod.host_network]


def _start_pods(cluster: Cluster, pods: Sequence[Pod]) -> dict[str, Machine]:
    started = start_machines([(Kind.POD, pod_machine(pod)) for pod in pods])
    wires = "".join(pod_wire(cluster, pod).creation for pod in pods)
    run(["ip", "-batch", "-"], stdin=wires)
    return started
