"""``testbed import``: what a customer sent becomes a topology."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.cli.options import JsonOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_LONGEST = 60
"""Characters of a file's name beside the progress bar."""


def _size(text: str) -> int:
    unit = _UNITS.get(text[-1:].upper(), 1)
    digits = text[:-1] if text[-1:].upper() in _UNITS else text
    if not digits.isdecimal() or not int(digits):
        raise typer.BadParameter(f"must be a size such as 4G, not {text!r}")
    return int(digits) * unit


def import_dump(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Files, directories, archives; - is stdin.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Where to.", show_default=False
        ),
    ],
    max_size: Annotated[
        int,
        typer.Option(
            parser=_size,
            metavar="SIZE",
            help="How much to unpack at most, all together.",
        ),
    ] = "4G",  # type: ignore[assignment]
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what is in DIR.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a topology of what was collected of a cluster.

    Takes the output of debug.sh, `oc adm diagnostics NetworkCheck`, sosreport,
    network-tools and `oc get -o yaml` or json, dumps of flows, and pages of notes with
    such things in them: recognised by content, mixed and incomplete. What no object
    says is inferred from flows, rules and addresses.

    DIR gets topology.yaml, nodes/NODE/flows (and iptables, addresses, routes),
    report.txt and import.json.
    """
    from testbed.importing import Limits, check_target, gather, merge, write

    check_target(output, force=force)
    with _progress(paths) as tell:
        evidence = gather(paths, sys.stdin.buffer, Limits(unpacked=max_size), tell)
        imported = merge(evidence)
        text = write(imported, paths, output)
    if as_json:
        typer.echo((output / "import.json").read_text(encoding="utf-8"), nl=False)
        return
    typer.echo(text, nl=False)
    typer.echo(f"written to {output}; type: testbed up {output} --replay", err=True)


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
