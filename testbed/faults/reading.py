"""Faults as people write them: kinds and fields of the command line and of YAML."""

from __future__ import annotations

import dataclasses
import re
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from testbed.errors import NotFoundError, TopologyError
from testbed.faults import KINDS
from testbed.topology.document import plain
from testbed.topology.problem import Problem, printable, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails

    from testbed.faults import Fault
    from testbed.model import Cluster
    from testbed.topology import Topology
    from testbed.topology.objects import Path, Source

_ATTRIBUTE = re.compile(r"^        (\w+): (.*(?:\n {12}.*)*)", re.MULTILINE)
"""A field and what is said of it, in a docstring's ``Attributes``."""


class FieldsError(NotFoundError):
    """A kind of fault that does not exist, or fields that do not fit it.

    Attributes:
        problems: the field of each (empty if it is about none), and what is wrong.
    """

    def __init__(self, kind: str, problems: tuple[tuple[str, str], ...]) -> None:
        self.problems = problems
        super().__init__(
            "\n".join(
                printable(": ".join(part for part in (kind, field, text) if part))
                for field, text in problems
            )
        )


def parse_fault(kind: str, fields: Mapping[str, object]) -> Fault:
    """Make a fault of its kind and its fields; names may be short.

    Numbers and addresses may be text. Fields are written as in Python (``host_ip``) or
    as the API does (``hostIP``).

    Raises:
        FieldsError: there is no such kind, or the fields do not fit.
    """
    cls = KINDS.get(kind)
    if cls is None:
        close = get_close_matches(kind, KINDS) or list(KINDS)
        text = f"there is no fault {shown(kind)}; there are: {', '.join(close)}"
        raise FieldsError("", (("kind", text),))
    names = {_plain(name): name for name in field_names(cls)}
    known = {names.get(_plain(name), name): value for name, value in fields.items()}
    try:
        fault: Fault = _adapter(cls).validate_python(known)
    except ValidationError as errors:
        raise FieldsError(
            kind,
            tuple(
                (str(error["loc"][0]) if error["loc"] else "", _text(cls, error))
                for error in errors.errors(include_url=False)
            ),
        ) from errors
    return fault


def field_names(kind: type[Fault]) -> Iterator[str]:
    """The fields of a kind, those that all have last."""
    names = [field.name for field in dataclasses.fields(kind)]
    yield from (name for name in names if name != "node")
    yield "node"


def required_fields(kind: type[Fault]) -> tuple[str, ...]:
    """The fields that cannot be left out; ``node`` can where a pod tells it."""
    return tuple(
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING
    )


def described(kind: type[Fault]) -> tuple[str, dict[str, str]]:
    """What a kind is, in a sentence, and each of its fields, from its docstrings."""
    fields: dict[str, str] = {}
    for cls in reversed(kind.__mro__):
        text = cls.__dict__.get("__doc__") or ""
        _, attributes, block = text.partition("Attributes:")
        for name, what in _ATTRIBUTE.findall(block if attributes else ""):
            fields[name] = _one_line(what)
    summary = (kind.__doc__ or "").split("\n\n")[0]
    names = tuple(field_names(kind))
    return _one_line(summary), {name: fields.get(name, "") for name in names}


def _one_line(text: str) -> str:
    return " ".join(text.replace("``", "").split())


def as_fields(fault: Fault) -> dict[str, Any]:
    """A fault's fields as JSON has them; ``parse_fault`` reads them back."""
    found: dict[str, Any] = _adapter(type(fault)).dump_python(fault, mode="json")
    return found


def declared(topology: Topology) -> tuple[Fault, ...]:
    """The faults that a topology's Underlay lists, in their order, names in full.

    Raises:
        TopologyError: one cannot be; each problem with file, line and field.
    """
    problems: list[Problem] = []
    found: list[Fault] = []
    for source in topology.objects:
        if source.kind != "Underlay":
            continue
        written = plain(source.node)
        listed = written.get("faults", []) if isinstance(written, dict) else []
        for number, item in enumerate(listed):
            try:
                found.append(_declared(source, number, item, topology.cluster))
            except TopologyError as error:
                problems += error.args[1]
    if problems:
        raise TopologyError([str(problem) for problem in problems])
    return tuple(found)


class _ProblemsError(TopologyError):
    """Problems that still know their lines."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__([str(problem) for problem in problems])
        self.args = (*self.args, problems)


def _declared(
    source: Source, number: int, item: dict[str, Any], cluster: Cluster
) -> Fault:
    path: Path = ("faults", number)
    fields = {name: value for name, value in item.items() if name != "kind"}
    kind = str(item.get("kind", ""))
    if not kind:
        raise _ProblemsError([source.problem((*path, "kind"), "is missing")])
    try:
        fault = parse_fault(kind, fields).resolved(cluster)
        fault.check(cluster)
    except FieldsError as error:
        raise _ProblemsError(
            [
                source.problem((*path, *_written(item, field)), text)
                for field, text in error.problems
            ]
        ) from error
    except NotFoundError as error:
        text = str(error).removeprefix(f"{kind}: ")
        return _refuse(source, path, item, text)
    return fault


def _refuse(source: Source, path: Path, item: dict[str, Any], text: str) -> Fault:
    """Say what the cluster lacks, of the field that names it."""
    told = {
        found.start(): name
        for name, value in item.items()
        if name != "kind"
        and (found := re.search(rf"(?<![\w.-]){re.escape(str(value))}(?![\w-])", text))
    }
    field = told[min(told)] if told else ""
    where = (*path, field) if field else path
    raise _ProblemsError([source.problem(where, text)])


def _written(item: dict[str, Any], field: str) -> tuple[str, ...]:
    """A field as the file spells it."""
    if not field:
        return ()
    return (next((name for name in item if _plain(name) == _plain(field)), field),)


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


@cache
def _adapter_of(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(KINDS[kind])


def _adapter(kind: type[Fault]) -> TypeAdapter[Any]:
    return _adapter_of(kind.kind)


_MUST_BE = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "ip_v4_address": "an IPv4 address",
    "string_type": "a string",
}
"""By pydantic's names for what is wrong."""


def _text(kind: type[Fault], error: ErrorDetails) -> str:
    what = error["type"]
    if what.startswith("missing"):
        return "is missing"
    if what == "unexpected_keyword_argument":
        there = ", ".join(field_names(kind))
        return f"{kind.kind} has no such field; there are: {there}"
    wanted = _MUST_BE.get(what)
    if what == "enum":
        wanted = str(error.get("ctx", {}).get("expected", "")).replace("'", "")
    if wanted:
        return f"must be {wanted}, not {shown(error['input'])}"
    return error["msg"].lower()
