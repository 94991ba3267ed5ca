"""API objects in JSON, as ``oc get -o json`` prints them: one at a time, however many.

A list's items are decoded one after the other out of a window on the text, whatever its
layout: with a line for each value, or all on one.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from testbed.importing.lines import Line
from testbed.importing.remarks import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.importing.lines import Lines
    from testbed.importing.readers.api import ApiObject, ApiReader

STARTS = re.compile(r"\{\s*$|\{ ?\"|\[\s*$|\[\s*\{")
"""The line that JSON begins with."""

_WINDOW = 1 << 18
_FIRST_WINDOW = 1 << 12
"""Characters read at first: what is too much for one object is put back."""

_LARGEST = 16 << 20
"""Characters of one value."""

_SPACE = re.compile(r"\s*")


def json_objects(lines: Lines, reader: ApiReader) -> Iterator[ApiObject]:
    """Yield the objects of the JSON that the next line begins; the rest is put back."""
    yield from _Json(lines, reader).objects()


class _BrokenError(Exception):
    """What is there is no JSON, or not all of it."""


class _Json:
    def __init__(self, lines: Lines, reader: ApiReader) -> None:
        self._lines = lines
        self._reader = reader
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._line = 0
        self._counted = 0
        self._has_ended = False
        self._window = _FIRST_WINDOW

    def objects(self) -> Iterator[ApiObject]:
        try:
            if self._peek() == "[":
                yield from self._items("")
            else:
                yield from self._document()
        except _BrokenError as broken:
            self._lines.leave_unread(str(broken), self._number())
            # Whoever reads on must not begin with the same line again.
            self._at = (self._text.find("\n", self._at) + 1) or len(self._text)
        self._put_back_the_rest()

    def _document(self) -> Iterator[ApiObject]:
        """Yield a list's items, whose kind may come after them; or the one object."""
        first = self._place()
        fields: dict[str, object] = {}
        kindless: list[tuple[object, Place]] = []
        self._take("{")
        while self._peek() != "}":
            key = self._value()
            self._take(":")
            if key == "items" and self._peek() == "[":
                kind = str(fields.get("kind", "")).removesuffix("List")
                yield from self._items(kind, kindless)
            else:
                fields[str(key)] = self._value()
            if self._peek() == ",":
                self._take(",")
        self._take("}")
        yield from self._reader.objects(fields, first)
        item_kind = str(fields.get("kind", "")).removesuffix("List")
        for value, place in kindless:
            yield from self._reader.objects(
                value, place, listed=True, item_kind=item_kind
            )

    def _items(
        self, kind: str, kindless: list[tuple[object, Place]] | None = None
    ) -> Iterator[ApiObject]:
        self._take("[")
        while self._peek() != "]":
            place = self._place()
            value = self._value()
            has_kind = kind or (isinstance(value, dict) and "kind" in value)
            if has_kind or kindless is None:
                yield from self._reader.objects(
                    value, place, listed=True, item_kind=kind
                )
            else:
                kindless.append((value, place))
            if self._peek() == ",":
                self._take(",")
        self._take("]")

    def _value(self) -> object:
        self._peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                rest = len(self._text) - self._at
                is_open = "Unterminated string" in error.msg
                is_over = error.pos < len(self._text) - _WINDOW and not is_open
                if is_over or rest > _LARGEST or not self._more(rest):
                    what = "cut off" if self._has_ended else "broken, or too large"
                    text = f"JSON is {what}; what comes before counts"
                    raise _BrokenError(text) from error
            except (RecursionError, ValueError) as error:
                raise _BrokenError("JSON is refused: too deep, or too long") from error
            else:
                # A number may go on in what is not read yet.
                is_number = isinstance(value, int | float)
                if end == len(self._text) and is_number and self._more(0):
                    continue
                self._at = end
                return value

    def _peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(0):
                raise _BrokenError("JSON is cut off; what comes before counts")

    def _take(self, char: str) -> None:
        if self._peek() != char:
            raise _BrokenError(f"no JSON, or broken: {char!r} is missing")
        self._at += 1

    def _more(self, wanted: int) -> bool:
        """Read on, at least so many characters; false at the end."""
        parts = []
        count = 0
        for line in self._lines:
            if not self._line:
                self._line = line.number
            part = f"{line.text}\n" if line.ended else line.text
            parts.append(part)
            count += len(part)
            if count >= max(wanted, self._window):
                break
        self._window = min(4 * self._window, _WINDOW)
        self._has_ended = not parts
        self._number()
        self._text = self._text[self._at :] + "".join(parts)
        self._at = self._counted = 0
        return bool(parts)

    def _number(self) -> int:
        """The line of the next character."""
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _place(self) -> Place:
        return Place(self._lines.name, self._number())

    def _put_back_the_rest(self) -> None:
        number = self._number()
        rest = self._text[self._at :].split("\n")
        if not rest[-1]:
            rest.pop()
        self._lines.put_back(
            *(Line(number + offset, text) for offset, text in enumerate(rest))
        )
