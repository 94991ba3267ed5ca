"""A packet on its way: as it is now, not as it was sent."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.model import Delivery, Outcome
from testbed.oracle.expectation import Expectation

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from testbed.model import Party, Transport


class Entry(enum.Enum):
    """Where a packet came from into a node's kernel."""

    WIRE = enum.auto()
    PODS = enum.auto()
    SELF = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """The addresses it has now, and what has happened to it.

    ``permit`` names what has let it pass so far, where something had to.
    ``translated_by`` are the names of the nodes that have changed its destination.
    """

    source: IPv4Address
    destination: IPv4Address
    transport: Transport
    dport: int | None
    permit: str = ""
    translated_by: frozenset[str] = frozenset()

    def received_by(
        self,
        receiver: Party,
        *,
        by: str,
        vnid: int | None = None,
        considered: tuple[str, ...] = (),
    ) -> Expectation:
        """It arrives; ``by`` names what lets it, unless something has before."""
        return Expectation(
            outcome=Outcome.DELIVERED,
            decided_by=self.permit or by,
            deliveries=(
                Delivery(
                    receiver=receiver,
                    source=self.source,
                    vnid=vnid,
                    destination=self.destination,
                    dport=self.dport,
                ),
            ),
            considered=considered,
        )
