"""Running a scenario again and again within one pytest session, fixtures and all."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pytest
from _pytest.runner import runtestprotocol

from testbed.errors import CommandError, FlowRejectedError

if TYPE_CHECKING:
    from collections.abc import Generator

INCONCLUSIVE = "inconclusive"
"""How a failure begins that a lost positive control is to blame for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a scenario went.

    Attributes:
        failure: the first line of what it failed with; empty if it did not.
        seconds: how long it took, with its fixtures.
        skipped: whether it did not run at all.
        rejected: whether the node refused what was to be programmed, which says
            nothing about the scenario.
    """

    failure: str = ""
    seconds: float = 0.0
    skipped: bool = False
    rejected: bool = False

    @property
    def is_weak(self) -> bool:
        """Whether it noticed that something is wrong, but not what."""
        return self.failure.startswith(INCONCLUSIVE)


class ScenarioRuns:
    """The pytest plugin that runs single scenarios, without reports."""

    def __init__(self) -> None:
        self._errors: list[BaseException] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep the errors of a run."""
        if call.excinfo:
            self._errors.append(call.excinfo.value)
        return (yield)

    def run(self, item: pytest.Item) -> Run:
        """Run a scenario from its fixtures on; those of the session stay."""
        self._errors.clear()
        began = time.monotonic()
        # What the next item does not need is torn down. With the session for the next,
        # that is all but what belongs to the session.
        runtestprotocol(item, log=False, nextitem=cast("pytest.Item", item.session))
        seconds = time.monotonic() - began
        if not self._errors:
            return Run(seconds=seconds)
        error = self._errors[0]
        if isinstance(error, pytest.skip.Exception):
            return Run(seconds=seconds, skipped=True)
        return Run(
            failure=first_line(error), seconds=seconds, rejected=_is_rejection(error)
        )


def first_line(error: BaseException) -> str:
    """What an error says, without what follows."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]


def _is_rejection(error: BaseException) -> bool:
    if isinstance(error, CommandError):
        return "iptables-restore" in error.argv
    return isinstance(error, FlowRejectedError)
