"""A class: a sandbox per student, all on one machine and one account of it.

Each student has a state directory of their own, so that they see their testbed and no
other: a shell in it is all that tells one from another. Nothing keeps them from harm
to each other that users of one account could not do anyhow.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.emulation.registry import Registry
from testbed.errors import EmulationError, LabError, NotFoundError, SDNError
from testbed.labs.progress import PROGRESS, State, load_progress
from testbed.process import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from testbed.emulation.registry import RunningTestbed
    from testbed.labs.progress import Progress
    from testbed.model import Cluster

_FILE = "class.json"
_START_TIMEOUT = 300.0
_MIB = 1 << 20

PER_SANDBOX, PER_NODE, PER_POD, PER_HOST = 12, 16, 1, 11
"""MiB that a sandbox takes, and that each node, pod and external host of it adds.

Measured with ``netdev`` by a memory cgroup, the kernel's share included: 38 MiB for one
node with two pods and one host outside, 69 MiB for three nodes. What a student runs
comes on top for as long as it runs; ``testbed lab check`` takes some 100 MiB.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Student:
    """One student, as the teacher sees them.

    Attributes:
        account: what they are called.
        runs: whether they have a testbed.
        lab: the name of the lab it runs; empty without one.
        at: the task they are at; empty where all are done, or none runs.
        done: how many tasks are done.
        tasks: how many there are.
        checks: how often they had one judged.
        hints: how many hints they took.
        shown: how many tasks the reference did for them.
        last: when a task was last done, in ISO 8601; empty if none.
        problem: what keeps it from being told; empty if nothing does.
    """

    account: str
    runs: bool = False
    lab: str = ""
    at: str = ""
    done: int = 0
    tasks: int = 0
    checks: int = 0
    hints: int = 0
    shown: int = 0
    last: str = ""
    problem: str = ""


class Classroom:
    """A class and its students' testbeds.

    Args:
        directory: where it is noted; made by ``open``.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def accounts(self) -> tuple[str, ...]:
        """Who is in it.

        Raises:
            NotFoundError: there is no such class.
            LabError: its note is none.
        """
        try:
            noted = json.loads((self.directory / _FILE).read_text())
            return tuple(str(account) for account in noted["accounts"])
        except FileNotFoundError as error:
            raise NotFoundError(
                f"there is no class {self.directory.name}; type: "
                "testbed lab class start 1 -n 30"
            ) from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise LabError(
                [f"{self.directory / _FILE}: is no class: {error}"]
            ) from error

    def enrol(self, accounts: Sequence[str]) -> tuple[str, ...]:
        """Note who is in it, beside those who are already; returns all.

        Raises:
            EmulationError: it cannot be noted.
        """
        Registry(self.directory)  # sees that nobody else may write there
        with contextlib.suppress(NotFoundError):
            accounts = (*self.accounts(), *accounts)
        everybody = tuple(dict.fromkeys(accounts))
        try:
            noted = json.dumps({"accounts": everybody})
            write_whole(self.directory / _FILE, noted)
        except OSError as error:
            said = (error.strerror or str(error)).lower()
            raise EmulationError(f"{self.directory}: {said}") from error
        return everybody

    def state(self, account: str) -> Path:
        """A student's state directory."""
        return self.directory / "students" / account

    def environment(self, account: str) -> Mapping[str, str]:
        """The environment in which there is this student's testbed and no other.

        Raises:
            NotFoundError: nobody in the class is called so.
        """
        everybody = self.accounts()
        if account not in everybody:
            raise NotFoundError(
                f"nobody in the class is called {account}; there are: "
                f"{', '.join(everybody)}"
            )
        return {**os.environ, "TESTBED_STATE_DIR": str(self.state(account))}

    def start(
        self, lab: str, accounts: Sequence[str], *, jobs: int
    ) -> Iterator[tuple[str, str]]:
        """Start a lab for students who have no testbed yet, some at a time.

        Yields:
            Each account when its testbed is up, and what went wrong; empty if nothing.
        """
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            started = {
                pool.submit(self._start, lab, account): account for account in accounts
            }
            for done in concurrent.futures.as_completed(started):
                yield started[done], done.result()

    def students(self) -> list[Student]:
        """Everybody, and how far they are."""
        return [self._student(account) for account in self.accounts()]

    def testbeds(self, account: str) -> tuple[RunningTestbed, ...]:
        """A student's testbeds; none where nothing was ever started."""
        state = self.state(account)
        return Registry(state).running() if state.is_dir() else ()

    def stop(self) -> Iterator[str]:
        """Take all testbeds down and forget the class; yield who had one."""
        for account in self.accounts():
            state = self.state(account)
            for testbed in self.testbeds(account):
                Registry(state).end(testbed)
                yield account
        shutil.rmtree(self.directory)

    def _start(self, lab: str, account: str) -> str:
        if self.testbeds(account):
            return ""
        try:
            done = subprocess.run(
                [sys.executable, "-m", "testbed", "lab", "start", lab],
                env=self.environment(account),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_START_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"it is not up after {_START_TIMEOUT:g} s"
        return done.stderr.strip() if done.returncode else ""

    def _student(self, account: str) -> Student:
        try:
            testbeds = [item for item in self.testbeds(account) if item.ready]
            if not testbeds:
                return Student(account=account)
            note = testbeds[0].inside(PROGRESS)
            return _told(account, load_progress(note, testbeds[0].name))
        except NotFoundError:
            return Student(account=account, runs=True)
        except SDNError as error:
            return Student(account=account, problem=str(error).splitlines()[0])


def _told(account: str, progress: Progress) -> Student:
    current = progress.current
    return Student(
        account=account,
        runs=True,
        lab=Path(progress.directory).name,
        at="" if current is None else progress.tasks[current].name,
        done=progress.done,
        tasks=len(progress.tasks),
        checks=sum(task.checks for task in progress.tasks),
        hints=sum(task.hints for task in progress.tasks),
        shown=sum(task.state is State.SHOWN for task in progress.tasks),
        last=max(task.ended for task in progress.tasks),
    )


def memory_needed(cluster: Cluster) -> int:
    """Bytes that one sandbox with this cluster takes, about."""
    pods = sum(not pod.host_network for pod in cluster.pods)
    return _MIB * (
        PER_SANDBOX
        + PER_NODE * len(cluster.nodes)
        + PER_POD * pods
        + PER_HOST * len(cluster.underlay.external_hosts)
    )


def memory_available(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes that this machine can give without swapping (proc(5), MemAvailable)."""
    for line in meminfo.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) << 10
    raise EmulationError(f"{meminfo} does not tell how much memory is available")
