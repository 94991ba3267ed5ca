"""Make a running cluster into another one, and touch only what differs.

The SDN's own order: ports and addresses first, then the flows of each node as one
bundle in which untouched flows keep their counters, then iptables in one transaction
per table. What is running afterwards is what a fresh build would run, but for faults
that are wanted: a lesson, a customer's bug, a proof that a scenario can fail.

Source: openshift/origin release-3.11 pkg/network/node (pod.go, subnets.go, egressip.go)
"""

from __future__ import annotations

import concurrent.futures
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from testbed.emulation import machines
from testbed.emulation.announce import announce
from testbed.emulation.machines import Kind, node_run_dir
from testbed.emulation.nodes import introduce_peer, reread_names
from testbed.emulation.pods import configure_pods, ready_veths
from testbed.emulation.ports import pod_port
from testbed.emulation.programming import (
    is_deaf,
    programmed_flows,
    programmed_rules,
)
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
from testbed.host.egress import egress_addresses
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
from testbed.pipeline import cluster_flows
from testbed.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testbed.emulation.machines import Machine
    from testbed.emulation.programming import Fault
    from testbed.model import Cluster, HostSubnet, Pod
    from testbed.openflow import Flow
    from testbed.pipeline import ClusterFlows


def change_cluster(
    before: Cluster, after: Cluster, *, faults: Sequence[Fault] = ()
) -> None:
    """Change the cluster that runs in this sandbox.

    Args:
        before: what it is.
        after: what it is to be.
        faults: what is wrong with its nodes, before and after.

    Raises:
        EmulationError: it differs in something that takes a fresh build.
        SwitchError, CommandError: a node refused its part; others may have done theirs.
    """
    refuse_rebuilds(before, after)
    refuse_the_deaf(before, after, faults)
    check_switches(before, faults)
    _Change(before, after, tuple(faults)).make()


def check_switches(cluster: Cluster, faults: Sequence[Fault] = ()) -> None:
    """See that every node's switch runs, before a change is begun.

    Nodes that are deaf because of one of the ``faults`` are passed over.

    Raises:
        SwitchError: a daemon has died.
    """
    for node in cluster.nodes:
        if is_deaf(node, faults):
            continue
        SwitchDaemons(run_dir=node_run_dir(node)).check()


def refuse_the_deaf(before: Cluster, after: Cluster, faults: Sequence[Fault]) -> None:
    """Say which change takes an ovs-vswitchd that answers, and one does not.

    Flows and rules a node gets when it hears again; ports it cannot be given later.

    Raises:
        EmulationError: there is one.
    """
    had = {_identity(pod): pod.node for pod in _plugged(before)}
    has = {_identity(pod): pod.node for pod in _plugged(after)}
    replugged = {(had | has)[identity] for identity in had.keys() ^ has.keys()}
    addresses = [node.host_ip for node in before.nodes]
    for node in before.nodes:
        if not is_deaf(node, faults):
            continue
        if node.name in replugged:
            raise EmulationError(
                f"no pod comes to {node.name} or goes from there while its "
                "ovs-vswitchd does not answer; clear that fault first"
            )
        if [other.host_ip for other in after.nodes] != addresses:
            raise EmulationError(
                f"no node moves while ovs-vswitchd of {node.name} does not answer; "
                "clear that fault first"
            )


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
    faults: tuple[Fault, ...]

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
        self._forget(moved)
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
                    had=earlier,
                    has=flows,
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

    def _forget(self, moved: Sequence[tuple[HostSubnet, HostSubnet]]) -> None:
        """Have the underlay switch forget addresses, which others may take over."""
        ports = {mac: name for name, mac in switch_ports(self.before).items()}
        macs = [underlay_mac(old.host_ip) for old, _ in moved]
        lines = [f"fdb del {mac} dev {ports[mac]} master\n" for mac in macs]
        if lines:
            run(["bridge", "-n", SWITCH, "-batch", "-"], stdin="".join(lines))

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
        forwarding = switch_forwarding({port: mac})
        run(["bridge", "-n", SWITCH, "-batch", "-"], stdin=forwarding)
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

    def _update(  # noqa: PLR0913 - a node before and after
        self,
        node: HostSubnet,
        come: Sequence[Pod],
        *,
        running: Mapping[str, Machine],
        datapath: Datapath,
        had: ClusterFlows,
        has: ClusterFlows,
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
        if not is_deaf(node, self.faults):
            self._change_flows(node, had.of(old), has.of(node))
        for old_rules, rules in zip(
            programmed_rules(self.before, old, datapath, self.faults),
            programmed_rules(self.after, node, datapath, self.faults),
            strict=True,
        ):
            if old_rules != rules:
                machine.run("iptables-restore", stdin=rules)
        for options in stale_conversations(self.before, self.after, node):
            _forget_conversations(machine, options)
        if hosts_file(self.after) != hosts_file(self.before):
            reread_names(run_dir, self.after)

    def _change_flows(
        self, node: HostSubnet, had: tuple[Flow, ...], has: tuple[Flow, ...]
    ) -> None:
        old = self.before.node(node.name)
        flows = programmed_flows(self.after, node, self.faults, has)
        if flows != programmed_flows(self.before, old, self.faults, had):
            Switch(run_dir=node_run_dir(node)).replace_flows(flows)

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
