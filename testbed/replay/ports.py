"""Which number each port of br0 gets, so that collected flows mean what they meant.

A pod is plugged in where its flows deliver to it, as the import noted; then flows are
replayed word for word. Three things take another number:

* a pod whose flows point to a port that br0 did not have: they shall point to nothing
  here, too, so the pod gets a number that no flow names;
* a pod of which nothing says where it was plugged in: the same, or flows of a pod that
  is no more would find it;
* ``vxlan0`` and ``tun0``, where they were not 1 and 2: the flows are rewritten.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

from testbed.openflow import OFPort, Table
from testbed.topology.document import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from testbed.model import Pod
    from testbed.openflow import Flow
    from testbed.replay.collected import NodeCollection
    from testbed.topology import Topology

_FIRST = len(OFPort) + 1
_PORT_LOAD = "->NXM_NX_REG2[]"
_DELIVERY = re.compile(r"load:(0x[0-9a-f]+|\d+)->NXM_NX_REG2\[\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugged:
    """A topology whose pods have the ports of a collection.

    Attributes:
        topology: the cluster to build.
        flows: each node's flows, by its name, with the cluster's numbers.
        remarks: what got another number.
    """

    topology: Topology
    flows: Mapping[str, tuple[Flow, ...]]
    remarks: tuple[str, ...]


def plugged(topology: Topology, nodes: Iterable[NodeCollection]) -> Plugged:
    """Give every pod its port, and every node's flows the cluster's numbers."""
    remarks: list[str] = []
    flows: dict[str, tuple[Flow, ...]] = {}
    moved: dict[str, int] = {}
    for node in nodes:
        if node.flows is None:
            continue
        had = [placed.flow for placed in node.flows]
        own = [p for p in topology.cluster.pods if _is_on(p, node) and p.ofport]
        moves = dict(_moves(node, had, own, remarks))
        moved |= moves
        ports = {pod.key: moves.get(pod.key, pod.ofport or 0) for pod in own}
        numbers = _renumbered(node, had, set(ports.values()), remarks)
        flows[node.name] = tuple(_with_ports(flow, numbers) for flow in had)
    return Plugged(
        topology=_moved(topology, moved), flows=flows, remarks=tuple(remarks)
    )


def ports_named(flows: Iterable[Flow]) -> set[int]:
    """Every port that a flow takes packets from or gives them to, by number."""
    found = set[int]()
    for flow in flows:
        items = [item for item in flow.match if item.startswith("in_port=")]
        items += [item for item in flow.actions if _is_about_a_port(item)]
        found |= {number for item in items if (number := _number(item)) is not None}
    return found


def _is_on(pod: Pod, node: NodeCollection) -> bool:
    return pod.node == node.name


def _moves(
    node: NodeCollection, flows: Sequence[Flow], pods: Sequence[Pod], remarks: list[str]
) -> Iterator[tuple[str, int]]:
    """Yield the pods that cannot have the port that the topology gives them."""
    named = ports_named(flows)
    listed = None if node.ports is None else set(node.ports.values())
    taken = named | (listed or set()) | {pod.ofport for pod in pods if pod.ofport}
    free = (number for number in count(_FIRST) if number not in taken)
    delivered = dict(_delivered(flows))
    for pod in pods:
        port = delivered.get(str(pod.ip))
        if port == pod.ofport:
            if listed is None or port in listed:
                continue
            number = next(free)
            remarks.append(
                f"{node.name}: the flows of pod {pod.key} point to port {port}, which "
                f"br0 did not have; the pod has port {number}, and they lead nowhere"
            )
        elif pod.ofport in named:
            number = next(free)
            remarks.append(
                f"{node.name}: no flow says which port pod {pod.key} had; it has "
                f"port {number}, which none names"
            )
        else:
            continue
        yield pod.key, number


def _delivered(flows: Iterable[Flow]) -> Iterator[tuple[str, int]]:
    """Yield the addresses that br0 delivers to, and by which port."""
    for flow in flows:
        if flow.table != Table.IP_TO_LOCAL_POD:
            continue
        ip = next((m[7:] for m in flow.match if m.startswith("nw_dst=")), "")
        for action in flow.actions:
            if found := _DELIVERY.fullmatch(action):
                yield ip, int(found[1], 0)


def _renumbered(
    node: NodeCollection,
    flows: Sequence[Flow],
    pods: set[int],
    remarks: list[str],
) -> Mapping[int, int]:
    """Which numbers are others here: those of vxlan0 and tun0, and whose they take."""
    had = {
        port.value: (node.ports or {}).get(port.name.lower(), port.value)
        for port in OFPort
    }
    numbers = {theirs: ours for ours, theirs in had.items() if theirs != ours}
    if not numbers:
        return {}
    taken = ports_named(flows) | pods | set(OFPort) | set(numbers)
    free = (number for number in count(_FIRST) if number not in taken)
    for ours in OFPort:
        if ours.value not in had.values():
            numbers[ours.value] = next(free)
    told = ", ".join(f"{theirs} is {ours}" for theirs, ours in sorted(numbers.items()))
    remarks.append(f"{node.name}: ports have other numbers here than br0's had: {told}")
    return numbers


def _with_ports(flow: Flow, numbers: Mapping[int, int]) -> Flow:
    if not numbers:
        return flow

    def renumbered(item: str) -> str:
        number = _number(item)
        if number is None or number not in numbers:
            return item
        ours = numbers[number]
        if item.endswith(_PORT_LOAD):
            return f"load:{ours:#x}{_PORT_LOAD}"
        return f"{item.partition('=')[0]}={ours}" if "=" in item else f"output:{ours}"

    return replace(
        flow,
        match=tuple(
            renumbered(item) if item.startswith("in_port=") else item
            for item in flow.match
        ),
        actions=tuple(
            renumbered(item) if _is_about_a_port(item) else item
            for item in flow.actions
        ),
    )


def _is_about_a_port(action: str) -> bool:
    return action.startswith("output:") or action.endswith(_PORT_LOAD)


def _number(item: str) -> int | None:
    """The port that a match or an action names by number."""
    if found := _DELIVERY.fullmatch(item):
        return int(found[1], 0)
    number = item.replace("=", ":").partition(":")[2]
    return int(number) if number.isdecimal() else None


def _moved(topology: Topology, ports: Mapping[str, int]) -> Topology:
    """The topology with some pods at other ports."""
    if not ports:
        return topology
    documents = []
    for source in topology.objects:
        if source.kind == "Pod" and source.key in ports:
            pod = plain(source.node)
            if isinstance(pod, dict):
                metadata = {**pod["metadata"]}
                noted = {"testbed/ofport": str(ports[source.key])}
                metadata["annotations"] = {**metadata.get("annotations", {}), **noted}
                documents.append(json.dumps({**pod, "metadata": metadata}))
    moved = topology.applied("\n---\n".join(documents), "the replay")
    return replace(moved, warnings=topology.warnings)
