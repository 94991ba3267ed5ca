"""``testbed diagnose``: what is wrong with a collected cluster, and what to do."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.cli.gathering import MaxSizeOption, gathering
from testbed.cli.options import JsonOption
from testbed.cli.questions import PortOption, ProtocolOption

if TYPE_CHECKING:
    from testbed.diagnosis import Diagnosis
    from testbed.diagnosis.why import Why

_ENDLESS = 1000
"""Columns where the output goes to a file or a pipe: one line for each thing."""

_COLOURS = {"critical": "bold red", "warning": "bold yellow", "note": "bold"}


def diagnose(  # noqa: PLR0913, PLR0917 - a command has as many options as it has
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="What `testbed import` wrote, or anything that it takes; - is stdin.",
            show_default=False,
        ),
    ],
    why: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--why",
            metavar="SRC DST",
            help="Ask what becomes of a packet, and which finding is to blame; parties "
            "as for `testbed trace`.",
            show_default=False,
        ),
    ] = None,
    protocol: ProtocolOption = None,
    dport: PortOption = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a web page, too.", show_default=False),
    ] = None,
    max_size: MaxSizeOption = "4G",  # type: ignore[assignment]
    *,
    as_json: JsonOption = False,
) -> None:
    """Say what is wrong with a cluster that was collected.

    Each node's flows, iptables, addresses, routes and ports are held against what 3.11
    would have made of the objects, and the objects against each other. One finding is
    one cause: what it breaks, what shows it, the bug if one is known, and what to do.
    Takes no root and no running testbed. Exit status: 0 nothing that a packet would
    notice, 1 findings, or a packet that does not fare as it must, 2 could not.
    """
    from testbed.diagnosis.examine import examined
    from testbed.importing import merge

    if why is None and (protocol or dport):
        raise typer.BadParameter("--proto and --dport go with --why")
    with gathering(paths, max_size) as evidence:
        imported = merge(evidence)
    found = examined(evidence, imported)
    answer = None
    if why is not None:
        from testbed.cli.questions import Asked, traffic_of
        from testbed.diagnosis.why import why as ask

        asked = Asked(
            verb="why",
            source=why[0],
            destination=why[1],
            protocol=protocol,
            dport=dport,
            as_json=as_json,
        )
        traffic = traffic_of(found.cluster, asked)
        answer = ask(found.diagnosis, found.nodes, traffic, wiped=found.wiped)
    if html is not None:
        _write_page(html, found.diagnosis, paths, answer)
    if as_json:
        from testbed.cli.output import print_json
        from testbed.diagnosis.told import as_json as in_json

        print_json(in_json(found.diagnosis, answer))
    else:
        _print(found.diagnosis, answer)
    fares = answer.is_as_it_must and not answer.blamed if answer else True
    raise typer.Exit(0 if found.diagnosis.is_healthy and fares else 1)


def _write_page(
    file: Path, diagnosis: "Diagnosis", paths: list[Path], answer: "Why | None"
) -> None:
    from testbed.diagnosis.page import page
    from testbed.errors import ImportRefusedError
    from testbed.process import write_whole
    from testbed.topology.problem import printable

    source = printable(", ".join(map(str, paths)))
    try:
        write_whole(file, page(diagnosis, source, answer))
    except OSError as error:
        why = (error.strerror or "cannot be written to").lower()
        raise ImportRefusedError(printable(f"{file}: {why}")) from error
    typer.echo(f"written to {file}", err=True)


def _print(diagnosis: "Diagnosis", answer: "Why | None") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from testbed.diagnosis.told import parts, verdict

    terminal = Console(highlight=False)
    console = (
        terminal
        if terminal.is_terminal
        else Console(width=_ENDLESS, highlight=False, color_system=None)
    )

    def row(label: str, text: Text | str, style: str = "") -> None:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=10, style=style or "dim", no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(label, text if isinstance(text, Text) else Text(text))
        console.print(grid)

    if answer is not None:
        for line in answer.lines:
            console.print(Text(line))
        console.print()
    console.print(Text(diagnosis.summary))
    console.print(Text(verdict(diagnosis), style="bold"))
    for finding in diagnosis.findings:
        console.print()
        severity = str(finding.severity)
        row(severity.upper(), Text(finding.title, style="bold"), _COLOURS[severity])
        for label, text in parts(finding):
            row(f"  {label}" if label else "", text)
    if diagnosis.not_looked_at:
        console.print()
        seen = Text(f"not looked at: {'; '.join(diagnosis.not_looked_at)}")
        console.print(seen, style="dim")
