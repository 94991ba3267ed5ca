"""YAML with line numbers.

PyYAML's composer would expand anchors, keep the last of two equal keys without a word
and recurse as deep as the file likes; so values are made from the parser's events here.
Plain scalars are read as by go-yaml, and so ``oc``: ``on`` and ``1e5`` are no strings.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import yaml

from testbed.topology.problem import Problem, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Scalar: TypeAlias = str | int | float | bool | None

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 64
"""Levels of nesting; a Pod has about ten."""
_TOO_DEEP = f"nested deeper than {_DEEPEST} levels"
_MOST = 800_000
"""Values in one file: ``oc get -o yaml`` of some twenty-four hundred pods."""

_WORDS: Mapping[str, Scalar] = {
    spelling: value
    for words, value in (
        ("null", None),
        ("y yes true on", True),
        ("n no false off", False),
    )
    for word in words.split()
    for spelling in (word, word.capitalize(), word.upper())
} | {"": None, "~": None}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,16}")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan"
)

# YAML 1.1, section 5.1: what a stream may not hold, control characters mostly.
_FORBIDDEN = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)


class Node(NamedTuple):
    """A YAML value and its line; a mapping's value has the line of its key."""

    line: int
    value: Scalar | list[Node] | dict[str, Node]


def read(text: str, file: str, problems: list[Problem]) -> list[Node]:
    """Read every document of a stream; empty ones are passed over.

    Args:
        text: the stream.
        file: what problems call it.
        problems: takes what keeps it, or parts of it, from being read.

    Returns:
        The documents, or none at all when a problem keeps the text from being read.
    """
    if forbidden := _FORBIDDEN.search(text):
        line = text.count("\n", 0, forbidden.start()) + 1
        problems.append(
            Problem(line, f"broken YAML: holds the character {forbidden[0]!a}", file)
        )
        return []
    try:
        return list(_Reader(text, file, problems).documents())
    except _RefusedError as refused:
        problems.append(Problem(refused.line, str(refused), file))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        context = f" {error.context}" if error.context else ""
        said = f"broken YAML: {error.problem}{context}"
        if "nesting depth" in said:  # libyaml has a limit too, and looks ahead
            said = _TOO_DEEP
        problems.append(Problem(line, said, file))
    return []


def plain(node: Node) -> object:
    """The value without its lines; null fields are left out, as the API reads them."""
    match node.value:
        case dict() as fields:
            return {
                key: plain(field)
                for key, field in fields.items()
                if field.value is not None
            }
        case list() as items:
            return [plain(item) for item in items]
        case scalar:
            return scalar


class _RefusedError(Exception):
    """Valid YAML that no ``oc`` prints."""

    def __init__(self, event: yaml.Event, reason: str) -> None:
        self.line = _line(event)
        super().__init__(reason)


class _Reader:
    def __init__(self, text: str, file: str, problems: list[Problem]) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)
        self._file = file
        self._problems = problems
        self._values = 0

    def documents(self) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                first = next(self._events)
                node = Node(_line(first), self._value(first, 1))
                if node.value is not None:
                    yield node

    def _value(
        self, event: yaml.Event, depth: int
    ) -> Scalar | list[Node] | dict[str, Node]:
        _refuse_what_oc_never_prints(event)
        self._values += 1
        if self._values > _MOST:
            raise _RefusedError(
                event, f"more than {_MOST} values; keep what the cluster needs"
            )
        if depth > _DEEPEST:
            raise _RefusedError(event, _TOO_DEEP)
        if isinstance(event, yaml.ScalarEvent):
            return resolved(event.value) if event.implicit[0] else str(event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(depth)
        return self._mapping(depth)

    def _sequence(self, depth: int) -> list[Node]:
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(Node(_line(event), self._value(event, depth + 1)))
        return items

    def _mapping(self, depth: int) -> dict[str, Node]:
        fields: dict[str, Node] = {}
        repeated: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            _refuse_what_oc_never_prints(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise _RefusedError(event, "a mapping's key must be a string")
            # JSON's keys are strings, so the text counts and not what it resolves to.
            key = event.value
            line = _line(event)
            value = self._value(next(self._events), depth + 1)
            if key in fields:
                repeated.setdefault(key, line)
            else:
                fields[key] = Node(line, value)
        self._problems += [
            Problem(
                line,
                f"the key {shown(key)} is given twice; "
                f"first in line {fields[key].line}",
                self._file,
            )
            for key, line in repeated.items()
        ]
        return fields


def resolved(text: str) -> Scalar:
    """What a plain scalar means to go-yaml; timestamps stay strings, as in JSON."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    if _FLOAT.fullmatch(text):
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return mark.line + 1 if mark else 1


def _refuse_what_oc_never_prints(event: yaml.Event) -> None:
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        raise _RefusedError(
            event, "anchors and aliases are not accepted; write the value out"
        )
    if tag := getattr(event, "tag", None):
        raise _RefusedError(
            event, f"the tag {shown(tag)} is not accepted; leave it out"
        )
