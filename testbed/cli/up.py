"""``testbed up``."""

import contextlib
import os
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

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
    from collections.abc import Iterator


def up(
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
) -> None:
    """Build a cluster and leave it running."""
    import time
    from datetime import datetime

    from testbed.emulation import sandbox
    from testbed.emulation.prerequisites import choose_datapath
    from testbed.errors import CommandError
    from testbed.topology import load
    from testbed.topology.shipped import shipped

    began = time.monotonic()
    path = topology or shipped("four-node.yaml")
    loaded = load(path)
    for warning in loaded.warnings:
        typer.echo(warning, err=True)
    testbed = RunningTestbed(
        name=name,
        pid=os.getpid(),
        start_time=process_start_time(os.getpid()),
        ready=False,
        datapath=choose_datapath(datapath).value,
        topology=str(path.absolute()),
        nodes=len(loaded.cluster.nodes),
        pods=len(loaded.cluster.pods),
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
    )
    testbeds = registry()
    builder = [sys.executable, "-m", "testbed.cli.builder", testbed.datapath]
    try:
        with (
            _ended_in_order(),
            path.open() as text,
            testbeds.claim(testbed),
            sandbox.kept(builder, stdin=text.fileno()) as pid,
        ):
            start_time = process_start_time(pid)
            testbeds.update(
                testbed, replace(testbed, pid=pid, start_time=start_time, ready=True)
            )
    except CommandError as error:
        if error.returncode != COULD_NOT:
            raise
        raise typer.Exit(COULD_NOT) from error  # the builder has said why
    finally:
        _show_cursor()
    typer.echo(
        f"testbed {name} is up: {testbed.nodes} nodes, {testbed.pods} pods, "
        f"datapath {testbed.datapath}, in {time.monotonic() - began:.1f} s; "
        f"type: testbed status{'' if name == DEFAULT_NAME else f' {name}'}",
        err=True,
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
