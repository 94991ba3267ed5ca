"""``testbed export``: a cluster as its operator would send it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.cli.options import (
    TOPOLOGY,
    NameOption,
    built_testbed,
)

if TYPE_CHECKING:
    from testbed.exporting import Answers
    from testbed.topology import Topology

_FORMATS = ("debug.sh", "networkcheck", "sos")


def _format(text: str) -> str:
    if text not in _FORMATS:
        raise typer.BadParameter(f"is one of {', '.join(_FORMATS)}, not {text!r}")
    return text


def export(  # noqa: PLR0913 - typer reads the options from its parameters
    layout: Annotated[
        str,
        typer.Option(
            "--format",
            parser=_format,
            metavar="TOOL",
            help="debug.sh, networkcheck or sos.",
        ),
    ] = "debug.sh",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A tarball (.tgz, .tar.xz, …), else a directory.",
            show_default="as the tool calls it",
        ),
    ] = None,
    topology: Annotated[
        Path | None,
        typer.Option(
            "--topology",
            "-t",
            metavar="FILE",
            help="Compute it from these objects.",
            show_default="a running testbed is asked",
        ),
    ] = None,
    name: NameOption = None,
    *,
    complete: Annotated[
        bool,
        typer.Option(
            "--complete",
            help="Add what the tool leaves out: namespaces, policies, and the "
            "testbed's own document.",
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the tarball if it is there.")
    ] = False,
) -> None:
    """Make what a customer would send: the output of debug.sh, NetworkCheck or sos.

    A running testbed is asked, by the commands that the tools run. With --topology it
    is computed instead, with the faults that the file lists, and needs neither root nor
    a switch. Nothing of the machine that the testbed runs on is in it.
    """
    from testbed.topology import load

    if topology and name:
        raise typer.BadParameter("--topology excludes --name")

    def write(loaded: "Topology", answers: "Answers") -> None:
        from datetime import UTC, datetime

        from testbed.exporting import (
            Collection,
            Format,
            archive_name,
            export,
            save,
        )

        moment = datetime.now(UTC)
        collection = Collection(topology=loaded, answers=answers, moment=moment)
        tool = Format(layout)
        target = output or Path(archive_name(collection, tool))
        files = export(collection, tool, complete=complete)
        count = save(files, target, moment, force=force)
        typer.echo(f"{count} files; type: testbed import {target} -o DIR", err=True)
        typer.echo(str(target))

    if topology:
        from testbed.cli.from_file import faults_of, programmed, read
        from testbed.exporting import Computed

        loaded = read(topology)
        flows, rules = programmed(loaded.cluster, faults_of(loaded))
        write(loaded, Computed(loaded.cluster, flows=flows, rules=rules))
        return
    from testbed.exporting.live import live

    testbed = built_testbed(name)
    loaded = load(testbed.inside(TOPOLOGY))
    with live(testbed, loaded.cluster) as asked:
        write(loaded, asked)
    for command in asked.silent:
        typer.echo(f"did not end in time: {command}", err=True)
