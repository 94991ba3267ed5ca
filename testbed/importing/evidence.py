"""Everything that was found, before anything is made of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from testbed.errors import ImportRefusedError
from testbed.garbage import without_collecting
from testbed.importing.archive import STDIN, members
from testbed.importing.bridge import bridge_facts
from testbed.importing.kinds import OF_A_NODE, Kind
from testbed.importing.lines import Lines
from testbed.importing.origin import origin_of
from testbed.importing.readers.api import ApiObject, ApiReader
from testbed.importing.readers.flows import FlowReader, dumps
from testbed.importing.readers.host import (
    interfaces,
    ports,
    recorded_ports,
    routes,
    vxlan_keys,
    vxlan_ports,
)
from testbed.importing.readers.rules import rules
from testbed.importing.readers.tables import listed
from testbed.importing.recognise import recognised
from testbed.importing.remarks import Place, Remark
from testbed.importing.streams import Limits, Meter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from testbed.importing.facts import BridgeFacts
    from testbed.importing.origin import Origin
    from testbed.importing.readers.flows import Dump
    from testbed.importing.readers.host import Interface, Port, Route
    from testbed.importing.readers.rules import Rules
    from testbed.importing.recognise import Section


_NODES_WITH_SERVICES = 3
"""kube-proxy has the same rules on every node: so many are read, the others kept."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bridge:
    """One dump of flows: what it says, and its text word for word."""

    file: str
    origin: Origin
    facts: BridgeFacts
    text: str
    line: int

    def at(self, line: int) -> Place:
        """A line of the file that it was in."""
        return Place(self.file, line)

    @property
    def place(self) -> Place:
        """Where it begins."""
        return self.at(self.line)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Text:
    """One other text of a node: what it says, and its lines word for word."""

    kind: Kind
    file: str
    origin: Origin
    line: int
    text: str
    interfaces: tuple[Interface, ...] = ()
    routes: tuple[Route, ...] = ()
    ports: tuple[Port, ...] = ()
    vxlan_ports: tuple[tuple[int, int], ...] = ()
    vxlan_keys: tuple[tuple[int, int], ...] = ()
    rules: Rules | None = None

    def at(self, line: int) -> Place:
        """A line of the file that it was in."""
        return Place(self.file, line)

    @property
    def place(self) -> Place:
        """Where it begins."""
        return self.at(self.line)


@dataclass(slots=True, kw_only=True)
class Evidence:
    """What all files together hold.

    Attributes:
        objects: API objects, as they came, the same one perhaps several times.
        listed: objects that a table says less of than the object would.
        bridges: dumps of flows.
        texts: every other text of a node.
        empty_dumps: sections that say that a bridge has no flow.
        hostnames: sections whose only line names their machine.
        unknown_kinds: how many objects there were of kinds that nothing is made of.
        files: how many files had something in them.
        remarks: what was passed over.
    """

    objects: list[ApiObject] = field(default_factory=list)
    listed: list[ApiObject] = field(default_factory=list)
    bridges: list[Bridge] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    empty_dumps: list[Section] = field(default_factory=list)
    hostnames: list[Section] = field(default_factory=list)
    unknown_kinds: Counter[str] = field(default_factory=Counter)
    files: int = 0
    remarks: list[Remark] = field(default_factory=list)


def gather(
    paths: Sequence[Path],
    stdin: BinaryIO,
    limits: Limits | None = None,
    progress: Callable[[int, str], None] = lambda _done, _what: None,
) -> Evidence:
    """Read everything there is.

    Args:
        paths: files, directories and archives; ``-`` is ``stdin``.
        stdin: where to read that from.
        limits: how much to read.
        progress: is told the bytes read so far, and of which file.

    Raises:
        ImportRefusedError: a path cannot be read, or nothing was recognised.
    """
    evidence = Evidence()
    meter = Meter(limits or Limits(), evidence.remarks, progress)
    with without_collecting():
        _gather(paths, stdin, meter, evidence)
    if not (evidence.objects or evidence.listed or evidence.bridges or evidence.texts):
        said = "".join(f"\n{remark}" for remark in evidence.remarks[:10])
        names = ", ".join(map(str, paths))
        raise ImportRefusedError(f"{names}: nothing of a cluster was recognised{said}")
    return evidence


def _gather(
    paths: Sequence[Path], stdin: BinaryIO, meter: Meter, evidence: Evidence
) -> None:
    reader, flow_reader = ApiReader(), FlowReader()
    for path in paths:
        within = "" if path == STDIN or path.parent.name == "" else f"{path.parent}/"
        for stream in members([path], stdin, meter):
            lines = Lines(stream, meter)
            items = recognised(
                lines,
                reader,
                origin_of(stream.name, within),
                is_named=stream.name in (str(path), "stdin"),
            )
            _read(items, meter, evidence, lines, flow_reader)


def _read(
    items: Iterable[Section | ApiObject],
    meter: Meter,
    evidence: Evidence,
    lines: Lines,
    flow_reader: FlowReader,
) -> None:
    has_found = False
    for item in items:
        has_found = True
        if isinstance(item, ApiObject):
            if item.values:
                evidence.objects.append(item)
            else:
                evidence.unknown_kinds[item.kind] += 1
        else:
            _take(item, meter, evidence, lines, flow_reader)
    evidence.files += has_found


def _take(
    section: Section,
    meter: Meter,
    evidence: Evidence,
    lines: Lines,
    flow_reader: FlowReader,
) -> None:
    if section.kind is Kind.HOSTNAME:
        evidence.hostnames.append(section)
    elif section.kind not in OF_A_NODE:
        evidence.listed += listed(section)
    elif section.is_empty_dump:
        evidence.empty_dumps.append(section)
    elif section.kind is Kind.FLOWS:

        def tell(line: int, text: str) -> None:
            lines.leave_unread(text, line)

        for dump in dumps(section, tell, flow_reader):
            _add_bridge(dump, meter, evidence)
    elif meter.may_keep(sum(len(text) for _, text in section.lines), section.file):
        evidence.texts.append(_text(section, evidence))


def _text(section: Section, evidence: Evidence) -> Text:
    """A section as it is kept. What every node's iptables say alike is read of few."""
    lines, kind = section.lines, section.kind
    is_recorded = kind is Kind.OVSDB
    full = sum(1 for text in evidence.texts if text.rules and text.rules.services)
    return Text(
        kind=kind,
        file=section.file,
        origin=section.origin,
        line=section.place.line,
        text=section.text,
        interfaces=interfaces(lines) if kind is Kind.ADDRESSES else (),
        routes=tuple(routes(lines)) if kind is Kind.ROUTES else (),
        ports=tuple(
            ports(lines)
            if kind is Kind.PORTS
            else recorded_ports(lines)
            if is_recorded
            else ()
        ),
        vxlan_ports=tuple(vxlan_ports(lines)) if is_recorded else (),
        vxlan_keys=tuple(vxlan_keys(lines)) if is_recorded else (),
        rules=rules(lines, with_services=full < _NODES_WITH_SERVICES)
        if kind is Kind.IPTABLES
        else None,
    )


def _add_bridge(dump: Dump, meter: Meter, evidence: Evidence) -> None:
    text = "".join(f"{line.text}\n" for line in dump.lines)
    if meter.may_keep(len(text), dump.file):
        evidence.bridges.append(
            Bridge(
                file=dump.file,
                origin=dump.origin,
                facts=bridge_facts(dump.lines),
                text=text,
                line=dump.place.line,
            )
        )
