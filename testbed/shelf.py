"""What comes with the testbed as files, and how one of many is found by its name."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from testbed.errors import NotFoundError, ProblemsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PACKAGE = Path(__file__).parent


class Named(Protocol):
    """What has a name, and may have others."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    def is_called(self, wanted: str) -> bool:
        """Whether somebody who types this means it."""
        ...


T = TypeVar("T")
N = TypeVar("N", bound=Named)


def shipped(inside: str, beside: str) -> Path:
    """The path of what comes with the testbed, be that installed or a checkout.

    Args:
        inside: where a wheel carries it, in the package.
        beside: where a checkout has it, beside the package.
    """
    installed = _PACKAGE / inside
    return installed if installed.exists() else _PACKAGE.parent / beside


def read_all(
    paths: Iterable[Path], read: Callable[[Path], T], refused: type[ProblemsError]
) -> list[T]:
    """What is read of each path; what is wrong with any is told together.

    Raises:
        ProblemsError: of the kind ``refused``, which is what ``read`` raises.
    """
    found: list[T] = []
    problems: list[str] = []
    for path in paths:
        try:
            found.append(read(path))
        except refused as error:
            problems += error.problems
    if problems:
        raise refused(problems)
    return found


def find(kind: str, wanted: str, things: Iterable[N], label: Callable[[N], str]) -> N:
    """The first of many that is called so.

    Args:
        kind: what they are: ``lab``.
        wanted: what was typed.
        things: where to look.
        label: how one is shown, where none is found.

    Raises:
        NotFoundError: there is none; the message has those that are near, or all.
    """
    labels: dict[str, str] = {}
    for thing in things:
        if thing.is_called(wanted):
            return thing
        labels[thing.name.lower()] = label(thing)
    near = get_close_matches(wanted.lower(), labels, n=3) or labels
    there = ", ".join(labels[name] for name in near)
    raise NotFoundError(f"no {kind} {wanted}; there are: {there}")
