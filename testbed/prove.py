"""Proof that scenarios can fail: each is run again without a flow that it hit.

``pytest scenarios/ --prove-red`` deletes, after each scenario that passed, one of the
flows it hit (those that drop first, then from the end of the pipeline back), runs it
again, puts the flow back, and goes on until the scenario has failed for it. What the
scenario applies does not bring the flow back; what its fixtures applied is there when
it begins. ``testbed mutate`` asks the opposite question: which scenario notices?
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from testbed.errors import SDNError
from testbed.mutation.fault import Deletion, FlowFault
from testbed.patience import patience

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from testbed.openflow import Flow
    from testbed.probe import LiveCluster
    from testbed.topology import Topology

_PATIENCE = 0.5
"""Seconds to wait for what is not going to come."""

_FAILURES = (AssertionError, SDNError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Red:
    """A scenario that was seen to fail; ``flow`` is empty if it never was."""

    scenario: str
    flow: str = ""
    failure: str = ""


@dataclass(eq=False)
class RedProof:
    """The pytest plugin that breaks what each scenario guards."""

    seen: list[Red] = field(default_factory=list)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """Run a scenario, then run it again until it fails."""
        live: LiveCluster | None = getattr(item, "funcargs", {}).get("cluster")
        prepared = live.topology if live else None
        yield
        if live is None or prepared is None:
            return
        scenario = item.nodeid.rpartition("/")[2]
        before, live.patience = live.patience, patience(_PATIENCE)
        try:
            red = next(
                _failures(item, live, prepared, scenario), Red(scenario=scenario)
            )
        finally:
            live.patience = before
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


def _failures(
    item: pytest.Item, live: LiveCluster, prepared: Topology, scenario: str
) -> Iterator[Red]:
    for node, flow in list(_hit(live)):
        live.become(prepared)
        with live.broken(FlowFault.of(node, flow, Deletion())):
            live.start_scenario()
            try:
                item.runtest()
            except _FAILURES as error:
                failure = str(error).splitlines()[0]
            else:
                continue
        if not failure.startswith("inconclusive"):
            yield Red(scenario=scenario, flow=f"{node}: {flow}", failure=failure)


def _hit(live: LiveCluster) -> Iterator[tuple[str, Flow]]:
    """The flows a scenario hit, the likeliest to matter first."""
    hit = [(node, flow) for node, flow, _ in live.flows_hit()]
    yield from sorted(hit, key=lambda pair: (not pair[1].drops, -pair[1].table))
