"""What a node is programmed with: what is computed, or that with faults.

A fault is a function of what is computed, so it stays in whatever is applied. Several
are applied to each other's results, in the order in which they came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from testbed.emulation import machines
from testbed.emulation.machines import node_run_dir
from testbed.emulation.wiring import Datapath
from testbed.host.egress import marks_by_sender
from testbed.host.iptables import node_rules
from testbed.ovs import Switch
from testbed.pipeline import node_flows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbed.model import Cluster, HostSubnet
    from testbed.openflow import Flow


class Fault(Protocol):
    """What one node is programmed with in the place of what it should be."""

    @property
    def node(self) -> str:
        """The node's name."""

    @property
    def deaf(self) -> bool:
        """Whether the node's ovs-vswitchd takes no flows for as long as this is so."""

    def seen(self, cluster: Cluster) -> Cluster:
        """The objects as the node's SDN takes them to be."""

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """The flows for its br0 instead of those computed."""

    def rules(self, computed: str) -> str:
        """The input for its ``iptables-restore`` instead of that computed."""


def program_node(
    cluster: Cluster, name: str, before: Sequence[Fault], after: Sequence[Fault]
) -> None:
    """Program a node of a running cluster that has other faults than before.

    Flows that stay keep their counters. A node that is deaf gets none.

    Args:
        cluster: what the cluster is.
        name: the node's name.
        before: the faults that it had, in their order; other nodes' do not matter.
        after: the faults that it is to have.

    Raises:
        FlowRejectedError, CommandError: Open vSwitch or iptables would not have it.
    """
    node = cluster.node(name)
    datapath = Datapath(machines.load_datapath())
    if not is_deaf(node, after):
        flows = programmed_flows(cluster, node, after)
        Switch(run_dir=node_run_dir(node)).replace_flows(flows)
    machine = next(item for item in machines.load() if item.name == node.name)
    for had, has in zip(
        programmed_rules(cluster, node, datapath, before),
        programmed_rules(cluster, node, datapath, after),
        strict=True,
    ):
        if had != has:
            machine.run("iptables-restore", stdin=has)


def programmed_flows(
    cluster: Cluster,
    node: HostSubnet,
    faults: Sequence[Fault],
    computed: tuple[Flow, ...] | None = None,
) -> tuple[Flow, ...]:
    """The flows of a node with these faults.

    Args:
        cluster: what the cluster is.
        node: one of its nodes.
        faults: any node's faults, in the order in which they came.
        computed: what ``node_flows`` says, where it is known.
    """
    own, seen = _seen(cluster, node, faults)
    if seen is not cluster:
        flows = node_flows(seen, seen.node(node.name))
    else:
        flows = node_flows(cluster, node) if computed is None else computed
    for fault in own:
        flows = fault.flows(flows)
    return flows


def programmed_rules(
    cluster: Cluster, node: HostSubnet, datapath: Datapath, faults: Sequence[Fault]
) -> list[str]:
    """What a node's ``iptables-restore`` is fed with, one after the other."""
    own, seen = _seen(cluster, node, faults)
    node = seen.node(node.name)
    rules = [node_rules(seen, node)]
    if datapath is Datapath.NETDEV:
        rules.append(marks_by_sender(seen, node))
    for fault in own:
        rules = [fault.rules(text) for text in rules]
    return rules


def is_deaf(node: HostSubnet, faults: Sequence[Fault]) -> bool:
    """Whether a node takes no flows because of one of these faults."""
    return any(fault.node == node.name and fault.deaf for fault in faults)


def _seen(
    cluster: Cluster, node: HostSubnet, faults: Sequence[Fault]
) -> tuple[list[Fault], Cluster]:
    """A node's own faults, and the objects as it takes them to be."""
    own = [fault for fault in faults if fault.node == node.name]
    for fault in own:
        cluster = fault.seen(cluster)
    return own, cluster
