"""Timings of the testbed, beside plain Mininet in the same run: ``./run bench``.

Wall-clock seconds of whole commands, interpreter start included, as the median of
several runs; ours and the peer's take turns, so both see the same machine. The peer is
``mn`` with as many hosts on as many userspace switches, in a sandbox of the same kind.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from testbed.emulation import sandbox
from testbed.ovs import start_daemons
from testbed.ovs.daemons import create_database

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[1]
TESTBED = [sys.executable, "-m", "testbed"]
MN_TOPOLOGY = ["--topo=linear,4,4", "--switch=ovs,failMode=standalone,datapath=user"]


def main() -> int:
    """Measure and print; the exit status is that of the scenarios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peer", choices=["none", "pingall"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return run_peer(options.peer)
    with tempfile.TemporaryDirectory() as state:
        os.environ["TESTBED_STATE_DIR"] = state
        report(options.runs)
    return 0


def report(runs: int) -> None:
    """Take turns, then print medians and ratios."""
    console = Console(stderr=True)
    seconds: dict[str, list[float]] = {}
    for number in range(runs):
        console.print(f"run {number + 1} of {runs}")
        for name, command in COMMANDS.items():
            seconds.setdefault(name, []).append(timed(command))
    table = Table(title=f"seconds, median of {runs} (least to most)")
    for column in ("what", "testbed", "mn", "testbed / mn"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row, (ours, peer) in ROWS.items():
        table.add_row(
            row,
            spread(seconds[ours]),
            spread(seconds[peer]) if peer else "",
            f"{ratio(seconds[ours], seconds[peer]):.2f}" if peer else "",
        )
    Console(width=100).print(table)
    Console(width=100).print(changes(runs))


def changes(runs: int) -> Table:
    """What a change costs beside doing everything anew, in the same runs."""
    measured = [
        json.loads(output(CHANGES)) | {"up": timed(UP), "down": timed(DOWN)}
        for _ in range(runs)
    ]
    table = Table(title=f"changes, seconds, median of {runs} (least to most)")
    for column in ("what", "changed", "anew", "changed / anew"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row, (change, anew) in CHANGE_ROWS.items():
        changed, again = ([run[name] for run in measured] for name in (change, anew))
        table.add_row(
            row, spread(changed), spread(again), f"{ratio(changed, again):.3f}"
        )
    return table


UP = [*TESTBED, "up", "--name=bench"]
DOWN = [*TESTBED, "down", "bench"]
CHANGES = [sys.executable, str(Path(__file__).with_name("bench_changes.py"))]

CHANGE_ROWS = {
    "one NetworkPolicy applied, 4 nodes (testbed up)": ("apply", "up"),
    "flows of one more, 100 nodes, 5,000 pods, 500 policies": ("one more", "recompute"),
}

COMMANDS = {
    "up": UP,
    "down": DOWN,
    "mn": [sys.executable, __file__, "--peer=none"],
    "mn pingall": [sys.executable, __file__, "--peer=pingall"],
    "scenarios": [sys.executable, "-m", "pytest", "-q", str(ROOT / "scenarios")],
}

ROWS = {
    "up, 16 pods (mn: up and down)": ("up", "mn"),
    "down": ("down", ""),
    "all scenarios (mn: pingall)": ("scenarios", "mn pingall"),
}


def timed(command: Sequence[str]) -> float:
    """Wall-clock seconds of a command that must succeed."""
    start = time.monotonic()
    output(command)
    return time.monotonic() - start


def output(command: Sequence[str]) -> str:
    """What a command prints that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} exited {done.returncode}:\n{done.stderr}")
    return done.stdout


def spread(values: Sequence[float]) -> str:
    """The median, and the range around it."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def ratio(ours: Sequence[float], peer: Sequence[float]) -> float:
    """The median of the pairs' ratios."""
    return statistics.median(a / b for a, b in zip(ours, peer, strict=True))


def run_peer(test: str) -> int:
    """Run ``mn`` in a sandbox, with an Open vSwitch where it looks for one."""
    if not sandbox.inside():
        return sandbox.run([sys.executable, __file__, f"--peer={test}"])
    # mn raises limits of the whole machine; here it may not.
    for options in (["--bind"], ["-o", "remount,ro,bind"]):
        subprocess.run(["mount", *options, "/proc/sys", "/proc/sys"], check=True)
    database = Path("/run/testbed/empty.db")
    create_database(database)
    mn = ["mn", *MN_TOPOLOGY, "--controller=none", f"--test={test}"]
    with start_daemons(Path("/run/openvswitch"), database=database):
        return subprocess.run(mn, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
