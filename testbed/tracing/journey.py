"""One packet's way through the cluster, as a tree of what handles it.

A bridge may copy the packet, a kernel may choose one of a service's endpoints, so every
step has those that follow it in ``then``: copies after a bridge, choices after a
kernel. A branch ends in an ``Arrival`` or a ``Loss``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from testbed.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address

    from testbed.model import Delivery, Traffic
    from testbed.netfilter import Passage, RuleHit
    from testbed.ovs.trace import Trace, TraceStep


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeHop:
    """Through a node's br0.

    Attributes:
        node: the node's name.
        came_by: the port it came in by: ``vxlan0``, ``tun0`` or a pod's key.
        packet: what came in, in OVS's text.
        trace: what OVS says becomes of it, as a tree of bridge, table, flow, action.
    """

    node: str
    came_by: str
    packet: str
    trace: Trace
    then: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelHop:
    """Through the routing and iptables of a node, or of the gateway.

    Attributes:
        machine: whose kernel it is.
        came_by: the interface it came in by; empty where the machine itself sends it.
        passage: the rules it hit and what they made of it.
    """

    machine: str
    came_by: str
    passage: Passage
    then: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireHop:
    """Over the underlay, or the network outside.

    Attributes:
        sender: the machine that puts it on the wire.
        receiver: the machine that it is for.
        source: of the outer header where it is tunnelled, else of the packet.
        destination: the same.
        vnid: what the VXLAN header carries; ``None`` where there is none.
    """

    sender: str
    receiver: str
    source: IPv4Address
    destination: IPv4Address
    vnid: int | None
    then: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A copy arrives, at ``machine``."""

    machine: str
    delivery: Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A copy goes no further.

    Attributes:
        outcome: dropped, rejected, or inconclusive: the trace could not go on.
        machine: where.
        reason: why, in words.
        packet: what was lost, in OVS's text; empty where a kernel lost it.
        flow: the table and flow of br0 that dropped it, if one did.
        rule: the rule, or policy, of iptables that did.
    """

    outcome: Outcome
    machine: str
    reason: str
    packet: str = ""
    flow: TraceStep | None = None
    rule: RuleHit | None = None


Hop: TypeAlias = "BridgeHop | KernelHop | WireHop"
End: TypeAlias = "Arrival | Loss"
Step: TypeAlias = "BridgeHop | KernelHop | WireHop | Arrival | Loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """All that becomes of one packet, branch by branch."""

    traffic: Traffic
    then: tuple[Step, ...]
    _ways: tuple[tuple[Step, ...], ...] = field(
        init=False, repr=False, compare=False, default=()
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ways", tuple(_ways(self.then)))

    @property
    def ways(self) -> tuple[tuple[Step, ...], ...]:
        """Every branch from its first step to its end."""
        return self._ways

    @property
    def arrivals(self) -> tuple[Arrival, ...]:
        """The ends that are arrivals."""
        return tuple(way[-1] for way in self._ways if isinstance(way[-1], Arrival))

    @property
    def losses(self) -> tuple[Loss, ...]:
        """The ends that are none."""
        return tuple(way[-1] for way in self._ways if isinstance(way[-1], Loss))

    @property
    def bridges(self) -> tuple[BridgeHop, ...]:
        """The bridges gone through, in the order of the branches."""
        return tuple(item for _, item in self.walk() if isinstance(item, BridgeHop))

    @property
    def outcome(self) -> Outcome:
        """One delivered copy is a delivery; else the clearest loss counts."""
        if self.arrivals:
            return Outcome.DELIVERED
        outcomes = {loss.outcome for loss in self.losses}
        for outcome in (Outcome.INCONCLUSIVE, Outcome.REJECTED, Outcome.DROPPED):
            if outcome in outcomes:
                return outcome
        return Outcome.INCONCLUSIVE

    def walk(self) -> Iterator[tuple[int, Step]]:
        """Yield every step with its depth, each before those that follow it."""
        yield from _walk(self.then, 0)


def _walk(steps: tuple[Step, ...], depth: int) -> Iterator[tuple[int, Step]]:
    for step in steps:
        yield depth, step
        if not isinstance(step, Arrival | Loss):
            yield from _walk(step.then, depth + 1)


def _ways(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    for step in steps:
        if isinstance(step, Arrival | Loss):
            yield (step,)
        else:
            for rest in _ways(step.then):
                yield (step, *rest)
