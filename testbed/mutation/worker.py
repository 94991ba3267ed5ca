"""A pytest session that breaks its cluster again and again, and runs scenarios on it.

It is started with a socket for stdin, over which it is told what to do: first whether
to make the plan, for which it runs all scenarios once; then one mutant after another,
each of which it answers with the result.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import pytest

from testbed.errors import SDNError
from testbed.mutation.plan import plan
from testbed.mutation.runs import ScenarioRuns
from testbed.mutation.surveyor import Surveyor
from testbed.mutation.trial import Trial, undecided
from testbed.mutation.verdict import Verdict
from testbed.pytest_choice import TOPOLOGIES

if TYPE_CHECKING:
    from testbed.mutation.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveying:
    """How many scenarios of how many have been run for the plan."""

    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A worker waits for mutants.

    Attributes:
        plan: the mutants, as far as the scenarios that it ran tell; ``None`` if none
            ran.
        left_out: scenarios that fail without any mutant, and how.
    """

    plan: Plan | None
    left_out: dict[str, str]


class Worker:
    """The pytest plugin in whose session mutants are tried.

    Args:
        plugin: the SDN plugin whose scenarios are run.
        connection: the way to who gives the orders.
    """

    def __init__(self, plugin: str, connection: Connection) -> None:
        self._plugin = plugin
        self._connection = connection
        self._runs = ScenarioRuns()
        self._surveyor = Surveyor()

    @classmethod
    def register(cls, config: pytest.Config, plugin: str) -> None:
        """Take part in a session whose stdin is the socket."""
        capture = config.pluginmanager.getplugin("capturemanager")
        if capture:
            capture.suspend_global_capture(in_=True)
        connection = Connection(os.dup(0))
        if capture:
            capture.resume_global_capture()
        worker = cls(plugin, connection)
        for part in (worker, worker._runs, worker._surveyor):
            config.pluginmanager.register(part)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave out scenarios about other plugins, and tests that need no cluster."""
        chosen = config.getoption("--topology")
        # What says nothing of plugins runs in the cluster that is there by default.
        unmarked = self._plugin if chosen else next(iter(TOPOLOGIES))
        left = [item for item in items if self._is_about_the_plugin(item, unmarked)]
        others = [item for item in items if item not in left]
        config.hook.pytest_deselected(items=others)
        items[:] = left

    def _is_about_the_plugin(self, item: pytest.Item, unmarked: str) -> bool:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        return "cluster" in getattr(item, "fixturenames", ()) and bool(
            parameters.get("topology", unmarked) == self._plugin
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Do what is ordered, until there are no more orders."""
        if session.testsfailed:
            return None  # pytest says what is wrong
        with contextlib.suppress(EOFError, BrokenPipeError):
            self._obey({item.nodeid: item for item in session.items})
        return True

    def _obey(self, items: dict[str, pytest.Item]) -> None:
        send = self._connection.send
        if self._connection.recv():
            self._survey(items)
        else:
            self._start(items)
        self._surveyor.end()
        survey = self._surveyor.survey
        send(
            Ready(
                plan=plan(survey) if survey else None,
                left_out=self._surveyor.left_out,
            )
        )
        if self._surveyor.live is None:
            return
        # Nothing is sent to a worker at work, so what there is to read is the end.
        trial = Trial(
            live=self._surveyor.live,
            items=items,
            runs=self._runs,
            abandoned=self._connection.poll,
        )
        while mutant := self._connection.recv():
            try:
                result = trial.judge(mutant)
            except SDNError as error:
                result = undecided(mutant, error)
            send(result)
            if result.verdict is Verdict.UNDECIDED:
                return  # who knows what the cluster is now

    def _survey(self, items: dict[str, pytest.Item]) -> None:
        for number, item in enumerate(items.values()):
            self._connection.send(Surveying(done=number, total=len(items)))
            self._surveyor.look_at(item, self._runs)

    def _start(self, items: dict[str, pytest.Item]) -> None:
        """Have the cluster built, which the first scenario does that is not skipped."""
        for item in items.values():
            if not self._runs.run(item).skipped:
                break
