"""What was seen of one packet, and what that means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbed.model import Outcome, Traffic
    from testbed.probe.answers import Answer
    from testbed.probe.drops import Drop
    from testbed.probe.passage import Passage


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What became of a packet, as far as it was seen.

    Attributes:
        traffic: the packet.
        outcome: how it ended.
        passages: at which taps it was seen, by time; from one to the next shows what
            was made of it: a tunnel around it, other addresses. Those of its answer are
            not among them.
        receivers: the names of those who have it, in the order they got it. A pod or
            ghost has what came in at its tap, a machine outside what was for its
            address, too, and a node what its kernel took for itself. Empty also where
            it was delivered to a machine without taps, as the gateway; only the answer
            tells.
        answer: what came back to the sender.
        control: whether all controls that followed it arrived.
        reason: why the outcome is inconclusive, or which taps missed something.
        dropped_by: the flows that dropped it, where it was sent alone.
    """

    traffic: Traffic
    outcome: Outcome
    passages: tuple[Passage, ...]
    receivers: tuple[str, ...]
    answer: Answer | None
    control: bool
    reason: str = ""
    dropped_by: tuple[Drop, ...] = ()

    def as_json(self) -> dict[str, object]:
        """All of it for scripts; times are in seconds since the first passage."""
        start = self.passages[0].nanoseconds if self.passages else 0
        return {
            "outcome": self.outcome.value,
            "receivers": list(self.receivers),
            "answer": None if self.answer is None else str(self.answer),
            "control": self.control,
            "reason": self.reason,
            "dropped_by": [
                {"node": drop.node, "table": drop.table, "flow": drop.selector}
                for drop in self.dropped_by
            ],
            "passages": [
                {
                    "time": (passage.nanoseconds - start) / 1e9,
                    "tap": str(passage.tap),
                    "sent": passage.sent,
                    "packet": str(passage.headers),
                }
                for passage in self.passages
            ],
        }
