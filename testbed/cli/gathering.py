"""What a customer sent, as commands take it: arguments, and reading it with a bar."""

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from testbed.importing.evidence import Evidence

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_LONGEST = 60
"""Characters of a file's name beside the progress bar."""


def _size(text: str) -> int:
    unit = _UNITS.get(text[-1:].upper(), 1)
    digits = text[:-1] if text[-1:].upper() in _UNITS else text
    if not digits.isdecimal() or not int(digits):
        raise typer.BadParameter(f"must be a size such as 4G, not {text!r}")
    return int(digits) * unit


MaxSizeOption = Annotated[
    int,
    typer.Option(
        parser=_size,
        metavar="SIZE",
        help="How much to unpack at most, all together.",
    ),
]
"""Bytes, typed as ``4G``."""


@contextlib.contextmanager
def gathering(paths: "Sequence[Path]", max_size: int) -> "Iterator[Evidence]":
    """What is in files, directories and archives; ``-`` is stdin.

    A terminal has a bar, for the length of the ``with`` block.

    Args:
        paths: what to read.
        max_size: bytes to unpack at most.

    Raises:
        ImportRefusedError: something cannot be read, or is too large.
    """
    from testbed.importing import Limits, gather

    with _progress(paths) as tell:
        yield gather(paths, sys.stdin.buffer, Limits(unpacked=max_size), tell)


@contextlib.contextmanager
def _progress(paths: "Sequence[Path]") -> "Iterator[Callable[[int, str], None]]":
    """A bar on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _done, _what: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from testbed.importing.archive import size_of
    from testbed.topology.problem import printable

    columns = (
        BarColumn(),
        DownloadColumn(binary_units=True),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=size_of(paths) or None)

        def tell(done: int, what: str) -> None:
            shown = printable(what)[-_LONGEST:].replace("[", r"\[")
            bar.update(task, completed=done, description=shown)

        yield tell
