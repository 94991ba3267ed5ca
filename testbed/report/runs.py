"""What pytest says of each test, phase by phase, put together to runs. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from testbed.report.items import CAPTURE
from testbed.report.records import ScenarioRecord, loaded

if TYPE_CHECKING:
    import pytest

ABOUT = "testbed_about"
"""The attribute of a report that tells what the test is."""
SCENARIO = "testbed_scenario"
"""The attribute of a report that tells what happened in its cluster."""

_LONGEST = 20_000
"""Characters of a traceback, or of what was captured or told with it."""


class State(enum.StrEnum):
    """How a test ended."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a test is: as words, and as its author wrote it.

    ``subject`` is the first line of what its file says of itself.
    """

    file: str
    line: int
    subject: str
    claim: str
    doc: str
    parameters: tuple[tuple[str, str], ...]
    plugin: str

    def dumped(self) -> str:
        """The same as JSON."""
        return _AS_JSON.dump_json(self).decode()

    @staticmethod
    def loaded(text: str) -> About:
        """What ``dumped`` wrote."""
        return _AS_JSON.validate_json(text)


_AS_JSON = TypeAdapter(About)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One test as it was run.

    ``message`` is the error or the reason in a line, ``failure`` the traceback, and
    ``sections`` are what was captured or told with it, by their titles.
    """

    nodeid: str
    state: State
    seconds: float
    about: About
    scenario: ScenarioRecord | None
    message: str = ""
    failure: str = ""
    sections: tuple[tuple[str, str], ...] = ()
    capture: str = ""

    @property
    def plugin(self) -> str:
        """The SDN plugin that its cluster had; empty if it never had one."""
        return self.scenario.plugin if self.scenario else self.about.plugin


@dataclass(slots=True)
class _Open:
    about: About
    state: State = State.PASSED
    seconds: float = 0.0
    scenario: str = ""
    message: str = ""
    failures: list[str] = field(default_factory=list)
    sections: dict[str, str] = field(default_factory=dict)
    capture: str = ""


class Runs:
    """Every test of a session that had, or was to have, a cluster."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def add(self, report: pytest.TestReport) -> None:
        """Take in the report of a phase; one that is not about a cluster is nothing."""
        if report.when == "setup" and (about := getattr(report, ABOUT, "")):
            self._open[report.nodeid] = _Open(about=About.loaded(about))
        run = self._open.get(report.nodeid)
        if run is None:
            return
        run.seconds += report.duration
        run.scenario = getattr(report, SCENARIO, "") or run.scenario
        properties = dict(report.user_properties)
        run.capture = str(properties.get(CAPTURE, run.capture))
        if report.failed:
            run.state = State.FAILED if report.when == "call" else State.ERROR
            run.message = run.message or _message(report)
            run.failures.append(_shortened(report.longreprtext))
            run.sections |= {title: _shortened(text) for title, text in report.sections}
        elif report.skipped:
            run.state = State.SKIPPED
            run.message = _reason(report)

    def all(self) -> list[Run]:
        """The runs, in the order of their names as pytest collects them."""
        return [
            Run(
                nodeid=nodeid,
                state=run.state,
                seconds=run.seconds,
                about=run.about,
                scenario=loaded(run.scenario) if run.scenario else None,
                message=run.message,
                failure="\n\n".join(run.failures),
                sections=tuple(run.sections.items()),
                capture=run.capture,
            )
            for nodeid, run in self._open.items()
        ]


def _message(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message) if crash else report.longreprtext.rpartition("\n")[2]


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters …\n{text[-half:]}"


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(getattr(report, "wasxfail", "")) or "skipped"
