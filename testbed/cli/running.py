"""``testbed list`` and ``testbed down``: which testbeds run, and until when."""

from typing import Annotated

import typer

from testbed.cli.options import JsonOption, NameArgument, registry


def list_running(*, as_json: JsonOption = False) -> None:
    """List the testbeds that run."""
    from dataclasses import asdict

    from testbed.cli.output import print_json, print_table

    running = registry().running()
    if as_json:
        print_json([asdict(testbed) for testbed in running])
        return
    print_table(
        ("NAME", "NODES", "PODS", "DATAPATH", "PID", "SINCE", "TOPOLOGY"),
        (
            (
                testbed.name,
                str(testbed.nodes),
                str(testbed.pods),
                testbed.datapath,
                str(testbed.pid),
                testbed.created if testbed.ready else "(being built)",
                testbed.topology,
            )
            for testbed in running
        ),
    )


def down(
    name: NameArgument = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Every testbed that runs.")
    ] = False,
) -> None:
    """Take a testbed down: every process, interface and namespace of it."""
    if everything and name:
        raise typer.BadParameter("a name and --all exclude each other")
    testbeds = registry()
    for testbed in testbeds.running() if everything else [testbeds.find(name)]:
        testbeds.end(testbed)
        typer.echo(f"testbed {testbed.name} is down", err=True)
