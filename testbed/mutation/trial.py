"""One mutant: break the cluster, run scenarios until one fails, mend it, look at it.

A scenario kills that fails while the cluster is broken, twice if it waits in vain, and
passes again when the cluster is mended. So what fails by chance, or of itself, or
because the machine is slow, kills nothing.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from testbed.errors import CommandError, EmulationError, FlowRejectedError, SDNError
from testbed.mutation.runs import first_line
from testbed.mutation.survey import all_rules
from testbed.mutation.verdict import Result, Verdict
from testbed.mutation.witness import witness
from testbed.openflow import parse_dump
from testbed.pipeline import node_flows
from testbed.probe.conversation import impatient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pytest

    from testbed.mutation.mutant import Mutant, Site
    from testbed.mutation.rules import Ruleset
    from testbed.mutation.runs import Run, ScenarioRuns
    from testbed.probe import LiveCluster

_COUNTERS = re.compile(r"^#.*\n| \[\d+:\d+\]", re.MULTILINE)
PATIENCE = 0.5
"""Seconds to wait for what a mutant may have lost."""


@dataclass(slots=True, kw_only=True)
class Trial:
    """What it takes to try mutants on a running cluster.

    Attributes:
        live: the cluster.
        items: the scenarios, by what ``Mutant.covering`` calls them.
        runs: what runs them.
        abandoned: whether nobody waits for the result any more.
        killers: how often each scenario has killed a mutant, of each kind and of each
            table or chain: who noticed one mistake there is asked first about others.
        sound: what ``iptables-save`` said of rules that were as they should be, since
            comparing them word by word takes its time.
    """

    live: LiveCluster
    items: Mapping[str, pytest.Item]
    runs: ScenarioRuns
    abandoned: Callable[[], bool]
    killers: defaultdict[str, Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    sound: set[tuple[Ruleset, str]] = field(default_factory=set)

    def judge(self, mutant: Mutant) -> Result:
        """What comes of a mutant. The cluster is whole again afterwards.

        Raises:
            SDNError: it is not.
            EOFError: nobody waits for the result.
        """
        began = time.monotonic()
        runs = 0
        unfit: list[str] = []
        weak: Result | None = None
        for site in mutant.sites:
            attempt = _Attempt(mutant, site, self._ordered(mutant, site))
            while (result := self._round(attempt)) is None:
                pass
            runs += attempt.runs
            unfit += attempt.unfit
            if result.verdict is Verdict.WEAKLY_KILLED:
                weak = weak or result
            elif result.verdict is not Verdict.SURVIVED:
                break
        else:
            result = weak or self._survived(mutant)
        seconds = time.monotonic() - began
        return replace(result, runs=runs, seconds=seconds, unfit=tuple(unfit))

    def _round(self, attempt: _Attempt) -> Result | None:
        """Break it, run scenarios until one fails, mend it, and run that one again.

        Returns nothing if the scenario fails on the whole cluster, too, and so means
        nothing: others are left.
        """
        mutant, fault = attempt.mutant, attempt.site.fault
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self.live.broken(fault))
            except (FlowRejectedError, CommandError) as error:
                return Result(
                    mutant=mutant, verdict=Verdict.NOT_TAKEN, failure=first_line(error)
                )
            stack.enter_context(self._impatient())
            self._forget_conversations()
            failed = self._first_failure(attempt)
        self._forget_conversations()
        self.check(f"after {mutant}")
        if failed:
            return self._confirmed(Verdict.KILLED, attempt, *failed)
        for scenario, run in attempt.weak.items():
            if result := self._confirmed(Verdict.WEAKLY_KILLED, attempt, scenario, run):
                return result
        return Result(mutant=mutant, verdict=Verdict.SURVIVED)

    def _survived(self, mutant: Mutant) -> Result:
        found = (witness(self.live, site.fault) for site in mutant.sites)
        return Result(
            mutant=mutant,
            verdict=Verdict.SURVIVED,
            witness=next(filter(None, found), ""),
        )

    def _first_failure(self, attempt: _Attempt) -> tuple[str, Run] | None:
        while attempt.left:
            if self.abandoned():
                raise EOFError("nobody waits for the result")
            scenario = attempt.left.pop(0)
            run = self.runs.run(self.items[scenario])
            attempt.runs += 1
            if run.rejected:
                raise EmulationError(f"{scenario} applied what the fault spoils: {run}")
            if run.failure and run.seconds > PATIENCE:
                # It has waited for something; on a loaded machine that may be late.
                run = self.runs.run(self.items[scenario])
            if run.is_weak or attempt.site.fault.renames(run.failure):
                attempt.weak[scenario] = run
            elif run.failure:
                return scenario, run
        return None

    def _confirmed(
        self, verdict: Verdict, attempt: _Attempt, scenario: str, run: Run
    ) -> Result | None:
        """The verdict, if the scenario passes on the whole cluster."""
        mutant, item = attempt.mutant, self.items[scenario]
        if self.runs.run(item).failure:
            self._forget_neighbours()
            if self.runs.run(item).failure:
                attempt.unfit.append(scenario)
                return None
        for place in (mutant.kind, mutant.purpose):
            self.killers[place][scenario] += 1
        return Result(
            mutant=mutant, verdict=verdict, scenario=scenario, failure=run.failure
        )

    def _ordered(self, mutant: Mutant, site: Site) -> list[str]:
        """The scenarios to run, in order."""
        of_kind, of_place = self.killers[mutant.kind], self.killers[mutant.purpose]
        there = [scenario for scenario in site.covering if scenario in self.items]
        return sorted(there, key=lambda name: (-of_kind[name], -of_place[name]))

    @contextlib.contextmanager
    def _impatient(self) -> Iterator[None]:
        patience, self.live.patience = self.live.patience, PATIENCE
        try:
            with impatient(PATIENCE):
                yield
        finally:
            self.live.patience = patience

    def _forget_conversations(self) -> None:
        """What conntrack learnt from a broken cluster is no good for a whole one."""
        for node in self.live.nodes:
            self.live.appctl(node)("dpctl/flush-conntrack")
            node.run("conntrack", "-F")

    def _forget_neighbours(self) -> None:
        """Nor is what kernels learnt by ARP."""
        for place in (*self.live.pods, *self.live.nodes):
            place.machine.configure_links(f"neigh flush dev {place.tap.interface}\n")

    def check(self, when: str) -> None:
        """See that every node has the flows and rules that it should have.

        Raises:
            EmulationError: one has not.
        """
        objects = self.live.objects
        for node in self.live.nodes:
            host = objects.node(node.name)
            dump = self.live.appctl(node)("bridge/dump-flows", "br0")
            has = {replace(item.flow, cookie=0) for item in parse_dump(dump)}
            wants = {replace(flow, cookie=0) for flow in node_flows(objects, host)}
            rules = all_rules(objects, host, self.live.datapath)
            saved = _COUNTERS.sub("", node.run("iptables-save"))
            differences = (
                [] if (rules, saved) in self.sound else (rules.differs_from(saved))
            )
            wrong = [
                *(f"missing: {flow}" for flow in wants - has),
                *(f"extra: {flow}" for flow in has - wants),
                *differences,
            ]
            if not differences:
                self.sound.add((rules, saved))
            if wrong:
                raise EmulationError(f"{when}, {node} is not whole: {'; '.join(wrong)}")


class _Attempt:
    """How far the trial of a mutant has got in one place.

    Attributes:
        mutant: the mutant.
        site: the place.
        left: the scenarios that have not been run.
        weak: those that failed, but not for what the mutant does to a packet.
        unfit: those that failed on the whole cluster, too.
        runs: how many have been run.
    """

    def __init__(self, mutant: Mutant, site: Site, left: list[str]) -> None:
        self.mutant = mutant
        self.site = site
        self.left = left
        self.weak: dict[str, Run] = {}
        self.unfit: list[str] = []
        self.runs = 0


def undecided(mutant: Mutant, error: SDNError) -> Result:
    """What a mutant comes to that the cluster did not get over."""
    return Result(mutant=mutant, verdict=Verdict.UNDECIDED, failure=first_line(error))
