"""The part of a worker that runs every scenario once and notes what it hits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from testbed.errors import EmulationError
from testbed.mutation.survey import Observation, RuleCounters, Survey, flows_hit

if TYPE_CHECKING:
    from collections.abc import Generator

    from testbed.mutation.runs import ScenarioRuns
    from testbed.probe import LiveCluster


class Surveyor:
    """The pytest plugin that notes what scenarios hit.

    Attributes:
        live: the cluster, once a scenario has run.
        survey: what was noted, once a scenario has run.
        left_out: the scenarios that fail without any mutant, and how.
    """

    def __init__(self) -> None:
        self.live: LiveCluster | None = None
        self.survey: Survey | None = None
        self.left_out: dict[str, str] = {}
        self._counters: RuleCounters | None = None

    def look_at(self, item: pytest.Item, runs: ScenarioRuns) -> None:
        """Run a scenario; if it fails, once more, as machines are slow at times."""
        failure = runs.run(item).failure and runs.run(item).failure
        if failure:
            self.left_out[item.nodeid] = failure
            if self.survey:
                self.survey.observations.pop(item.nodeid, None)

    def end(self) -> None:
        """Note no more."""
        self._counters = None
        if self.live:
            self.live.before_change.clear()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """Note what a scenario hits."""
        live: LiveCluster | None = getattr(item, "funcargs", {}).get("cluster")
        if live is None:
            yield
            return
        if self.live is None or self.survey is None:
            self._begin(live)
        if self._counters is None or self.survey is None:
            yield
            return
        if live is not self.live:
            raise EmulationError("it has a cluster of its own")
        self._counters.begin()
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        for topology in live.became:
            self.survey.note_programs(topology.cluster)
        self.survey.observations[item.nodeid] = Observation(
            scenario=item.nodeid,
            seconds=seconds,
            flows=flows_hit(live),
            rules=self._counters.hit(),
        )

    def _begin(self, live: LiveCluster) -> None:
        built = live.became[0].cluster
        self.live = live
        self.survey = Survey(cluster=built, datapath=live.datapath)
        self.survey.note_programs(built)
        self._counters = RuleCounters(live)
        live.before_change.append(self._counters.take_in)
