"""How long from a node's dump of flows alone to a first probe in its replay.

Prints a table; run by hand: ``.venv/bin/python tests/bench_replay.py``. Each command is
a process of its own, as a person types them, and must succeed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

SEED = Path(__file__).parent / "golden" / "oc-04.flows"
PODS = ("unknown/pod-10-131-0-16", "unknown/pod-10-131-1-241")


def main() -> int:
    """Measure, in a directory and a registry of this process's own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("dump", nargs="?", type=Path, default=SEED)
    options = parser.parse_args()
    dump = str(options.dump.absolute())
    commands = {
        "import": ("import", dump, "-o", "tonight", "--force"),
        "up": ("up", "tonight", "--replay"),
        "probe": ("probe", *PODS),
    }
    taken: dict[str, list[float]] = {name: [] for name in (*commands, "all")}
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        for _ in range(options.runs):
            for name, command in commands.items():
                taken[name].append(seconds(home, *command))
            taken["all"].append(sum(taken[name][-1] for name in commands))
            seconds(home, "down")
    load = os.getloadavg()[0]
    table = Table(title=f"{options.dump.name}, {options.runs} runs, load {load:.1f}")
    for column in ("command", "median", "least", "most"):
        table.add_column(column, justify="left" if column == "command" else "right")
    for name, times in taken.items():
        figures = (statistics.median(times), min(times), max(times))
        table.add_row(name, *(f"{figure:.2f} s" for figure in figures))
    Console(width=80).print(table)
    return 0


def seconds(home: str, *arguments: str) -> float:
    """How long a command of the testbed takes."""
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "testbed", *arguments],
        cwd=home,
        env={**os.environ, "TESTBED_STATE_DIR": f"{home}/state"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
