"""From an import's directory to a replay. Reads files, and is pure beyond that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.replay.collected import collection
from testbed.replay.kernels import kernel_faults, with_faults
from testbed.replay.plan import NodeText, Replay
from testbed.replay.ports import plugged
from testbed.topology import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from testbed.model import Cluster

_FEW = 5
"""Nodes that are named where there are many."""

_COMPUTED = {
    "addresses": "addresses (but for tun0's MTU)",
    "conntrack": "connections",
    "neighbours": "neighbours",
    "routes": "routes",
    "sysctl": "sysctls (but for ip_forward)",
}
"""Texts of a node that an import keeps, and what a replay does not look at in them."""


def replay(directory: Path) -> Replay:
    """Read an import's directory, and plan its replay.

    Raises:
        NotFoundError: it is none.
        DumpError: a file of it cannot be read, or holds what is no flow.
        TopologyError: its objects describe no possible cluster.
    """
    found = collection(directory)
    topology = load(found.topology)
    names = {node.name for node in topology.cluster.nodes}
    known = [node for node in found.nodes if node.name in names]
    remarks = [
        f"{directory / 'nodes' / node.name}: the topology has no node of that name; "
        "not replayed"
        for node in found.nodes
        if node.name not in names
    ]
    ready = plugged(topology, known)
    nodes = []
    for node in known:
        flows = ready.flows.get(node.name)
        nodes.append(
            NodeText(
                name=node.name,
                flows=None
                if node.flows is None or flows is None
                else tuple(
                    (placed.place, flow)
                    for placed, flow in zip(node.flows, flows, strict=True)
                ),
                rules=None if node.rules is None else node.rules.text,
                rules_file=str(directory / "nodes" / node.name / "iptables"),
            )
        )
        remarks += node.remarks
    remarks += ready.remarks
    faults = []
    for name in sorted(names):
        folder = directory / "nodes" / name
        for place, fault in kernel_faults(topology.cluster, name, folder):
            faults.append(fault)
            remarks.append(f"{place}: {fault.told}")
    return Replay(
        source=str(directory.absolute()),
        topology=with_faults(ready.topology, faults),
        nodes=tuple(nodes),
        remarks=(*remarks, *_not_replayed(topology.cluster, nodes, directory)),
    )


def _not_replayed(
    cluster: Cluster, nodes: Sequence[NodeText], directory: Path
) -> Iterator[str]:
    """Yield what the cluster has of 3.11's instead of the customer's."""
    for what, has in (
        ("flows", {node.name for node in nodes if node.flows is not None}),
        ("iptables", {node.name for node in nodes if node.rules is not None}),
    ):
        without = [node.name for node in cluster.nodes if node.name not in has]
        if without:
            shown = ", ".join(without[:_FEW])
            more = f" and {len(without) - _FEW} more" if len(without) > _FEW else ""
            yield (
                f"{what} of {shown}{more} were not collected; there they are what 3.11 "
                "would program"
            )
    others = {
        _COMPUTED[path.name]
        for node in nodes
        for path in (directory / "nodes" / node.name).iterdir()
        if path.name in _COMPUTED
    }
    if others:
        yield f"collected and not replayed: {', '.join(sorted(others))}"
