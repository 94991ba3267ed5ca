"""From a file's lines to what they are: sections of one kind each, and API objects.

A file holds what it holds: one tool's output as it is, ``debug.sh``'s with the command
above it, several runs one after the other, several nodes under headings, or a page of
prose with all of that in between. Its name decides nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.importing import origin as origins
from testbed.importing.kinds import FLOW_STARTS, REPLY, Kind, goes_on, kind_of
from testbed.importing.readers import json_stream, yaml_stream
from testbed.importing.remarks import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.importing.lines import Line, Lines
    from testbed.importing.origin import Origin
    from testbed.importing.readers.api import ApiObject, ApiReader

_SNIFFED = 1 << 18
"""Characters after which a file without anything to recognise is put away."""


_ASKS_FOR_FLOWS = re.compile(r"\bdump-flows br0\s*$")
"""The command that prints all flows; where there are none, it may print nothing."""

_FILE_OF_FLOWS = re.compile(
    r"(?:^|/)(?:nodes/[^/]+/flows|[^/]*ovs-ofctl[^/]*_dump-flows_br0)$"
)
"""What ``debug.sh``, NetworkCheck and sosreport call what it printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Lines of one kind that stand together, each with its number."""

    kind: Kind
    file: str
    origin: Origin
    lines: tuple[tuple[int, str], ...]

    @property
    def place(self) -> Place:
        """Where it begins."""
        return Place(self.file, self.lines[0][0])

    @property
    def is_empty_dump(self) -> bool:
        """Whether it is a dump of flows that has none, only what asked for them."""
        return (
            self.kind is Kind.FLOWS
            and len(self.lines) == 1
            and not FLOW_STARTS.match(self.lines[0][1])
        )

    @property
    def is_reply(self) -> bool:
        """Whether a switch has said it: it answers though it has no flows."""
        return any(REPLY.match(text) for _, text in self.lines)

    @property
    def text(self) -> str:
        """Its lines as they stood."""
        return "".join(f"{text}\n" for _, text in self.lines)


def recognised(
    lines: Lines, reader: ApiReader, whole: Origin, *, is_named: bool
) -> Iterator[Section | ApiObject]:
    """Yield what a file holds, in its order.

    Args:
        lines: the file.
        reader: makes objects.
        whole: what the file's name hints at.
        is_named: the user named this very file, so all of it is looked through.
    """
    yield from _Recogniser(lines, reader, whole, is_named=is_named).found()


class _Recogniser:
    def __init__(
        self, lines: Lines, reader: ApiReader, whole: Origin, *, is_named: bool
    ) -> None:
        self._lines = lines
        self._reader = reader
        self._is_named = is_named
        self._whole = whole
        self._under = self._here = self._whole
        self._host = ""
        self._kind: Kind | None = None
        self._rows: list[tuple[int, str]] = []
        self._more = False
        self._asked: tuple[int, str] | None = None
        """Where all flows were asked for, as long as nothing has been printed since."""
        self._has_found = False
        self._passed = 0
        self._is_a_list = True
        """Whether every line so far could be one of ``meta/nodeinfo``."""

    def found(self) -> Iterator[Section | ApiObject]:
        held: list[Section] = []
        for item in self._found():
            if isinstance(item, Section) and item.kind is Kind.NODEINFO:
                held.append(item)
            else:
                self._is_a_list = False
                yield item
        # A name and an address make a line of many files; of this one it is all.
        if self._is_a_list:
            yield from held

    def _found(self) -> Iterator[Section | ApiObject]:
        is_blank = True
        for line in self._lines:
            text = line.text
            is_blank = is_blank and not text.strip()
            if not line.ended and not json_stream.STARTS.match(text):
                self._skip(line)
                if self._is_enough():
                    return
                continue
            if line.host != self._host:
                yield from self._end()
                self._host = line.host
                self._here = self._under.under(line.host) if line.host else self._under
            kind = kind_of(text) if line.ended else None
            if kind is not None:
                yield from self._row(kind, line)
            elif text.strip():
                yield from self._refused(line)
                self._asked = None
                yield from self._other(line)
                self._passed += len(text)
                if self._is_enough():
                    return
            elif self._kind is Kind.TABLE:
                yield from self._end()
        yield from self._end()
        yield from self._unanswered(is_blank=is_blank)

    def _row(self, kind: Kind, line: Line) -> Iterator[Section]:
        """Take a line that is one of a kind."""
        if kind is Kind.FLOWS and (reply := REPLY.match(line.text)):
            if not self._more:
                yield from self._end()
                if self._asked and REPLY.match(self._asked[1]):
                    yield self._no_flows(self._asked)
                self._asked = line.number, line.text
            self._more = "[more]" in reply[1]
            return
        self._asked = None
        if kind is not self._kind:
            yield from self._end()
        self._kind = kind
        self._rows.append((line.number, line.text))
        self._has_found = True

    def _other(self, line: Line) -> Iterator[Section | ApiObject]:
        """Take a line that begins nothing of a kind."""
        text = line.text
        if text[:1] in "{[" and json_stream.STARTS.match(text):
            yield from self._end()
            self._lines.put_back(line)
            yield from self._counted(
                json_stream.json_objects(self._lines, self._reader)
            )
        elif yaml_stream.STARTS.match(text):
            yield from self._end()
            self._lines.put_back(line)
            yield from self._counted(
                yaml_stream.yaml_objects(self._lines, self._reader)
            )
        elif command := origins.command(text):
            yield from self._end()
            if _ASKS_FOR_FLOWS.search(text):
                self._asked = line.number, text
            if command.pod:
                self._here = self._under.in_pod(command.pod)
            elif command.host:
                self._here = self._under.under(command.host)
            else:
                self._here = self._under
        elif self._kind and goes_on(self._kind, text):
            self._rows.append((line.number, text))
        elif name := origins.heading(text):
            yield from self._end()
            self._here = self._under = self._whole.under(name)
        elif origins.is_hostname_file(self._lines.name) and origins.is_hostname(text):
            yield from self._end()
            self._kind = Kind.HOSTNAME
            self._rows.append((line.number, text))
        else:
            self._is_a_list = False

    def _counted(self, objects: Iterator[ApiObject]) -> Iterator[Section | ApiObject]:
        for item in objects:
            self._has_found = True
            yield item

    def _refused(self, line: Line) -> Iterator[Section]:
        """A question for flows that ovs-ofctl could not ask."""
        is_asked = self._asked or _FILE_OF_FLOWS.search(self._lines.name)
        if is_asked and line.text.startswith("ovs-ofctl: "):
            yield self._no_flows((line.number, line.text))

    def _unanswered(self, *, is_blank: bool) -> Iterator[Section]:
        """A question for flows that nothing has been printed on."""
        if is_blank and _FILE_OF_FLOWS.search(self._lines.name):
            self._asked = 0, ""
        if self._asked:
            yield self._no_flows(self._asked)

    def _no_flows(self, asked: tuple[int, str]) -> Section:
        """A dump of a bridge that had none, as a section that holds the question."""
        self._has_found = True
        return Section(
            kind=Kind.FLOWS, file=self._lines.name, origin=self._here, lines=(asked,)
        )

    def _end(self) -> Iterator[Section]:
        kind, self._kind = self._kind, None
        rows, self._rows = self._rows, []
        if kind and rows:
            self._more = False
            yield Section(
                kind=kind, file=self._lines.name, origin=self._here, lines=tuple(rows)
            )

    def _skip(self, line: Line) -> None:
        self._lines.leave_unread("a line too long is left out", line.number)
        self._passed += len(line.text)
        for piece in self._lines:
            if piece.ended or self._is_enough():
                break

    def _is_enough(self) -> bool:
        if self._has_found or self._is_named or self._passed < _SNIFFED:
            return False
        self._lines.pass_over("nothing of a network begins it; the rest is not read")
        return True
