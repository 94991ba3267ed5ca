"""One packet, three witnesses: what must, what would and what did become of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from testbed.model import Outcome
from testbed.parties import name_of
from testbed.tracing.render import journey_json
from testbed.verdict.agreement import observed_otherwise, traced_otherwise
from testbed.verdict.explain import Explanation, explain

if TYPE_CHECKING:
    from testbed.model import Cluster, Traffic
    from testbed.openflow import Table
    from testbed.oracle import Expectation
    from testbed.probe.observed import Observation
    from testbed.tracing import Journey
    from testbed.tracing.render import Origins
    from testbed.verdict.facts import Fact


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What each witness says of one packet.

    Attributes:
        cluster: what the question is about.
        traffic: the packet.
        expected: from the objects alone.
        traced: from the flows and rules; ``None`` where nobody asked.
        observed: from real packets; ``None`` where none was sent.
        origins: whose the flows are.
        facts: what is wrong with the cluster; looked for where the witnesses disagree.
    """

    cluster: Cluster
    traffic: Traffic
    expected: Expectation
    traced: Journey | None = None
    observed: Observation | None = None
    origins: Origins = field(repr=False)
    facts: tuple[Fact, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """What was seen; where nothing was sent, what was traced, or is expected."""
        if self.observed is not None:
            return self.observed.outcome
        return (self.traced or self.expected).outcome

    @cached_property
    def _differences(self) -> tuple[tuple[Outcome, str], ...]:
        """The outcome of the witness that says otherwise, and what it says."""
        traced, observed = self.traced, self.observed
        found: list[tuple[Outcome, str]] = []
        if traced is not None:
            told = traced_otherwise(self.expected, traced)
            found += ((traced.outcome, text) for text in told)
        if observed is not None:
            told = observed_otherwise(self.expected, observed)
            found += ((observed.outcome, text) for text in told)
        return tuple(found)

    @property
    def differences(self) -> tuple[str, ...]:
        """What the witnesses do not agree in, the trace's part first."""
        return tuple(text for _, text in self._differences)

    @property
    def agrees(self) -> bool:
        """Whether all that were asked say the same."""
        return not self.differences

    @property
    def is_inconclusive(self) -> bool:
        """Whether a witness could not tell, and no other contradicts the oracle."""
        outcomes = {outcome for outcome, _ in self._differences}
        return outcomes == {Outcome.INCONCLUSIVE}

    @property
    def delivered(self) -> bool:
        """Whether somebody received it."""
        return self.outcome is Outcome.DELIVERED

    @property
    def rejected(self) -> bool:
        """Whether nobody did, and the sender was told."""
        return self.outcome is Outcome.REJECTED

    @property
    def answered(self) -> bool:
        """Whether something came back to the sender, if only a refusal."""
        return self.observed is not None and self.observed.answer is not None

    def dropped(self, at: object = None, table: Table | None = None) -> bool:
        """Whether nobody received it and nobody was told.

        Args:
            at: the node that must have dropped it: a node's name, its first label, or
                the node itself.
            table: the table of its br0 that must have.
        """
        if self.outcome is not Outcome.DROPPED:
            return False
        if at is None and table is None:
            return True
        node = None if at is None else self.cluster.node(str(at)).name
        return any(
            node in (None, where) and table in (None, number)
            for where, number in self.dropped_in
        )

    @property
    def dropped_in(self) -> tuple[tuple[str, int], ...]:
        """The nodes and tables that dropped it, as counted, else as traced."""
        if self.observed is not None and self.observed.dropped_by:
            drops = self.observed.dropped_by
            return tuple((node, table) for node, table, _ in drops)
        losses = self.traced.losses if self.traced else ()
        return tuple((loss.machine, loss.flow.table) for loss in losses if loss.flow)

    @cached_property
    def explanation(self) -> Explanation:
        """Where the witnesses part, and what is to blame."""
        return explain(self)

    @property
    def line(self) -> str:
        """All of it in one line."""
        return self.explanation.line

    @property
    def paragraph(self) -> str:
        """All of it, a line per witness, and the culprit."""
        return self.explanation.paragraph

    def __repr__(self) -> str:
        """The line, because pytest shows this where an assertion fails."""
        return f"<{self.line}>"

    def as_json(self) -> dict[str, object]:
        """All of it for scripts."""
        return {
            "sender": name_of(self.traffic.sender),
            "destination": str(self.traffic.destination),
            "transport": self.traffic.transport.value,
            "dport": self.traffic.dport,
            "outcome": self.outcome.value,
            "agrees": self.agrees,
            "expected": {
                "outcome": self.expected.outcome.value,
                "decided_by": self.expected.decided_by,
                "considered": list(self.expected.considered),
                "may_be_lost": list(self.expected.may_be_lost),
                "receivers": [name_of(d.receiver) for d in self.expected.deliveries],
            },
            "traced": None
            if self.traced is None
            else {
                "outcome": self.traced.outcome.value,
                "steps": journey_json(self.traced, self.origins),
            },
            "observed": None if self.observed is None else self.observed.as_json(),
            "differences": list(self.differences),
            "parted": self.explanation.parted,
            "culprits": [str(fact) for fact in self.explanation.culprits],
            "line": self.line,
        }
