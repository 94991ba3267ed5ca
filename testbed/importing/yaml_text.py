"""API objects as YAML that reads like ``oc get -o yaml``, and reads back the same."""

from __future__ import annotations

import re
from itertools import groupby, islice
from typing import TYPE_CHECKING, TypeAlias

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from testbed.importing.case import Made

_Base: TypeAlias = "type[yaml.SafeDumper]"

_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
"""What go-yaml reads as a number, PyYAML's own dumper does not always quote."""


_AT_ONCE = 10
"""Objects that a dumper is made for; making one takes as long as an object."""


def _dumper() -> type[yaml.SafeDumper]:
    """A dumper that quotes what go-yaml, and so ``oc``, would not read as a string."""
    base: _Base = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    class Dumper(base):  # type: ignore[misc, valid-type]
        """Writes what is the same twice, instead of referring to it."""

        def ignore_aliases(self, _data: object) -> bool:
            return True

    Dumper.add_implicit_resolver(
        "tag:yaml.org,2002:bool", re.compile(r"[yYnN]\Z"), list("yYnN")
    )
    Dumper.add_implicit_resolver(
        "tag:yaml.org,2002:float", _NUMBER, list("+-.0123456789")
    )
    return Dumper


def yaml_text(objects: Iterable[Made], heading: str) -> Iterator[str]:
    """Yield a stream of objects, in their order: lists of one kind, or one alone.

    ``heading`` becomes comments at its top.
    """
    dumper = _dumper()
    yield "".join(f"# {line}\n" for line in heading.splitlines())
    separator = ""
    for _, group in groupby(objects, key=lambda made: made.kind):
        first, *others = group
        if not others:
            yield separator + _dumped(first.values, dumper)
        else:
            yield f"{separator}apiVersion: v1\nitems:\n"
            rest = iter([first.values, *(made.values for made in others)])
            while some := list(islice(rest, _AT_ONCE)):
                yield _dumped(some, dumper)
            yield "kind: List\n"
        separator = "---\n"


def as_yaml(value: object) -> str:
    """One value as ``oc get -o yaml`` prints it."""
    return _dumped(value, _dumper())


def _dumped(value: object, dumper: type[yaml.SafeDumper]) -> str:
    text: str = yaml.dump(
        value, Dumper=dumper, allow_unicode=True, width=1 << 30, sort_keys=True
    )
    return text
