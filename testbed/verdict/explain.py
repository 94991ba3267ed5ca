"""The verdict in words: each witness, where they part, and what is to blame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.model import Outcome
from testbed.openflow import Deviation, Table, could_match
from testbed.parties import name_of, told
from testbed.tracing.render import loss_text, table_name
from testbed.verdict.facts import Kind
from testbed.verdict.way import machines_on, where_lost

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from testbed.oracle import Expectation
    from testbed.probe.observed import Observation
    from testbed.tracing import Journey
    from testbed.tracing.journey import BridgeHop, Loss
    from testbed.verdict.facts import Fact
    from testbed.verdict.verdict import Verdict

_LOOKS_AT = {
    Table.DISPATCH: ("in_port",),
    Table.FROM_VXLAN: ("tun_src",),
    Table.FROM_POD: ("in_port", "nw_src", "arp_spa", "arp_sha"),
    Table.FROM_POD_VIA_SERVICE: ("nw_src",),
    Table.ROUTING: ("nw_dst", "arp_tpa"),
    Table.ARP_TO_LOCAL_POD: ("arp_tpa",),
    Table.ARP_TO_REMOTE_POD: ("arp_tpa",),
    Table.IP_TO_SERVICE: ("nw_dst", "tcp_dst", "udp_dst"),
    Table.IP_TO_LOCAL_POD: ("nw_dst",),
    Table.IP_TO_REMOTE_POD: ("nw_dst",),
}
"""What decides in a table, in the order in which it is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A verdict in words.

    Attributes:
        line: all in one line.
        paragraph: a line for each witness, where they part, and who is to blame.
        parted: the first place where they part; ``None`` where they agree.
        culprits: what is wrong and has to do with it, the likeliest first.
    """

    line: str
    paragraph: str
    parted: str | None
    culprits: tuple[Fact, ...]


def explain(verdict: Verdict) -> Explanation:
    """Say what a verdict means."""
    question = told(verdict.cluster, verdict.traffic)
    witnesses = {"expected": expected_text(verdict.expected)}
    if verdict.traced is not None:
        witnesses["traced"] = traced_text(verdict.traced)
    if verdict.observed is not None:
        witnesses["observed"] = observed_text(verdict.observed, verdict.traced)
    if verdict.agrees:
        by = f"as expected ({verdict.expected.decided_by})"
        *_, last = witnesses.values()
        outcome = last if len(witnesses) > 1 else verdict.expected.outcome.value
        return Explanation(
            line=f"{question}: {outcome}, {by}",
            paragraph=_paragraph(question, witnesses),
            parted=None,
            culprits=(),
        )
    culprits = tuple(_culprits(verdict))
    parted = _parted(verdict)
    accounts = "; ".join(
        f"{witness}: {account}" for witness, account in reversed(witnesses.items())
    )
    blame = f" — {culprits[0]}" if culprits else ""
    ends: dict[str, str] = {"parted": parted}
    if culprits:
        ends["culprit"] = str(culprits[0])
    for number, fact in enumerate(culprits[1:]):
        ends["also wrong" if not number else " " * number] = str(fact)
    return Explanation(
        line=f"{question}: {accounts}{blame}",
        paragraph=_paragraph(question, witnesses | ends),
        parted=parted,
        culprits=culprits,
    )


def expected_text(expected: Expectation) -> str:
    """What must become of it, and by whose say."""
    by = f" ({expected.decided_by})"
    if expected.outcome is not Outcome.DELIVERED:
        return f"{expected.outcome}{by}"
    names = list(dict.fromkeys(name_of(item.receiver) for item in expected.deliveries))
    joint = " and " if expected.everyone else " or "
    lost = f", or lost: {expected.may_be_lost[0]}" if expected.may_be_lost else ""
    return f"delivered to {joint.join(names)}{by}{lost}"


def traced_text(traced: Journey) -> str:
    """What would become of it, and by which flow or rule."""
    if traced.arrivals:
        names = dict.fromkeys(
            name_of(item.delivery.receiver) for item in traced.arrivals
        )
        return f"delivered to {', '.join(names)}"
    return "; ".join(dict.fromkeys(map(_lost, traced.losses))) or "no way was found"


def _lost(loss: Loss) -> str:
    flow = loss.flow
    if flow is None or flow.match:
        return loss_text(loss)
    where = f"{loss.outcome} on {loss.machine} in {table_name(flow.table)}"
    missed = _missed(flow.table, loss.packet)
    return f"{where} because no flow matches {missed}" if missed else loss_text(loss)


def _missed(table: int, packet: str) -> str:
    fields = packet_fields(packet)
    looked_at = _LOOKS_AT.get(Table(table), ()) if table in set(Table) else ()
    return ",".join(f"{name}={fields[name]}" for name in looked_at if name in fields)


def packet_fields(packet: str) -> Mapping[str, str]:
    """A packet in OVS's text as its fields; a protocol has itself as its value."""
    items = (item.partition("=") for item in packet.split(","))
    return {name: value or name for name, _, value in items}


def observed_text(observed: Observation, traced: Journey | None) -> str:
    """What was seen, and where it was seen last."""
    match observed.outcome:
        case Outcome.DELIVERED:
            answer = f", which answered ({observed.answer})" if observed.answer else ""
            return f"delivered to {', '.join(observed.receivers)}{answer}"
        case Outcome.REJECTED:
            return f"rejected ({observed.answer})"
    lost = where_lost(observed, traced)
    by = "; ".join(
        f"dropped on {drop.node} in {table_name(drop.table)} by {drop.selector}"
        for drop in observed.dropped_by
    )
    if observed.outcome is not Outcome.INCONCLUSIVE:
        return by or lost
    counted = f"; counted: {by}" if by else ""
    if observed.control:
        return f"inconclusive: {observed.reason}; {lost}{counted}"
    return f"inconclusive: the positive controls got lost, too; {lost}{counted}"


def _parted(verdict: Verdict) -> str:
    """The first place where what happens is not what must."""
    traced, observed = verdict.traced, verdict.observed
    if traced is not None and traced.losses and not traced.arrivals:
        return traced_text(traced)
    if observed is not None and not observed.receivers:
        return observed_text(observed, traced)
    return verdict.differences[0]


def _culprits(verdict: Verdict) -> Iterator[Fact]:
    """Yield the facts on the packet's way, the likeliest to blame first."""
    on_the_way = machines_on(verdict.traffic, verdict.traced, verdict.observed)
    ranked = [
        (_rank(fact, verdict), on_the_way.index(fact.machine), number, fact)
        for number, fact in enumerate(verdict.facts)
        if fact.machine in on_the_way
    ]
    ranked = [item for item in ranked if item[0] < _UNRELATED]
    for *_, fact in sorted(ranked, key=lambda item: item[:3]):
        yield fact


_UNRELATED = 9


def _rank(fact: Fact, verdict: Verdict) -> int:
    """0 for what the packet surely met; flows that it never came near are unrelated."""
    if fact.difference is None:
        return 1 if fact.kind in (Kind.DAEMON, Kind.LINK, Kind.TUNNEL) else 3
    flow = fact.difference.flow
    bridges = verdict.traced.bridges if verdict.traced else ()
    for hop in bridges:
        if hop.node != fact.machine:
            continue
        if fact.difference.deviation is Deviation.MISSING:
            tables = {step.table for step in hop.trace.steps}
            fits = could_match(flow, packet_fields(hop.packet))
            if flow.table in tables and fits:
                return 0
        elif _was_hit(hop, flow.table, flow.selector):
            return 0
    return 2 if not bridges else _UNRELATED


def _was_hit(hop: BridgeHop, table: int, selector: str) -> bool:
    return any(
        (step.table, step.selector) == (int(table), selector)
        for step in hop.trace.steps
    )


def _paragraph(question: str, parts: Mapping[str, str]) -> str:
    width = max(map(len, parts)) + 1
    lines = (
        f"  {f'{name}:' if name.strip() else '':<{width}} {text}"
        for name, text in parts.items()
    )
    return "\n".join([question, *lines])
