"""Dumps of flows: whatever options and version of ``ovs-ofctl`` printed them.

Without ``-O OpenFlow13`` some actions are spelled otherwise, with OpenFlow15 too; with
``--names`` ports have names. What is kept is the text; what is computed with is the
same flow in the one spelling that the SDN's own dump has.

Source: ovs-ofctl(8), and its output by Open vSwitch 3.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, NamedTuple

from testbed.errors import SwitchError
from testbed.importing.remarks import Place
from testbed.openflow import OFPort, Table, parse_flow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from testbed.importing.origin import Origin
    from testbed.importing.recognise import Section
    from testbed.openflow import Flow

PORTS: Mapping[str, int] = {port.name.lower(): port.value for port in OFPort}
"""The two names that every node's bridge has."""

_RESUBMIT = re.compile(r"resubmit\(,(\d+)\)")
_TUNNEL = re.compile(r"load:0x([0-9a-f]{1,8})->NXM_NX_TUN_IPV4_DST\[\]")
_MARK = re.compile(r"load:(0x[0-9a-f]+)->NXM_NX_PKT_MARK\[\]")
_REGISTER = re.compile(r"set_field:(0x[0-9a-f]+|0)->reg(\d)")
_SPELLED_OTHERWISE = re.compile(
    r"resubmit\(,|load:0x\w+->NXM_NX_(?:TUN_IPV4_DST|PKT_MARK)|mod_dl_|->reg\d"
)
_HAS_NAMES = re.compile(r"in_port=\"?[A-Za-z]|output:\"?[a-zL]")
_NAMED = re.compile(r"\b(in_port=|output:)\"?([A-Za-z][-\w.]*)\"?(?=[, ]|$)")
_DURATION = re.compile(r"duration=(\d{1,12}(?:\.\d{1,9})?)s")
_COUNTED = re.compile(
    r"\s*(cookie=0x[0-9a-f]{1,16}, )duration=[\d.]{1,22}s, (table=\d{1,3}, )"
    r"n_packets=\d{1,20}, n_bytes=\d{1,20}, (?:idle_age=\d{1,10}, )?"
)
"""What a line begins with; but for its groups it says nothing of which flow it is."""

_FEW = 5
_MOST_KEPT = 1 << 18


class KnownFlow(NamedTuple):
    """A flow, its match by field, and the flow's hash, which takes a while."""

    flow: Flow
    match: Mapping[str, str]
    hash: int


class DumpLine(NamedTuple):
    """A flow, the line it was in, and for how many seconds it had been installed."""

    number: int
    text: str
    known: KnownFlow
    duration: float | None

    @property
    def flow(self) -> Flow:
        """The flow itself."""
        return self.known.flow


class FlowReader:
    """Reads flows, each text once: most flows are the same on every node."""

    def __init__(self) -> None:
        self._known: dict[str, KnownFlow] = {}

    def read(self, text: str) -> KnownFlow:
        """The flow that a line of a dump is.

        Raises:
            SwitchError: it is none.
        """
        counted = _COUNTED.match(text)
        key = f"{counted[1]}{counted[2]}{text[counted.end() :]}" if counted else text
        known = self._known.get(key)
        if known is None:
            known = _read(text)
            if len(self._known) < _MOST_KEPT:
                self._known[key] = known
        return known


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """What one run of ``dump-flows`` printed of one bridge."""

    file: str
    origin: Origin
    lines: tuple[DumpLine, ...]

    @property
    def place(self) -> Place:
        """Where it begins."""
        return Place(self.file, self.lines[0].number)


def dumps(
    section: Section, tell: Callable[[int, str], None], reader: FlowReader
) -> Iterator[Dump]:
    """Yield the dumps that stand one after the other in a section.

    No bridge has two flows of one table, priority and match: where one comes again,
    another dump has begun, at the latest there, and likely where the tables began anew.
    ``tell`` takes the number of a line, and what is wrong with it.
    """
    lines: list[DumpLine] = []
    known: set[tuple[int, int, tuple[str, ...]]] = set()
    start_of_tables = 0
    last = -1
    for line in _lines(section, tell, reader):
        flow = line.known.flow
        selector = flow.table, flow.priority, flow.match
        if flow.table < last:
            start_of_tables = len(lines)
        last = flow.table
        if selector in known:
            end = start_of_tables or len(lines)
            yield _dump(section, lines[:end])
            lines = lines[end:]
            known = {(i.flow.table, i.flow.priority, i.flow.match) for i in lines}
            start_of_tables = 0
        lines.append(line)
        known.add(selector)
    if lines:
        yield _dump(section, lines)


def flows_in(text: str, ports: Mapping[str, int]) -> Iterator[Flow]:
    """Yield a dump's flows, with numbers for the ports whose names are known.

    Raises:
        SwitchError: a line is no flow.
    """
    for line in text.split("\n"):
        if line.strip():
            yield parse_flow(numbered(line, ports))


def numbered(text: str, ports: Mapping[str, int]) -> str:
    """A flow as OpenFlow 1.3 spells it, with ports' numbers for their names."""
    if _SPELLED_OTHERWISE.search(text):
        text = _RESUBMIT.sub(r"goto_table:\1", text)
        text = _TUNNEL.sub(_tunnel, text)
        text = _MARK.sub(r"set_field:\1->pkt_mark", text)
        text = _REGISTER.sub(r"load:\1->NXM_NX_REG\2[]", text)
        text = re.sub(r"mod_dl_dst:([0-9a-f:]{17})", r"set_field:\1->eth_dst", text)

    def number(found: re.Match[str]) -> str:
        name = found[2]
        return f"{found[1]}{ports[name]}" if name in ports else f"{found[1]}{name}"

    return _NAMED.sub(number, text) if _HAS_NAMES.search(text) else text


def _read(text: str) -> KnownFlow:
    if not text.strip().isprintable():
        raise SwitchError("holds control characters")
    if "actions=" not in text:
        raise SwitchError("is cut off before its actions")
    flow = parse_flow(numbered(text, PORTS))
    match = dict(item.partition("=")[::2] for item in flow.match)
    return KnownFlow(flow, match, hash(flow))


def _lines(
    section: Section, tell: Callable[[int, str], None], reader: FlowReader
) -> Iterator[DumpLine]:
    unread = 0
    for number, text in section.lines:
        try:
            known = reader.read(text)
        except SwitchError as error:
            unread += 1
            if unread <= _FEW:
                tell(number, f"is no whole flow, and left out: {error}")
            continue
        if known.flow.table <= Table.RULE_VERSION:
            found = _DURATION.search(text, 0, 80)
            duration = float(found[1]) if found else None
            yield DumpLine(number, text, known, duration)
    if unread > _FEW:
        tell(section.lines[0][0], f"has {unread - _FEW} more lines that are no flow")


def _dump(section: Section, lines: Iterable[DumpLine]) -> Dump:
    return Dump(file=section.file, origin=section.origin, lines=tuple(lines))


def _tunnel(found: re.Match[str]) -> str:
    return f"set_field:{IPv4Address(int(found[1], 16))}->tun_dst"
