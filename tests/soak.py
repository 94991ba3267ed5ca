"""Long runs, which nobody waits for: flakes, leaks and what a crash leaves behind.

    suite    the scenarios again and again, in random order, with or without workers
    keeper   a testbed that lives through thousands of changes: memory, open files
    crash    builds killed at random moments

Prints what it found as tables, and exits 1 if it found something. ``suite`` uses this
file as a plugin of pytest's, too: it puts the tests into the order of a seed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.table import Table

from testbed.cli.options import TOPOLOGY as RUNNING
from testbed.emulation import sandbox
from testbed.emulation.registry import Registry
from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).parents[1]
SEED = "TESTBED_SOAK_SEED"
PYTEST = (sys.executable, "-m", "pytest")
TESTBED = (sys.executable, "-m", "testbed")
TOPOLOGY = shipped("networkpolicy.yaml")

SAMPLES = 50
WARM = 0.3
"""The part of a run in which caches and heaps fill; it is left out of a slope."""
MOST_KIB = 1024.0
MOST_FILES = 1.0
"""What may be gained in a thousand cycles and still be called flat."""
MOST_RUN_KIB = 4096.0
"""The same for /run: OVSDB's file is a journal until it has 10 MiB, and logs grow.

Measured: 2,250 KiB, of which 1,400 are the journal of the node that changes.
"""
ENOUGH = 100
"""Cycles; of fewer nothing can be said, for a page of memory looks like a leak."""

console = Console(stderr=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Shuffle; pytest then puts together again what shares a cluster."""
    random.Random(os.environ[SEED]).shuffle(items)  # noqa: S311 - no secret


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="WHAT")
    add_suite(commands.add_parser("suite", help="the scenarios in random order"))
    add_keeper(commands.add_parser("keeper", help="one testbed, many changes"))
    add_crash(commands.add_parser("crash", help="builds killed at random"))
    add_live(commands.add_parser("live"))
    options = parser.parse_args()
    found: int = options.run(options)
    return found


def add_suite(parser: argparse.ArgumentParser) -> None:
    """Options of ``suite``."""
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("-n", "--workers", type=int, default=0)
    parser.add_argument("paths", nargs="*", default=["scenarios"])
    parser.set_defaults(run=suite)


def suite(options: argparse.Namespace) -> int:
    """Run the scenarios; every seed gives one order."""
    workers = ["-n", str(options.workers)] if options.workers else []
    table = Table("seed", "seconds", "outcome", title=f"scenarios {' '.join(workers)}")
    failed = 0
    for seed in range(options.seed, options.seed + options.runs):
        began = time.monotonic()
        done = subprocess.run(
            [*PYTEST, "-p", "soak", "-p", "no:cacheprovider", *workers, *options.paths],
            cwd=ROOT,
            env={**os.environ, **python_path(), SEED: str(seed)},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - began
        outcome = done.stdout.strip().splitlines()[-1].strip("= ")
        table.add_row(str(seed), f"{seconds:.1f}", outcome)
        console.print(f"seed {seed}: {outcome}")
        if done.returncode:
            failed += 1
            kept = Path(tempfile.gettempdir(), f"soak-{seed}.txt")
            kept.write_text(done.stdout + done.stderr)
            console.print(
                *re.findall(r"^(?:FAILED|ERROR) .*", done.stdout, re.MULTILINE)[:20]
            )
            console.print(f"all of it: {kept}")
    Console().print(table)
    return 1 if failed else 0


def python_path() -> dict[str, str]:
    """A PYTHONPATH on which this file is a module."""
    had = os.environ.get("PYTHONPATH")
    return {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *([had] if had else [])])
    }


def add_crash(parser: argparse.ArgumentParser) -> None:
    """Options of ``crash``."""
    parser.add_argument("--kills", type=int, default=100)
    parser.set_defaults(run=crash)


def crash(options: argparse.Namespace) -> int:
    """Run the standing test with more kills."""
    test = "tests/emulation/test_crash.py::test_a_build_that_is_killed_at_any_moment"
    done = subprocess.run(
        [*PYTEST, "-p", "no:cacheprovider", f"{test}_leaves_nothing"],
        cwd=ROOT,
        env={**os.environ, "TESTBED_KILLS": str(options.kills)},
        check=False,
    )
    return 1 if done.returncode else 0


def add_keeper(parser: argparse.ArgumentParser) -> None:
    """Options of ``keeper``."""
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument(
        "--commands", type=int, default=ENOUGH, help="cycles by commands, besides"
    )
    parser.set_defaults(run=keeper)


def keeper(options: argparse.Namespace) -> int:
    """Change a kept testbed, first by commands and then from one long-lived process."""
    with tempfile.TemporaryDirectory() as state:
        os.environ["TESTBED_STATE_DIR"] = state
        subprocess.run([*TESTBED, "up", "-t", str(TOPOLOGY)], check=True)
        try:
            pid = Registry(Path(state)).find().pid
            flat = [
                watched("by commands", pid, "--by-commands", options.commands, state),
                watched("from one process", pid, "--cycles", options.cycles, state),
            ]
        finally:
            subprocess.run([*TESTBED, "down"], check=True)
    return 0 if all(flat) else 1


def watched(title: str, pid: int, how: str, cycles: int, state: str) -> bool:
    """Make cycles of changes and print what that did to each process."""
    if how == "--by-commands":
        samples = list(by_commands(pid, cycles, Path(state)))
    else:
        argv = [*sandbox.enter_argv(pid), sys.executable, __file__, "live"]
        with subprocess.Popen(
            [*argv, how, str(cycles)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            samples = [Sample.read(line) for line in process.stdout]
        if process.returncode:
            return False
    return report(f"{title}, {cycles} cycles of apply, probe and delete", samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a sandbox's processes held after some cycles, by who they are.

    Attributes:
        cycle: how many had been made.
        kib: resident memory, and of ``/run`` what its files take.
        files: open descriptors; of ``(all)`` how many processes there are.
    """

    cycle: int
    kib: dict[str, float]
    files: dict[str, float]

    @classmethod
    def read(cls, line: str) -> Sample:
        """One that was printed by another process."""
        return cls(**json.loads(line))

    @classmethod
    def take(cls, cycle: int) -> Sample:
        """Look at every process of the sandbox this process is in."""
        run = os.statvfs("/run")
        kib = {"/run": (run.f_blocks - run.f_bfree) * run.f_frsize / 1024}
        files = {"/run": float(run.f_files - run.f_ffree)}
        pids = list(Path("/proc").glob("[0-9]*"))
        for path in pids:
            command = (path / "cmdline").read_text().split("\0")
            name = Path(command[0]).name
            if name in ("ovs-vswitchd", "ovsdb-server", "dnsmasq"):
                node = re.search(r"/run/testbed/([^/]+)/", " ".join(command))
                name = f"{name} {node[1] if node else path.name}"
            elif path.name == "1":
                name = "keeper"
            elif path.name == str(os.getpid()):
                name = "LiveCluster"
            else:
                continue
            status = (path / "status").read_text()
            kib[name] = float(re.findall(r"VmRSS:\s+(\d+)", status)[0])
            files[name] = float(len(list((path / "fd").iterdir())))
        files["(processes)"] = float(len(pids))
        return cls(cycle=cycle, kib=kib, files=files)


def by_commands(pid: int, cycles: int, state: Path) -> Iterator[Sample]:
    """Change by ``testbed apply`` and ``delete``, probe by ``exec``."""
    objects = state / "objects.yaml"
    objects.write_text(OBJECTS)
    ping = ("exec", "soak/newcomer", "--", "ping", "-c1", "-W5", "-q", "127.0.0.1")
    for cycle in range(cycles + 1):
        if cycle % max(1, cycles // SAMPLES) == 0:
            take = [*sandbox.enter_argv(pid), sys.executable, __file__, "live"]
            text = subprocess.check_output([*take, "--sample", str(cycle)], text=True)
            yield Sample.read(text)
        for command in (
            ("apply", "-f", str(objects)),
            ping,
            ("delete", "-f", str(objects)),
        ):
            subprocess.run([*TESTBED, *command], check=True, capture_output=True)


def report(title: str, samples: Sequence[Sample]) -> bool:
    """Print first, last and slope of each series; whether all are flat."""
    table = Table(title=title)
    for column in ("what", "first", "last", "per 1000 cycles", "flat"):
        table.add_column(column, justify="left" if column == "what" else "right")
    kinds: tuple[tuple[str, float, Callable[[Sample], dict[str, float]]], ...] = (
        ("KiB", MOST_KIB, lambda sample: sample.kib),
        ("files", MOST_FILES, lambda sample: sample.files),
    )
    flat = True
    for unit, most, series in kinds:
        for name in sorted(series(samples[-1])):
            points = [(s.cycle, series(s)[name]) for s in samples if name in series(s)]
            gained = slope(points) * 1000
            allowed = MOST_RUN_KIB if (name, unit) == ("/run", "KiB") else most
            enough = points[-1][0] >= ENOUGH
            flat &= gained < allowed or not enough
            table.add_row(
                f"{name}, {unit}",
                f"{points[0][1]:.0f}",
                f"{points[-1][1]:.0f}",
                f"{gained:+.1f}",
                ("yes" if gained < allowed else "NO") if enough else "too few to tell",
            )
    Console(width=100).print(table)
    return flat


def slope(points: Sequence[tuple[int, float]]) -> float:
    """What a series gains in a cycle, by least squares, once it is warm."""
    warm = [point for point in points if point[0] >= points[-1][0] * WARM]
    xs, ys = zip(*warm, strict=True)
    return statistics.linear_regression(xs, ys).slope


def add_live(parser: argparse.ArgumentParser) -> None:
    """The part of ``keeper`` that runs inside the sandbox."""
    parser.add_argument("--cycles", type=int)
    parser.add_argument("--sample", type=int)
    parser.set_defaults(run=live)


OBJECTS = """\
apiVersion: v1
kind: Namespace
metadata: {name: soak}
---
kind: Pod
metadata: {name: newcomer, namespace: soak, labels: {app: soak}}
spec:
  nodeName: oc-01.test
  containers: [{name: it, ports: [{containerPort: 8080}]}]
---
kind: Service
metadata: {name: newcomer, namespace: soak}
spec:
  selector: {app: soak}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-all, namespace: soak}
spec: {podSelector: {}}
"""


def live(options: argparse.Namespace) -> int:
    """Make the cycles, or look once, and print samples as JSON, one a line."""
    if options.sample is not None:
        print(as_json(Sample.take(options.sample)))  # noqa: T201 - for the parent
        return 0
    for sample in cycles_of_changes(options.cycles):
        print(as_json(sample), flush=True)  # noqa: T201 - for the parent
    return 0


def as_json(sample: Sample) -> str:
    """One line."""
    return json.dumps({"cycle": sample.cycle, "kib": sample.kib, "files": sample.files})


def cycles_of_changes(cycles: int) -> Iterator[Sample]:
    """Apply objects, see what they do to packets, delete them; samples on the way."""
    from testbed.probe import LiveCluster  # noqa: PLC0415 - scapy, for this part only
    from testbed.topology import load  # noqa: PLC0415 - as above

    topology = load(RUNNING)
    with LiveCluster.attach(topology) as cluster:
        for cycle in range(cycles + 1):
            if cycle % max(1, cycles // SAMPLES) == 0:
                yield Sample.take(cycle)
                console.print(f"cycle {cycle}", end="\r")
            cluster.start_scenario()
            with cluster.applied(OBJECTS):
                sender = cluster.pods_on(cluster.nodes[0])[0]
                newcomer = cluster.pod("soak/newcomer")
                denied = cluster.probe(sender, newcomer, tcp=8080)
                if denied.delivered:
                    raise SystemExit(f"cycle {cycle}: {denied}")
            cluster.restore()


if __name__ == "__main__":
    sys.exit(main())
