"""Findings about flows that every node has, and about flows that none should have.

The first are told one by one, as each is a cause of its own: what comes to a table no
longer goes where all the others send it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from testbed.diagnosis.bridge import SET_UP_ANEW
from testbed.diagnosis.finding import Finding, Severity
from testbed.diagnosis.node import grounds, match_of
from testbed.openflow import Deviation, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.diagnosis.node import Differences, Node
    from testbed.openflow import Flow, FlowDifference


class _Role(NamedTuple):
    """A flow by what its selector has, and what is not done without it."""

    table: int
    priority: int
    fields: tuple[str, ...]
    breaks: str
    bugs: tuple[str, ...] = ()
    severity: Severity = Severity.CRITICAL


_ROLES = (
    _Role(0, 300, ("ct_state",), "connections are not tracked: policies drop replies"),
    _Role(0, 200, ("in_port=1", "arp"), "ARP from other nodes is dropped"),
    _Role(0, 200, ("in_port=1", "nw_src"), "IP from other nodes' pods is dropped"),
    _Role(0, 200, ("in_port=1", "nw_dst"), "replies to what left by an egress IP here "
          "are dropped", (), Severity.WARNING),
    _Role(0, 150, ("in_port=1",), "strangers' packets from VXLAN are taken for pods'",
          (), Severity.WARNING),
    _Role(0, 400, ("in_port=2",), "what the node sends to pods is looked up as a "
            "pod's"),
    _Role(0, 300, ("in_port=2",), "pods reach no services: what iptables redirected is "
          "dropped or loses its VNID"),
    _Role(0, 250, ("in_port=2",), "multicast of the node gets to pods", ("BZ1420032",),
          Severity.WARNING),
    _Role(0, 200, ("in_port=2", "arp"), "the node cannot ARP for pods: nothing gets "
            "from "
          "it, or through it, to pods"),
    _Role(0, 200, ("in_port=2", "ip"), "what comes through the node is dropped: "
            "services, "
          "health checks, replies from outside"),
    _Role(0, 150, ("in_port=2",), "what tun0 sends is taken for a pod's", (),
          Severity.WARNING),
    _Role(0, 100, ("arp",), "pods cannot ARP, and so reach nobody"),
    _Role(0, 100, ("ip",), "pods cannot send IP at all"),
    _Role(21, 200, ("nw_dst",), "pods' connections are not noted: policies drop "
            "replies",
          ("BZ1741477",)),
    _Role(21, 0, (), "pods cannot send anything"),
    _Role(30, 300, ("arp",), "pods cannot ARP for their gateway: no services, nothing "
          "outside"),
    _Role(30, 200, ("arp",), "pods of this node cannot be found by ARP"),
    _Role(30, 100, ("arp",), "pods cannot ARP for pods on other nodes"),
    _Role(30, 300, ("ct_state",), "answers of pods to a service's clients are not "
          "translated back"),
    _Role(30, 300, ("ip",), "pods do not reach their own node's tun0"),
    _Role(30, 100, ("ip", "goto_table:60"), "pods reach no services"),
    _Role(30, 200, ("ip",), "no IP gets to pods of this node"),
    _Role(30, 100, ("ip",), "pods reach no pods on other nodes"),
    _Role(30, 50, ("in_port=1",), "multicast from other nodes does not get to pods", (),
          Severity.WARNING),
    _Role(30, 25, ("ip",), "pods cannot send multicast", ("BZ1420032",),
          Severity.WARNING),
    _Role(30, 0, ("ip",), "pods reach nothing outside the cluster"),
    _Role(60, 200, (), "pods reach no services, or only their own namespace's",
          ("BZ1275953",)),
    _Role(80, 300, ("ip",), "the node does not reach its own pods: health checks fail, "
          "and pods are restarted"),
    _Role(80, 200, ("ct_state",), "replies are dropped unless a policy allows them"),
    _Role(80, 200, ("reg0",), "project default (VNID 0), and what comes through "
            "services, "
          "does not reach pods here"),
    _Role(80, 200, ("reg1",), "pods do not reach those of project default (VNID 0)"),
    _Role(80, 200, (), "no IP gets to pods of this node"),
    _Role(100, 300, ("udp",), "pods may send VXLAN to nodes, into any project",
          ("BZ1643965",), Severity.WARNING),
    _Role(100, 200, ("tp_dst",), "DNS from pods to this node is filtered, or leaves "
            "by an "
          "egress IP", ("BZ1458849",)),
    _Role(100, 0, (), "pods reach nothing outside the cluster"),
    _Role(101, 0, (), "pods reach nothing outside the cluster"),
    _Role(111, 100, (), "multicast of pods is not delivered", ("PR13768",),
          Severity.WARNING),
)  # fmt: skip


def base(differences: Differences) -> Iterator[Finding]:
    """Find flows of every bridge that are missing or other, and foreign ones."""
    node = differences.node
    for item in differences.take(lambda it: it.computed is not None):
        flow = item.flow
        if flow.priority == 0 and flow.drops and item.installed is None:
            # What no flow takes is dropped all the same, but not counted.
            yield _miss(node, item)
            continue
        extra = _instead(differences, flow)
        differences.claim(extra)
        yield _missing(node, item, extra)
    by_table: dict[int, list[FlowDifference]] = defaultdict(list)
    for item in differences.take(lambda _: True):
        by_table[int(item.flow.table)].append(item)
    for table, items in by_table.items():
        yield _foreign(node, table, items)


def _role(flow: Flow) -> _Role | None:
    told = {*flow.match, *match_of(flow), *flow.actions}
    for role in _ROLES:
        if (role.table, role.priority) == (
            flow.table,
            flow.priority,
        ) and told.issuperset(role.fields):
            return role
    return None


def _instead(differences: Differences, flow: Flow) -> list[FlowDifference]:
    """The foreign flow that does a missing one's work: another priority or range."""
    mine = set(match_of(flow))

    def is_like(item: FlowDifference) -> bool:
        other = item.flow
        return (
            item.computed is None
            and other.actions == flow.actions
            and (other.match == flow.match or set(match_of(other)) == mine)
        )

    return differences.select(is_like, int(flow.table))


def _missing(node: Node, item: FlowDifference, extra: list[FlowDifference]) -> Finding:
    flow = item.flow
    role = _role(flow)
    is_missing = item.deviation is Deviation.MISSING
    table = _named(int(flow.table))
    name = flow.selector or "the flow that matches all"
    what = f"{table} lacks {name}"
    if not is_missing and item.installed:
        what = f"{table} does {','.join(item.installed.actions)} with {name}"
    elif extra:
        what = f"{table} has {extra[0].flow.selector} in the place of {name}"
    whose = f" ({item.made_by})" if item.made_by else ""
    items = [item, *extra]
    return Finding(
        check="base-flow-missing" if is_missing else "base-flow-changed",
        severity=role.severity if role else Severity.CRITICAL,
        **grounds(node, items),
        what=f"{what}{whose}",
        breaks=role.breaks
        if role
        else "what it takes goes on to other flows, or is dropped",
        object=item.made_by,
        bugs=role.bugs if role else (),
        advice=f"note br0's flows, and ask who changed them; then {SET_UP_ANEW}",
        weight=120 if role and role.severity is Severity.CRITICAL else 15,
    )


def _miss(node: Node, item: FlowDifference) -> Finding:
    return Finding(
        check="drop-not-counted",
        severity=Severity.NOTE,
        **grounds(node, [item]),
        what=f"{_named(int(item.flow.table))} lacks its last flow, which drops",
        breaks="nothing: what no flow takes is dropped as well, but not counted",
        advice=SET_UP_ANEW,
    )


def _foreign(node: Node, table: int, items: list[FlowDifference]) -> Finding:
    is_wide = any(not item.flow.match and item.flow.priority for item in items)
    count = f"{len(items)} flows" if len(items) > 1 else "a flow"
    return Finding(
        check="foreign-flows",
        severity=Severity.CRITICAL if is_wide else Severity.WARNING,
        **grounds(node, items),
        what=f"{_named(table)} has {count} that 3.11 would not have made",
        breaks="it takes every packet that comes to the table and nothing above it "
        "takes"
        if is_wide
        else "what they take is handled otherwise than it should be",
        advice="see what they match, and ask who made them; delete them with ovs-ofctl "
        "--strict del-flows",
        weight=25,
    )


def _named(table: int) -> str:
    try:
        return f"T{table} ({Table(table).name})"
    except ValueError:
        return f"T{table}"
