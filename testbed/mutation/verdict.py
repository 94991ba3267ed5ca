"""What came of a mutant."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbed.mutation.mutant import Mutant, Spared


class Verdict(enum.StrEnum):
    """What came of a mutant.

    A scenario that fails because even its positive control got lost has noticed
    something, but not what: that kills weakly. So does one that asks for a flow by a
    priority and match that it has no longer: it has noticed the flow, not what the flow
    does to packets. A mutant that Open vSwitch or iptables
    does not take is none. One that the testbed did not get over is told apart, for it
    says nothing about the scenarios.
    """

    KILLED = "killed"
    WEAKLY_KILLED = "weakly killed"
    SURVIVED = "survived"
    NOT_TAKEN = "not taken"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one mutant.

    Attributes:
        mutant: the mutant.
        verdict: what came of it.
        scenario: who killed it.
        failure: the first line of the failure; of a mutant that was not taken or is
            undecided, why.
        runs: how many scenarios were run.
        seconds: how long that took.
        witness: a packet that a survivor treats otherwise, and how; empty if none was
            found.
        unfit: scenarios that failed, but on the mended cluster, too.
    """

    mutant: Mutant
    verdict: Verdict
    scenario: str = ""
    failure: str = ""
    runs: int = 0
    seconds: float = 0.0
    witness: str = ""
    unfit: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Tally:
    """What came of all mutants of a plugin.

    Attributes:
        plugin: the SDN plugin.
        results: one for each mutant that was made.
        spared: those that were not made, since nobody could tell.
        left_out: scenarios that fail without any mutant, and how.
    """

    plugin: str
    results: list[Result] = field(default_factory=list)
    spared: tuple[Spared, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)

    def of(self, verdict: Verdict) -> list[Result]:
        """The results with this verdict."""
        return [result for result in self.results if result.verdict is verdict]

    @property
    def misjudged(self) -> list[Result]:
        """Those that somebody held for equivalent, and a scenario noticed."""
        return [result for result in self._killed if result.mutant.judged]

    @property
    def score(self) -> float:
        """The share of mutants that were killed, weakly or not, in percent.

        Those that were not taken or are undecided do not count, nor do survivors that
        somebody holds for equivalent.
        """
        killed = len(self._killed)
        survived = [r for r in self.of(Verdict.SURVIVED) if not r.mutant.judged]
        counted = killed + len(survived)
        return 100 * killed / counted if counted else 100.0

    @property
    def _killed(self) -> list[Result]:
        return self.of(Verdict.KILLED) + self.of(Verdict.WEAKLY_KILLED)
