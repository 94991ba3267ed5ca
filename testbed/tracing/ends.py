"""How a packet's way ends, and the wires between: pieces of a journey."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.model import Delivery, Outcome
from testbed.tracing.journey import Arrival, Loss, WireHop

if TYPE_CHECKING:
    from testbed.model import Party
    from testbed.tracing.journey import Step
    from testbed.tracing.packet import Packet


def arrived(
    machine: str, receiver: Party, packet: Packet, vnid: int | None = None
) -> tuple[Step, ...]:
    """The end of a way at its receiver."""
    delivery = Delivery(
        receiver=receiver,
        source=packet.source,
        vnid=vnid,
        destination=packet.destination,
        dport=packet.dport,
    )
    return (Arrival(machine=machine, delivery=delivery),)


def lost(
    machine: str, reason: str, outcome: Outcome = Outcome.DROPPED
) -> tuple[Step, ...]:
    """The end of a way elsewhere."""
    return (Loss(outcome=outcome, machine=machine, reason=reason),)


def wire(
    sender: str, receiver: str, packet: Packet, then: tuple[Step, ...]
) -> tuple[Step, ...]:
    """Over a wire, in no tunnel."""
    return (
        WireHop(
            sender=sender,
            receiver=receiver,
            source=packet.source,
            destination=packet.destination,
            vnid=None,
            then=then,
        ),
    )
