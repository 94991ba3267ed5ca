"""``testbed import``: what a customer sent becomes a topology."""

from pathlib import Path
from typing import Annotated

import typer

from testbed.cli.gathering import MaxSizeOption, gathering
from testbed.cli.options import JsonOption


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
    max_size: MaxSizeOption = "4G",  # type: ignore[assignment]
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
    from testbed.importing import check_target, merge, write

    check_target(output, force=force)
    with gathering(paths, max_size) as evidence:
        imported = merge(evidence)
        text = write(imported, paths, output)
    if as_json:
        typer.echo((output / "import.json").read_text(encoding="utf-8"), nl=False)
        return
    typer.echo(text, nl=False)
    typer.echo(f"written to {output}; type: testbed up {output} --replay", err=True)
