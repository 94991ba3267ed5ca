"""What a scenario claimed of its packets, noted as it ran."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class ClaimKind(enum.StrEnum):
    """The claims that ``Sent`` can make, as they are read out."""

    ARRIVES = "arrives at"
    CROSSES = "crosses"
    ANSWERED = "is answered at"
    DROPPED = "is dropped on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim about one packet, and whether it held.

    ``mark`` tells the packet. ``place`` is a tap's label; of a drop it is the node's
    name, and ``table`` and ``flow`` say where in its br0. ``control`` tells the claim
    that a positive control arrived, which is the testbed's own.
    """

    kind: ClaimKind
    mark: bytes
    place: str
    held: bool
    table: int | None = None
    flow: str = ""
    control: bool = False

    @property
    def object(self) -> str:
        """What the claim's verb is about: ``shop/web-1``."""
        where = "" if self.table is None else f" in table {self.table} by {self.flow}"
        return f"{self.place}{where}"

    def __str__(self) -> str:
        """The claim after its subject: ``arrives at shop/web-1``."""
        return f"{self.kind} {self.object}"
