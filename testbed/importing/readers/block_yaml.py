"""The YAML that ``oc`` prints most of the time, read ten times as fast as by libyaml.

Block mappings and lists of plain words and simple quotes, nothing else: whatever is not
certain to mean the same to ``testbed.topology.document`` is left to that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from testbed.topology.document import resolved

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_Line: TypeAlias = "tuple[int, str]"
"""How far a line is indented, and the rest of it."""

_DEEPEST = 40
"""Columns of indentation; a topology is not read deeper than twice that."""

_LONGEST = 1000
"""Characters of a line; a YAML parser has a limit for keys, too."""

_KEY = re.compile(r"([A-Za-z_][-\w./]*):(?: +(?=\S)|$)")
_PLAIN = re.compile(r"[A-Za-z0-9_./+](?:[^:#\n]|:(?=[^\s])|(?<=\S)#)*\Z")
_MINUS = re.compile(r"-[0-9.]+\Z")
_QUOTED = re.compile(r"\"([^\"\\]*)\"\Z|'([^']*)'\Z")


class _UnlikeError(Exception):
    """Something that may mean more than it seems to."""


def block_yaml(text: str) -> tuple[object, ...] | None:
    """The one document that a text is; ``None`` where that takes a YAML parser."""
    if not text.replace("\n", "").isprintable():
        return None
    lines: list[_Line] = []
    for line in text.split("\n"):
        rest = line.lstrip(" ")
        if len(rest) > _LONGEST:
            return None
        if rest:
            lines.append((len(line) - len(rest), rest.rstrip(" ")))
    try:
        return (_Reader(lines).document(),) if lines else None
    except _UnlikeError:
        return None


class _Reader:
    def __init__(self, lines: Sequence[_Line]) -> None:
        self._lines = lines
        self._at = 0

    def document(self) -> object:
        value = self._block(self._lines[0][0])
        # What is left goes on with a scalar, or is indented like nothing before it.
        if self._at < len(self._lines):
            raise _UnlikeError
        return value

    def _block(self, indent: int) -> object:
        """The mapping or list whose lines are indented so."""
        if indent > _DEEPEST:
            raise _UnlikeError
        return self._list(indent) if self._is_item(indent) else self._mapping(indent)

    def _is_item(self, indent: int) -> bool:
        if self._at == len(self._lines):
            return False
        column, rest = self._lines[self._at]
        return column == indent and rest.startswith("- ")

    def _list(self, indent: int) -> list[object]:
        items: list[object] = []
        while self._is_item(indent):
            rest = self._lines[self._at][1]
            inner = rest[2:].lstrip(" ")
            column = indent + len(rest) - len(inner)
            if inner.startswith("- "):
                raise _UnlikeError
            if _KEY.match(inner):
                items.append(self._mapping(column, inner))
            else:
                self._at += 1
                items.append(self._scalar(inner))
        return items

    def _mapping(self, indent: int, first: str = "") -> dict[str, object]:
        """A mapping; ``first`` is its first line where that stands behind a dash."""
        fields: dict[str, object] = {}
        for rest in self._fields_at(indent, first):
            found = _KEY.match(rest)
            if found is None or found[1] in fields:
                raise _UnlikeError
            fields[found[1]] = self._value(indent, rest[found.end() :])
        # The API reads a field that is null as one that is not there.
        return {key: value for key, value in fields.items() if value is not None}

    def _fields_at(self, indent: int, first: str) -> Iterator[str]:
        while self._at < len(self._lines):
            column, rest = self._lines[self._at]
            if first:
                rest = first
            elif column != indent or rest.startswith("- "):
                return
            first = ""
            self._at += 1
            yield rest

    def _value(self, indent: int, text: str) -> object:
        if text:
            return self._scalar(text)
        if self._at < len(self._lines):
            column, rest = self._lines[self._at]
            if column > indent or (column == indent and rest.startswith("- ")):
                return self._block(column)
        return None

    def _scalar(self, text: str) -> object:
        if text == "{}":
            return {}
        if text == "[]":
            return []
        if found := _QUOTED.match(text):
            return found[2] if found[1] is None else found[1]
        if _PLAIN.match(text) or _MINUS.match(text):
            return resolved(text)
        raise _UnlikeError
