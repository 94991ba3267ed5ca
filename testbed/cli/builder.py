"""The part of ``testbed up`` that runs inside the new sandbox.

Run as ``python -m testbed.cli.builder DATAPATH`` with the topology as stdin.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from testbed.cli import explained
from testbed.cli.options import TOPOLOGY
from testbed.emulation.build import running_cluster
from testbed.emulation.wiring import Datapath
from testbed.topology import loads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STEPS_BESIDES_NODES = 2
"""Of ``running_cluster``'s progress: the machines and the wires."""


def main() -> NoReturn:
    """Build the cluster and end without taking it down."""
    try:
        with explained():
            _build(Datapath(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _build(datapath: Datapath) -> NoReturn:
    topology = loads(sys.stdin.read(), "the topology")
    TOPOLOGY.write_text(topology.text())
    cluster = topology.cluster
    steps = len(cluster.nodes) + _STEPS_BESIDES_NODES
    with contextlib.ExitStack() as stack:
        with _progress(steps) as tell:
            stack.enter_context(running_cluster(cluster, datapath, progress=tell))
        sys.stderr.flush()
        # An orderly end would leave the with block, which takes the cluster down.
        # So all that was started stays, with PID 1 for a parent.
        os._exit(0)


@contextlib.contextmanager
def _progress(steps: int) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal, else a line for each thing that is ready."""
    if not sys.stderr.isatty():
        yield lambda what: print(what, file=sys.stderr)  # noqa: T201 - talk
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=steps)
        yield lambda what: bar.update(task, advance=1, description=what, refresh=True)


if __name__ == "__main__":
    main()
