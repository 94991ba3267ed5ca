"""``--flow-coverage``: what pytest calls to know which flows the scenarios hit.

With pytest-xdist the workers send what each scenario hit along with pytest's own
reports, and their controller adds it up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from testbed.coverage.document import document, written
from testbed.coverage.ledger import Ledger, Measured, NodeFlow
from testbed.coverage.page import page
from testbed.coverage.summary import problems, summary
from testbed.pipeline import cluster_flows
from testbed.report.items import EVIDENCE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from testbed.pipeline import ClusterFlows
    from testbed.probe.evidence import Evidence
    from testbed.topology import Topology

NAME = "testbed-flow-coverage"
"""What the plugin is registered as."""

_MEASURED = "testbed_measured"
"""The attribute of a report that tells what its scenario hit."""


@dataclass(eq=False)
class FlowCoverage:
    """The pytest plugin that measures, adds up, tells and judges.

    ``directory`` is where the report goes, ``fail_under`` the share of kinds that must
    be hit, in percent.
    """

    directory: Path | None = None
    fail_under: float | None = None
    ledger: Ledger = field(default_factory=Ledger)
    _built: dict[int, tuple[Topology, ClusterFlows]] = field(default_factory=dict)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Send along what a scenario hit."""
        report = yield
        evidence = item.stash.get(EVIDENCE, None)
        if evidence and report.when == "call":
            setattr(report, _MEASURED, self._measure(evidence).dumped())
        return report

    @property
    def line(self) -> str:
        """The sum of all so far, in a line."""
        found = self.ledger.coverage()
        return (
            f"{found.n_kinds_hit} of {found.n_kinds} kinds of flows hit, "
            f"{found.percent:.1f} %"
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add what a scenario hit, in this process or a worker."""
        if measured := getattr(report, _MEASURED, ""):
            self.ledger.add(Measured.loaded(measured))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the report, and fail what is not covered enough."""
        if hasattr(session.config, "workerinput"):
            return
        coverage = self.ledger.coverage()
        if self.directory:
            self.directory.mkdir(parents=True, exist_ok=True)
            json, html = (
                self.directory / name for name in ("coverage.json", "index.html")
            )
            json.write_text(written(document(coverage)), encoding="utf-8")
            html.write_text(page(coverage), encoding="utf-8")
        failed = any(problems(coverage, fail_under=self.fail_under))
        if failed and session.exitstatus in (
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        """Print the summary, and why the run fails, if it does for this."""
        coverage = self.ledger.coverage()
        terminalreporter.section("flow coverage")
        for line in summary(coverage):
            terminalreporter.write_line(line)
        if self.directory:
            index = (self.directory / "index.html").resolve()
            terminalreporter.write_line(f"flow by flow: {index.as_uri()}")
        for line in problems(coverage, fail_under=self.fail_under):
            terminalreporter.write_line(f"FAILED: {line}", red=True)

    def _measure(self, evidence: Evidence) -> Measured:
        topology = evidence.topology
        is_new = id(topology) not in self._built
        if is_new:  # the topology is kept, so that its id stays its own
            self._built[id(topology)] = topology, cluster_flows(topology.cluster)
        _, flows = self._built[id(topology)]
        built = {item.key: item for item in _node_flows(flows)}
        applied = {
            item.key: item
            for became in evidence.became[1:]
            for item in _node_flows(cluster_flows(became.cluster, flows))
            if item.key not in built
        }
        return Measured(
            plugin=topology.cluster.network.plugin.value,
            scenario=evidence.scenario,
            built=tuple(built.values()) if is_new else (),
            applied=tuple(applied.values()),
            hits=tuple(
                (NodeFlow(node=hit.node, flow=hit.flow), hit.n_packets)
                for hit in evidence.hits
            ),
        )


def _node_flows(flows: ClusterFlows) -> Iterator[NodeFlow]:
    for node in flows.cluster.nodes:
        for flow in flows.of(node):
            yield NodeFlow(node=node.name, flow=flow)
