"""``--report``: what pytest calls to make a page of a run.

With pytest-xdist the workers send what they saw along with pytest's own reports, and
their controller, which has no cluster, makes the page.
"""

from __future__ import annotations

import inspect
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.report.items import EVIDENCE
from testbed.report.page import Session, page
from testbed.report.records import dumped, record
from testbed.report.runs import ABOUT, SCENARIO, About, Runs

if TYPE_CHECKING:
    from collections.abc import Generator

_CLUSTER = "running_cluster"
"""The fixture of every scenario."""
_ACRONYMS = "api arp dns http icmp ip mac mtu nat sctp sdn tcp ttl udp vnid vtep vxlan"
_LONGEST = 80
"""Characters of a parameter."""


@dataclass(eq=False)
class RunReport:
    """The pytest plugin that keeps what scenarios leave behind, and makes the page."""

    directory: Path
    runs: Runs = field(default_factory=Runs)
    started: float = field(default_factory=time.time)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Send along what the test is, and what happened in its cluster."""
        report = yield
        if _CLUSTER in getattr(item, "fixturenames", ()):
            if report.when == "setup":
                setattr(report, ABOUT, _about(item).dumped())
            evidence = item.stash.get(EVIDENCE, None)
            if evidence and (report.when == "call" or report.failed):
                setattr(report, SCENARIO, dumped(record(evidence)))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in a report, from this process or a worker."""
        self.runs.add(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the page, unless this is a worker."""
        if hasattr(session.config, "workerinput"):
            return
        plugins = session.config.pluginmanager
        coverage = plugins.get_plugin("testbed-flow-coverage")
        self.directory.mkdir(parents=True, exist_ok=True)
        text = page(
            self.runs.all(),
            Session(
                started=self.started,
                seconds=time.time() - self.started,
                directory=self.directory,
                invocation=Path.cwd(),
                coverage=coverage.line if coverage else "",
            ),
        )
        (self.directory / "index.html").write_text(text, encoding="utf-8")

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        """Say where the page is."""
        index = (self.directory / "index.html").resolve()
        terminalreporter.write_sep("-", f"report: {index.as_uri()}")


def _about(item: pytest.Item) -> About:
    _, line, name = item.location
    function = getattr(item, "function", None)
    module = inspect.getdoc(getattr(item, "module", None)) or ""
    callspec = getattr(item, "callspec", None)
    parameters = dict(callspec.params) if callspec else {}
    plugin = parameters.pop("topology", "")
    return About(
        file=item.nodeid.partition("::")[0],
        subject=module.partition("\n")[0],
        line=(line or 0) + 1,
        claim=_in_words(name.partition("[")[0]),
        doc=(inspect.getdoc(function) if function else "") or "",
        parameters=tuple((key, _shown(value)) for key, value in parameters.items()),
        plugin=plugin if isinstance(plugin, str) else "",
    )


def _in_words(name: str) -> str:
    """``test_a_pod_may_send`` as ``A pod may send``."""
    acronyms = _ACRONYMS.split()
    words = [
        word.upper() if word in acronyms else word
        for word in name.rpartition(".")[2].removeprefix("test_").split("_")
    ]
    claim = " ".join(words)
    return claim[:1].upper() + claim[1:]


def _shown(value: object) -> str:
    text = getattr(value, "__name__", None) or str(value)
    if text.startswith("<") and " at 0x" in text:
        text = type(value).__name__
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
