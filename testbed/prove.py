"""Proof that scenarios can fail: each is run again without a flow that it hit.

``pytest scenarios/ --prove-red`` deletes, after each scenario that passed, one of the
flows it hit (those that drop first, then from the end of the pipeline back), runs it
again from the start, puts the flow back, and goes on until the scenario has failed for
it. What the scenario applies does not bring the flow back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from testbed.errors import SDNError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from testbed.openflow import Flow
    from testbed.probe import LiveCluster, Node

_PATIENCE = 0.5
"""Seconds to wait for what is not going to come."""

_FAILURES = (AssertionError, SDNError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Red:
    """A scenario that was seen to fail; ``flow`` is empty if it never was."""

    scenario: str
    flow: str = ""
    failure: str = ""


@dataclass
class RedProof:
    """The pytest plugin that breaks what each scenario guards."""

    seen: list[Red] = field(default_factory=list)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """Run a scenario, then run it again until it fails."""
        yield
        live: LiveCluster | None = getattr(item, "funcargs", {}).get("cluster")
        if live is None:
            return
        scenario = item.nodeid.rpartition("/")[2]
        patience, live.patience = live.patience, _PATIENCE
        try:
            red = next(_failures(item, live, scenario), Red(scenario=scenario))
        finally:
            live.patience = patience
        self.seen.append(red)
        if not red.flow:
            pytest.fail(f"{scenario} passes whichever of the flows it hits is missing")

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        """Print what turned each scenario red."""
        terminalreporter.section("scenario → flow deleted → failure")
        for red in self.seen:
            terminalreporter.write_line(red.scenario)
            terminalreporter.write_line(f"    - {red.flow or 'nothing turned it red'}")
            terminalreporter.write_line(f"    ! {red.failure}")


def _failures(item: pytest.Item, live: LiveCluster, scenario: str) -> Iterator[Red]:
    for node, flow in list(_hit(live)):
        with live.without_flow(node, flow):
            live.start_scenario()
            try:
                item.runtest()
            except _FAILURES as error:
                failure = str(error).splitlines()[0]
            else:
                continue
        if not failure.startswith("inconclusive"):
            yield Red(scenario=scenario, flow=f"{node}: {flow}", failure=failure)


def _hit(live: LiveCluster) -> Iterator[tuple[Node, Flow]]:
    """The flows a scenario hit, the likeliest to matter first."""
    nodes = {node.name: node for node in live.nodes}
    hit = [(nodes[name], flow) for name, flow, _ in live.flows_hit()]
    yield from sorted(hit, key=lambda pair: (not pair[1].drops, -pair[1].table))
