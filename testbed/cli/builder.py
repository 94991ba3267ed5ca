"""The part of ``testbed up`` that runs inside the new sandbox.

Run as ``python -m testbed.cli.builder DATAPATH`` with the topology as stdin, or with
one more word, ``replay``, and a replay (``testbed.replay``) as stdin.
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
from testbed.faults import ledger
from testbed.faults.injection import inject
from testbed.faults.reading import declared
from testbed.replay import Replay
from testbed.topology import loads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testbed.topology import Topology

_STEPS_BESIDES_NODES = 2
"""Of ``running_cluster``'s progress: the machines and the wires."""


def main() -> NoReturn:
    """Build the cluster and end without taking it down."""
    try:
        with explained():
            _build(Datapath(sys.argv[1]), is_replay="replay" in sys.argv[2:])
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _build(datapath: Datapath, *, is_replay: bool) -> NoReturn:
    text = sys.stdin.read()
    found = Replay.read(text) if is_replay else None
    topology = found.topology if found else loads(text, "the topology")
    TOPOLOGY.write_text(topology.text())
    cluster = topology.cluster
    steps = len(cluster.nodes) + _STEPS_BESIDES_NODES
    with contextlib.ExitStack() as stack:
        with _progress(steps + (len(found.nodes) if found else 0)) as tell:
            stack.enter_context(running_cluster(cluster, datapath, progress=tell))
            remarks = _replay(found, tell) if found else ()
            _inject(topology)
        for remark in remarks:
            print(remark, file=sys.stderr)  # noqa: T201 - talk
        sys.stderr.flush()
        # An orderly end would leave the with block, which takes the cluster down.
        # So all that was started stays, with PID 1 for a parent.
        os._exit(0)


def _inject(topology: Topology) -> None:
    """Have what is wrong that the Underlay lists, and note it."""
    wanted = declared(topology)
    there = ledger.standing()
    for fault in wanted:
        there = inject(topology.cluster, there, fault)
    if wanted:
        ledger.save(there)


def _replay(found: Replay, tell: Callable[[str], None]) -> tuple[str, ...]:
    """Program what was collected; returns what of it this machine did not take."""
    from testbed.replay.install import install

    installed = install(found, progress=tell)
    return installed.remarks[len(found.remarks) :]


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
