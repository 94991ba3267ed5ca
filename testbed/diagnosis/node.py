"""One node of a collection, and which of its flows are not as 3.11 would have them.

Checks take the differences that they can explain, one after the other; what the last of
them leaves is told as it is. So each difference is told once, by its cause.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, TypedDict, TypeVar

from testbed.diagnosis.finding import Evidence, FlowKey
from testbed.importing.kinds import Kind
from testbed.openflow import Deviation, FlowDifference, flow_differences
from testbed.replay.rules import read_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from testbed.importing import ImportedNode
    from testbed.importing.evidence import Text
    from testbed.model import Cluster, HostSubnet, Pod
    from testbed.openflow import Flow
    from testbed.replay.rules import Table

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """A node of the topology, with what was collected of it.

    Attributes:
        cluster: the topology.
        host: the node's object.
        collected: its texts and flows.
    """

    cluster: Cluster = field(repr=False)
    host: HostSubnet
    collected: ImportedNode = field(repr=False)

    @property
    def name(self) -> str:
        """The node's name."""
        return self.host.name

    @cached_property
    def installed(self) -> tuple[Flow, ...]:
        """The flows that were collected, ports by number."""
        return self.collected.flows

    def installed_as_computed(self, computed: Iterable[Flow]) -> Iterator[Flow]:
        """Yield the computed flows that are there just so."""
        there = set(self.installed)
        return (flow for flow in computed if flow in there)

    @cached_property
    def lines(self) -> Mapping[tuple[int, str], int]:
        """The line of each flow, by table and selector."""
        bridge = self.collected.bridge
        if bridge is None:
            return {}
        numbers = bridge.facts.numbers
        return {
            (int(flow.table), flow.selector): number
            for flow, number in zip(self.installed, numbers, strict=False)
        }

    @cached_property
    def pods(self) -> Mapping[IPv4Address, Pod]:
        """Its own pods by address."""
        return {pod.ip: pod for pod in self.cluster.pods_on(self.host)}

    @cached_property
    def iptables(self) -> tuple[Text, Mapping[str, Table]] | None:
        """Its rules by table, as the text that was read last has them."""
        for text in reversed(list(self.texts(Kind.IPTABLES))):
            tables = read_rules(text.text, text.file).tables
            if tables:
                return text, tables
        return None

    def texts(self, kind: Kind) -> Iterator[Text]:
        """Its own texts of a kind."""
        for pod, text in self.collected.texts:
            if not pod and text.kind is kind:
                yield text

    def pod_texts(self, kind: Kind) -> Iterator[tuple[str, Text]]:
        """Texts of a kind from inside its pods, with the pods' names."""
        for pod, text in self.collected.texts:
            if pod and text.kind is kind:
                yield pod, text

    def namespaces(self, vnid: int) -> str:
        """The names of those that have a VNID; empty where nobody has."""
        return ", ".join(n.name for n in self.cluster.net_namespaces_of(vnid))

    def net_namespace(self, vnid: int) -> str:
        """The object that gives a VNID, as findings name it; empty where none does."""
        found = self.cluster.net_namespaces_of(vnid)
        return f"NetNamespace {found[0].name}" if found else ""

    def place(self, flow: Flow) -> str:
        """``file:line`` of a flow that was collected; empty where it was not."""
        line = self.lines.get((int(flow.table), flow.selector))
        bridge = self.collected.bridge
        return str(bridge.at(line)) if bridge and line else ""

    def key(self, flow: Flow) -> FlowKey:
        """The flow's name in findings."""
        return FlowKey(self.name, int(flow.table), flow.selector)


class Differences:
    """What is not as computed on a node, and not explained yet."""

    def __init__(self, node: Node, computed: Iterable[Flow]) -> None:
        self.node = node
        self.computed = tuple(computed)
        self._left = list(flow_differences(self.computed, node.installed))

    def __bool__(self) -> bool:
        return bool(self._left)

    def select(
        self, wanted: Callable[[FlowDifference], bool], *tables: int
    ) -> list[FlowDifference]:
        """Those that a check is about; they are left."""
        return [
            item
            for item in self._left
            if (not tables or item.flow.table in tables) and wanted(item)
        ]

    def take(
        self, wanted: Callable[[FlowDifference], bool], *tables: int
    ) -> list[FlowDifference]:
        """Those that a check explains; nobody else gets them."""
        taken = self.select(wanted, *tables)
        self.claim(taken)
        return taken

    def claim(self, items: Iterable[FlowDifference]) -> None:
        """These are explained."""
        gone = {id(item) for item in items}
        self._left = [item for item in self._left if id(item) not in gone]


class Grounds(TypedDict):
    """The parts of a finding that say where it is so, and show it."""

    nodes: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    flows: frozenset[FlowKey]


def grounds(node: Node, items: Iterable[FlowDifference], *beside: Evidence) -> Grounds:
    """What shows differences: flows that are there with their lines, or are not.

    ``beside`` is what shows the same and is no difference; it comes first.
    """
    items = list(items)
    return {
        "nodes": (node.name,),
        "evidence": (*beside, *_evidence(node, items)),
        "flows": frozenset(node.key(item.flow) for item in items),
    }


def _evidence(node: Node, items: Iterable[FlowDifference]) -> Iterator[Evidence]:
    for item in items:
        flow = item.installed or item.flow
        place = node.place(flow) if item.installed else _dump(node)
        if item.deviation is Deviation.CHANGED and item.computed:
            had = ",".join(item.computed.actions)
            if item.computed.actions == flow.actions:
                had = f"cookie {item.computed.cookie:#x}"
            yield Evidence(f"{flow}, which should be {had}", place)
        elif item.deviation is Deviation.EXTRA:
            yield Evidence(f"not 3.11's: {flow}", place)
        else:
            yield Evidence(f"missing: {flow}", place)


def _dump(node: Node) -> str:
    bridge = node.collected.bridge
    return bridge.file if bridge else ""


def match_of(flow: Flow) -> dict[str, str]:
    """A flow's match by field; a protocol has itself as its value."""
    return {
        name: value or name
        for name, _, value in (item.partition("=") for item in flow.match)
    }


def address_in(flow: Flow, *names: str) -> IPv4Address | None:
    """The one address that a flow's match has under one of these names."""
    return _value(flow, names, IPv4Address)


def network_in(flow: Flow, *names: str) -> IPv4Network | None:
    """The range that a flow's match has under one of these names."""
    return _value(flow, names, IPv4Network)


def vnid_in(flow: Flow, *names: str) -> int | None:
    """The VNID that a register of a flow's match holds."""
    return _value(flow, names, lambda text: int(text, 0))


def _value(flow: Flow, names: Iterable[str], read: Callable[[str], _T]) -> _T | None:
    """The first of some fields that a match has; ``None`` for what cannot be read."""
    match = match_of(flow)
    text = next((match[name] for name in names if name in match), None)
    try:
        return None if text is None else read(text)
    except ValueError:
        return None


def number(text: str) -> int | None:
    """A number as OVS writes it; ``None`` for what is none."""
    try:
        return int(text, 0)
    except ValueError:
        return None


def tunnels(flow: Flow) -> tuple[str, ...]:
    """The addresses that a flow sends to through tunnels, as text, in its order."""
    return tuple(
        action[10:-9]
        for action in flow.actions
        if action.startswith("set_field:") and action.endswith("->tun_dst")
    )


def loaded_into(flow: Flow, register: str) -> int | None:
    """The number that a flow loads into a register."""
    end = f"->{register}[]"
    for action in flow.actions:
        if action.startswith("load:") and action.endswith(end):
            return number(action[5 : -len(end)])
    return None


def delivers_to(flow: Flow) -> int | None:
    """The port that a flow of table 40 or 70 is for."""
    for action in flow.actions:
        if action.startswith("output:"):
            return number(action[7:])
    return loaded_into(flow, "NXM_NX_REG2")
