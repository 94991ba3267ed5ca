"""What the oracle answers: where a packet ends, and which object decides it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.model import Delivery, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What must happen to a packet.

    Attributes:
        outcome: how it ends.
        decided_by: the object or rule that decides, as an administrator names it.
        deliveries: who may receive it; empty unless delivered.
        everyone: all of them receive it, as with multicast; otherwise exactly one
            does, as with the endpoints of a service.
        may_be_lost: what decides against the other choices, where a service has
            endpoints that the packet does not get to; if one is chosen, it is lost.
        considered: every policy that was asked, in the order of the objects.
    """

    outcome: Outcome
    decided_by: str
    deliveries: tuple[Delivery, ...] = ()
    everyone: bool = False
    may_be_lost: tuple[str, ...] = ()
    considered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What one kind of object says about a packet, and which object says so."""

    allowed: bool
    by: str
    considered: tuple[str, ...] = ()


def dropped(by: str, considered: tuple[str, ...] = ()) -> Expectation:
    """Nobody receives it and nobody is told."""
    return Expectation(outcome=Outcome.DROPPED, decided_by=by, considered=considered)


def rejected(by: str) -> Expectation:
    """Nobody receives it and the sender is told."""
    return Expectation(outcome=Outcome.REJECTED, decided_by=by)


def one_of(choices: Iterable[Expectation]) -> Expectation:
    """One choice is taken, no telling which: what any of them delivers, may arrive."""
    known = tuple(choices)
    good = [choice for choice in known if choice.outcome is Outcome.DELIVERED]
    if not good:
        return known[0]
    lost = [item for choice in good for item in choice.may_be_lost]
    lost += [item.decided_by for item in known if item not in good]
    return Expectation(
        outcome=Outcome.DELIVERED,
        decided_by=good[0].decided_by,
        deliveries=_distinct(item for choice in good for item in choice.deliveries),
        may_be_lost=tuple(dict.fromkeys(lost)),
        considered=tuple(
            dict.fromkeys(name for choice in known for name in choice.considered)
        ),
    )


def _distinct(deliveries: Iterable[Delivery]) -> tuple[Delivery, ...]:
    """Without repetitions; a receiver may hold a mapping and so have no hash."""
    found: list[Delivery] = []
    for delivery in deliveries:
        if delivery not in found:
            found.append(delivery)
    return tuple(found)
