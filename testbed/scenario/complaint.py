"""What a scenario is about: one packet, what must become of it, and what does. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.model import Outcome, Transport

if TYPE_CHECKING:
    from testbed.model import Cluster, Traffic
    from testbed.oracle import Expectation
    from testbed.tracing import Journey

_ANSWERED = {Transport.ICMP, Transport.TCP, Transport.UDP}
"""What every kernel answers, if only with an error; not all have SCTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One question to a cluster.

    Attributes:
        cluster: whose packet it is.
        source: who sends, as it was typed.
        destination: for whom, as it was typed.
        traffic: the packet.
        expected: what must become of it.
        is_answered: whether an answer must come back, too.
        told: what became of it when the scenario was written, a line for each witness.
        agrees: whether that was what must.
        answer: what becomes of the answer, in the same way; empty where all is well
            with it, or there is none.
        place: what it was asked of, in words.
    """

    cluster: Cluster
    source: str
    destination: str
    traffic: Traffic
    expected: Expectation
    is_answered: bool
    told: str
    agrees: bool
    answer: str
    place: str


def must_be_answered(
    cluster: Cluster, traffic: Traffic, expected: Expectation, reply: Journey | None
) -> bool:
    """Whether an answer must come back to the sender, on either datapath.

    Args:
        cluster: whose packet it is.
        traffic: the packet.
        expected: what must become of it.
        reply: what 3.11's own flows and rules would make of the answer.
    """
    if expected.outcome is not Outcome.DELIVERED or expected.may_be_lost:
        return False
    if traffic.transport not in _ANSWERED or reply is None or not reply.arrivals:
        return False
    is_service = traffic.destination in cluster.network.service_network
    # With userspace's datapath the answer of a service gets lost: see ARCHITECTURE.
    return not (is_service and cluster.network.plugin.tracks_connections)
