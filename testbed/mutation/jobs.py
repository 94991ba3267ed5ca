"""Workers side by side, each with a cluster of its own, and the mutants dealt out.

A worker is about one plugin. The first of a plugin runs its scenarios once and makes
the plan; it then takes mutants from the plan, one by one, and so do those that join it.
A worker that ends before its time is replaced, and the mutant it had is undecided.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections import deque
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from testbed.errors import EmulationError
from testbed.mutation.trial import undecided
from testbed.mutation.verdict import Result, Tally, Verdict
from testbed.mutation.worker import Ready, Surveying

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO

    from testbed.mutation.mutant import Mutant

_TAIL = 20
"""Lines of what a worker said that are shown when it dies."""

_NO_CLUSTER = "none of the tests that were chosen asks for a cluster"

_DEATHS = 5
"""Workers of one plugin that may die before it is given up."""


@dataclass(frozen=True, slots=True)
class News:
    """What has happened last to a plugin.

    Attributes:
        plugin: the plugin.
        done: scenarios run for the plan, or mutants tried.
        total: of how many.
        result: the mutant's, if it is one.
    """

    plugin: str
    done: int
    total: int
    result: Result | None = None


@dataclass
class _Course:
    """How far a plugin has got.

    Attributes:
        tally: what came of its mutants.
        left: the mutants that nobody has taken.
        planned: whether there is a plan.
        planning: whether somebody makes it.
        total: how many mutants there are.
        deaths: how many workers died.
        workers: how many are at it.
    """

    tally: Tally
    left: deque[Mutant] = field(default_factory=deque)
    planned: bool = False
    planning: bool = False
    total: int = 0
    deaths: int = 0
    workers: int = 0


class Jobs:
    """The workers, and what they have found.

    Args:
        plugins: the SDN plugins to try.
        arguments: those of pytest: the scenarios and how to choose among them.
        wanted: whether a mutant is to be tried.
        judged: whether those that somebody holds for equivalent are tried, too.
        tell: told of all that happens, from any thread.
    """

    def __init__(
        self,
        plugins: Sequence[str],
        arguments: Sequence[str],
        *,
        wanted: Callable[[Mutant], bool] = lambda _: True,
        judged: bool = False,
        tell: Callable[[News], None] = lambda _: None,
    ) -> None:
        self._arguments = tuple(arguments)
        self._wanted = wanted
        self._judged = judged
        self._tell = tell
        self._courses = {plugin: _Course(Tally(plugin=plugin)) for plugin in plugins}
        self._changed = threading.Condition()
        self._stopped = False
        self._sockets: set[socket.socket] = set()

    def run(self, jobs: int) -> list[Tally]:
        """Try all mutants, with this many workers at a time.

        Raises:
            EmulationError: the workers of a plugin did not come up, or died too often.
        """
        with ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(self._work) for _ in range(jobs)]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            except KeyboardInterrupt as interrupt:
                raise EmulationError("interrupted") from interrupt
            finally:
                self._stop()
        for future in futures:
            future.result()
        return [course.tally for course in self._courses.values()]

    def _stop(self) -> None:
        """Give no more orders; a worker that gets none ends."""
        with self._changed:
            self._stopped = True
            for ours in self._sockets:
                ours.shutdown(socket.SHUT_RDWR)
            self._changed.notify_all()

    def _work(self) -> None:
        while (course := self._next()) is not None:
            try:
                self._employ(course)
            finally:
                with self._changed:
                    course.workers -= 1
                    course.planning = False
                    self._changed.notify_all()

    def _next(self) -> _Course | None:
        """The plugin that needs a worker most; ``None`` when all is done or lost."""
        with self._changed:
            while not self._stopped:
                courses = self._courses.values()
                fresh = [c for c in courses if not (c.planned or c.planning)]
                busy = [c for c in courses if len(c.left) > c.workers]
                chosen = (
                    fresh[0]
                    if fresh
                    else max(busy, key=lambda c: len(c.left) / (1 + c.workers))
                    if busy
                    else None
                )
                if chosen:
                    chosen.planning = not chosen.planned
                    chosen.workers += 1
                    return chosen
                if not any(course.planning for course in courses):
                    return None
                self._changed.wait()
        return None

    def _employ(self, course: _Course) -> None:
        """Start a worker, and give it mutants until none is left or it ends."""
        in_hand: Mutant | None = None
        with (
            tempfile.TemporaryFile("w+") as log,
            self._worker(course, log) as (process, worker),
        ):
            try:
                worker.send(not course.planned)
                self._await_plan(course, worker)
                while in_hand := self._take(course):
                    worker.send(in_hand)
                    result = worker.recv()
                    in_hand = None
                    self._note(course, result)
                    if result.verdict is Verdict.UNDECIDED:
                        self._bury(course, result.failure)
                        return
                worker.send(None)
            except (EOFError, OSError) as error:
                if self._stopped:
                    return
                if process.wait() == 0 and not course.planned:
                    raise EmulationError(_NO_CLUSTER) from error
                log.seek(0)
                said = "".join(log.readlines()[-_TAIL:])
                death = EmulationError(
                    f"a worker for {course.tally.plugin} ended: {said or error}"
                )
                if in_hand is None:
                    raise death from error
                self._note(course, undecided(in_hand, death))
                self._bury(course, str(death))

    def _await_plan(self, course: _Course, worker: Connection) -> None:
        while isinstance(message := worker.recv(), Surveying):
            self._tell(News(course.tally.plugin, message.done, message.total))
        if not isinstance(message, Ready):
            raise EmulationError(f"a worker answered {message!r}")
        with self._changed:
            if course.planned:
                return
            course.planned, course.planning = True, False
            if message.plan:
                wanted = [m for m in message.plan.mutants if self._wanted(m)]
                tried = [m for m in wanted if self._judged or not m.judged]
                course.left.extend(tried)
                course.total = len(tried)
                course.tally.spared = (
                    *message.plan.spared,
                    *(mutant.spared for mutant in wanted if mutant not in tried),
                )
            course.tally.left_out = message.left_out
            self._changed.notify_all()

    def _take(self, course: _Course) -> Mutant | None:
        """The next mutant; those that no scenario has to do with survive untried."""
        with self._changed:
            while course.left and not self._stopped:
                mutant = course.left.popleft()
                if mutant.is_covered:
                    return mutant
                self._note(course, Result(mutant=mutant, verdict=Verdict.SURVIVED))
        return None

    def _note(self, course: _Course, result: Result) -> None:
        with self._changed:
            course.tally.results.append(result)
            news = News(
                course.tally.plugin, len(course.tally.results), course.total, result
            )
        self._tell(news)

    def _bury(self, course: _Course, reason: str) -> None:
        with self._changed:
            course.deaths += 1
            if course.deaths > _DEATHS:
                raise EmulationError(
                    f"{course.deaths} clusters under {course.tally.plugin} did not get "
                    f"over a mutant, the last: {reason}"
                )

    @contextlib.contextmanager
    def _worker(
        self, course: _Course, log: IO[str]
    ) -> Iterator[tuple[subprocess.Popen[bytes], Connection]]:
        """A pytest session with a cluster of its own, and the way to it."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
                    "--tb=line",  # a story for each kill would take longer than it
                    f"--mutation-worker={course.tally.plugin}",
                    *self._arguments,
                ],
                stdin=theirs.fileno(),
                stdout=log,
                stderr=log,
            )
        try:
            with ours, Connection(os.dup(ours.fileno())) as connection:
                with self._changed:
                    self._sockets.add(ours)
                try:
                    yield process, connection
                finally:
                    with self._changed:
                        self._sockets.discard(ours)
        finally:
            process.wait()  # its socket is closed, so it ends
