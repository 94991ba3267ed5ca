"""A lab tried out: its reference solutions pass, and its wrong ones do not.

Run inside a sandbox as ``python -m testbed.labs.rehearsal DIRECTORY``.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.cli import explained
from testbed.emulation.build import running_cluster
from testbed.emulation.prerequisites import choose_datapath
from testbed.errors import SDNError
from testbed.labs.bench import Bench
from testbed.labs.findings import answer_of, passed
from testbed.labs.read import read_lab
from testbed.probe import LiveCluster
from testbed.topology import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbed.labs.findings import Done, Finding
    from testbed.labs.model import Lab, Task, Wrong


@contextlib.contextmanager
def bench_for(lab: Lab) -> Iterator[Bench]:
    """A lab's cluster, built for the length of a ``with`` block.

    Raises:
        SDNError: its topology is wrong, or it cannot be built.
    """
    topology = load(lab.topology)
    with (
        running_cluster(topology.cluster, choose_datapath()),
        LiveCluster.attach(topology) as live,
    ):
        yield Bench(live, tells_where=False)


def rehearse(lab: Lab) -> Iterator[str]:
    """Try every solution of a lab, and yield what is wrong with it, a line each.

    A task must not be solved before anything was done; its wrong solutions must not
    pass; its reference solution must, and leave the cluster fit for the next task.
    """
    with bench_for(lab) as bench:
        for task in lab.tasks:
            with _named(lab, task):
                bench.perform(task.begin)
                if not task.asks and passed(bench.examine(lab, task)) is not False:
                    yield f"{lab.name}: {task.name}: is solved before it is begun"
                for wrong in task.wrong:
                    if wrong.is_undone_by_programming:
                        yield from _wrong(bench, lab, task, wrong)
                done = bench.perform(task.solution)
                findings = bench.examine(lab, task, answer_of(done))
                if not passed(findings):
                    yield f"{lab.name}: {task.name}: its solution does not pass"
                    yield from _told(findings)
                    return  # what comes after builds on it
    for number, task in enumerate(lab.tasks):
        for wrong in task.wrong:
            if not wrong.is_undone_by_programming:
                with bench_for(lab) as bench, _named(lab, task):
                    reach(bench, lab, number)
                    yield from _wrong(bench, lab, task, wrong)


def reach(bench: Bench, lab: Lab, number: int) -> list[Done]:
    """Make a fresh cluster what it is when a task begins; tasks count from 0."""
    done: list[Done] = []
    for task in lab.tasks[:number]:
        done += bench.perform((*task.begin, *task.solution))
    return done + bench.perform(lab.tasks[number].begin)


def _wrong(bench: Bench, lab: Lab, task: Task, wrong: Wrong) -> Iterator[str]:
    before = bench.live.topology
    had = [
        (
            node,
            [dumped.flow for dumped in node.switch.dump_flows()],
            node.run("iptables-save"),
        )
        for node in bench.live.nodes
    ]
    done = bench.perform(wrong.steps)
    if passed(bench.examine(lab, task, answer_of(done))):
        yield f"{lab.name}: {task.name}: a wrong solution passes: {wrong.why}"
    bench.become(before)
    for node, flows, rules in had:
        node.switch.replace_flows(flows)
        node.run("iptables-restore", stdin=rules)


def _told(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        if not finding.passed:
            yield f"  {finding.text}"


@contextlib.contextmanager
def _named(lab: Lab, task: Task) -> Iterator[None]:
    """Have errors tell which task they are about."""
    try:
        yield
    except SDNError as error:
        raise SDNError(f"{lab.name}: {task.name}: {error}") from error


def main() -> None:
    """Rehearse the labs of these directories; exit 1 if one is not as it should be."""
    failures = 0
    with explained():
        for directory in sys.argv[1:]:
            lab = read_lab(Path(directory))
            told = list(rehearse(lab))
            failures += bool(told)
            print("\n".join(told) or f"{lab.name}: as it should be", flush=True)  # noqa: T201 - data
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
