"""``testbed up``."""

import contextlib
import os
import signal
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from testbed.cli import COULD_NOT
from testbed.cli.options import TopologyOption, registry
from testbed.emulation.registry import (
    DEFAULT_NAME,
    RunningTestbed,
    process_start_time,
)
from testbed.emulation.wiring import Datapath

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbed.model import Cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is to be built: a cluster, and what its builder is told.

    ``path`` is the topology's; ``replay`` the import's directory, if it is a replay.
    """

    cluster: "Cluster"
    path: Path
    stdin: IO[str]
    warnings: "Sequence[str]"
    summary: str = ""
    replay: str = ""


def up(
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="What `testbed import` wrote: its topology.yaml is built.",
            show_default=False,
        ),
    ] = None,
    topology: TopologyOption = None,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What to call it.")
    ] = DEFAULT_NAME,
    datapath: Annotated[
        Datapath | None,
        typer.Option(
            help="Who forwards packets: the kernel's module or ovs-vswitchd itself.",
            show_default="system where the module openvswitch is loaded",
        ),
    ] = None,
    *,
    as_replay: Annotated[
        bool,
        typer.Option(
            "--replay",
            help="Program the nodes with the flows and iptables that were collected, "
            "word for word.",
        ),
    ] = False,
) -> None:
    """Build a cluster and leave it running.

    With DIR and --replay it is the customer's, faults and all: flows and iptables are
    those that were collected; nodes of which none were have what 3.11 would program.
    """
    import time
    from datetime import datetime

    from testbed.emulation import sandbox
    from testbed.emulation.prerequisites import choose_datapath
    from testbed.errors import CommandError

    if directory and topology:
        raise typer.BadParameter("DIR excludes --topology")
    if as_replay and not directory:
        raise typer.BadParameter("--replay needs DIR, what testbed import wrote")
    began = time.monotonic()
    chosen = choose_datapath(datapath).value
    with _planned(directory, topology, as_replay=as_replay) as plan:
        for warning in plan.warnings:
            typer.echo(warning, err=True)
        testbed = RunningTestbed(
            name=name,
            pid=os.getpid(),
            start_time=process_start_time(os.getpid()),
            ready=False,
            datapath=chosen,
            topology=str(plan.path.absolute()),
            nodes=len(plan.cluster.nodes),
            pods=len(plan.cluster.pods),
            created=datetime.now().astimezone().isoformat(timespec="seconds"),
            replay=plan.replay,
        )
        testbeds = registry()
        builder = [sys.executable, "-m", "testbed.cli.builder", testbed.datapath]
        builder += ["replay"] if plan.replay else []
        try:
            with (
                _ended_in_order(),
                testbeds.claim(testbed),
                sandbox.kept(builder, stdin=plan.stdin.fileno()) as pid,
            ):
                start_time = process_start_time(pid)
                built = replace(testbed, pid=pid, start_time=start_time, ready=True)
                testbeds.update(testbed, built)
        except CommandError as error:
            if error.returncode != COULD_NOT:
                raise
            raise typer.Exit(COULD_NOT) from error  # the builder has said why
        finally:
            _show_cursor()
    if plan.summary:
        typer.echo(plan.summary, err=True)
    typer.echo(
        f"testbed {name} is up: {testbed.nodes} nodes, {testbed.pods} pods, "
        f"datapath {testbed.datapath}, in {time.monotonic() - began:.1f} s; "
        f"type: testbed status{'' if name == DEFAULT_NAME else f' {name}'}",
        err=True,
    )


@contextlib.contextmanager
def _planned(
    directory: Path | None, topology: Path | None, *, as_replay: bool
) -> "Iterator[_Plan]":
    """Read what is to be built, and have it open for the builder."""
    if directory and as_replay:
        from testbed.replay.install import check_flows
        from testbed.replay.reading import replay

        found = replay(directory)
        check_flows(found)
        # The directory may be where the sandbox has nothing, as below /run.
        with tempfile.TemporaryFile("w+", encoding="utf-8") as stdin:
            stdin.write(found.text())
            stdin.seek(0)
            yield _Plan(
                cluster=found.cluster,
                path=directory / "topology.yaml",
                stdin=stdin,
                warnings=(*found.topology.warnings, *found.remarks),
                summary=found.summary,
                replay=found.source,
            )
        return
    from testbed.faults.reading import declared
    from testbed.topology import load
    from testbed.topology.shipped import shipped

    path = topology or shipped("four-node.yaml")
    if directory:
        from testbed.replay.collected import topology_of

        path = topology_of(directory)
    loaded = load(path)
    declared(loaded)  # which says what is wrong with its faults
    with path.open() as stdin:
        yield _Plan(
            cluster=loaded.cluster, path=path, stdin=stdin, warnings=loaded.warnings
        )


@contextlib.contextmanager
def _ended_in_order() -> "Iterator[None]":
    """Leave ``with`` blocks on SIGTERM and SIGHUP too, unless they are ignored."""

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    heeded = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in heeded:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, signal.SIG_DFL)


def _show_cursor() -> None:
    """The builder hides it, and when it is interrupted dies too fast to show it."""
    if sys.stderr.isatty():
        from rich.console import Console

        Console(stderr=True).show_cursor()
