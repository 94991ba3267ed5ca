"""Lines of text as a person would read them, whatever brought them here.

Terminals colour, Windows ends lines with CR and writes UTF-16, journald and container
runtimes put a time and a name before each line. None of it is the tool's own output.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.importing.streams import Meter, Stream

LONGEST = 1 << 20
"""Characters of a line; what is longer comes in pieces."""

_SNIFFED = 4096
"""Bytes that tell text from anything else."""

_COLOUR = re.compile(
    r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\-_])"
)
_HOST = r"[A-Za-z0-9][-A-Za-z0-9.]*"
_BY_WHOM = rf"({_HOST}) [^\s:\[]+(?:\[\d+\])?: ?"
_LOGGED = re.compile(
    rf"[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)? {_BY_WHOM}"
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[-+]\d\d:?\d\d) "
    rf"(?:(?:stdout|stderr) [FP] |{_BY_WHOM})?"
)
"""journald's and syslog's line, or a container's log; the host is in a group."""

_MAY_BE_LOGGED = frozenset("JFMASOND0123456789")
_BYTE_ORDERS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class Line(NamedTuple):
    """One line, or a piece of a very long one.

    ``host`` is the machine whose log it was in; ``ended`` is false for all pieces of a
    line but the last.
    """

    number: int
    text: str
    host: str = ""
    ended: bool = True


_new_line = tuple.__new__
"""A named tuple's own way, which sees to its defaults, takes thrice as long."""


class Lines:
    """A stream's lines, which may be put back. Empty where the stream is no text."""

    def __init__(self, stream: Stream, meter: Meter) -> None:
        self.name = stream.name
        self._meter = meter
        self._put_back: list[Line] = []
        self._lines = self._read(stream)

    def __iter__(self) -> Iterator[Line]:
        return self

    def __next__(self) -> Line:
        if self._put_back:
            return self._put_back.pop()
        return next(self._lines)

    def put_back(self, *lines: Line) -> None:
        """Have these lines, in their order, come next."""
        self._put_back += reversed(lines)

    def taken(self, prefix: str) -> list[Line]:
        """Take the next lines for as long as they begin so; faster than one by one."""
        found: list[Line] = []
        for line in self._lines if not self._put_back else self:
            if not (line.ended and line.text.startswith(prefix)):
                self._put_back.append(line)
                break
            found.append(line)
        return found

    def leave_unread(self, text: str, line: int) -> None:
        """Tell of what is not read."""
        self._meter.leave_unread(self.name, text, line)

    def pass_over(self, text: str) -> None:
        """Tell of what need not be read."""
        self._meter.pass_over(self.name, text)

    def _read(self, stream: Stream) -> Iterator[Line]:
        number, rest = 1, ""
        for block in self._blocks(stream):
            first, *others = block.split("\n")
            rest += first
            is_plain = "\r" not in block and "\x1b" not in block and rest.isprintable()
            for text in others:
                if is_plain and rest[:1] not in _MAY_BE_LOGGED:
                    yield _new_line(Line, (number, rest, "", True))
                else:
                    yield _line(number, rest)
                number, rest = number + 1, text
            while len(rest) > LONGEST:
                yield Line(number, rest[:LONGEST], "", ended=False)
                rest = rest[LONGEST:]
        if rest:
            yield _line(number, rest)

    def _blocks(self, stream: Stream) -> Iterator[str]:
        """The text, cut anywhere."""
        head = stream.peek(_SNIFFED)
        encoding = next(
            (name for mark, name in _BYTE_ORDERS.items() if head.startswith(mark)), ""
        )
        if encoding:
            stream.exactly(2)
        elif b"\0" in head or _is_mostly_odd(head):
            return
        elif head.startswith(codecs.BOM_UTF8):
            stream.exactly(len(codecs.BOM_UTF8))
        decoder = codecs.getincrementaldecoder(encoding or "utf-8")(_ERRORS)
        is_told = False
        while data := stream.read():
            text = decoder.decode(data)
            if (
                not is_told
                and not data.isascii()
                and "\\x" in text
                and b"\\x" not in data
            ):
                is_told = True
                self.pass_over("is not all UTF-8; other bytes are shown as \\x..")
            yield text
        yield decoder.decode(b"", final=True)


_ERRORS = "backslashreplace"


def _is_mostly_odd(head: bytes) -> bool:
    """Whether too much of it is no UTF-8 for a text with some odd bytes."""
    return head.decode(errors="replace").count("\ufffd") > len(head) // 8 + 4


def _line(number: int, text: str) -> Line:
    """The line without what is not the tool's own."""
    if text[-1:] == "\r":
        text = text.rstrip("\r")
    if "\x1b" in text:
        text = _COLOUR.sub("", text)
    if text[:1] in _MAY_BE_LOGGED and (logged := _LOGGED.match(text)):
        return Line(number, text[logged.end() :], logged[1] or logged[2] or "")
    return Line(number, text)
