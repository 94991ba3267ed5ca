"""A mutant, the ways there are to make one, and what can come of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbed.mutation.fault import FlowFault, RuleFault


class Operator(enum.StrEnum):
    """In which way a flow or a rule is got wrong."""

    DELETED = "deleted"
    WIDENED = "match widened"
    DEMOTED = "priority lowered"
    VNID = "VNID changed"
    OUTPUT = "output changed"
    TUNNEL = "tunnel's end changed"
    GOTO = "goto changed"
    DROPPED = "drops instead"
    LET_THROUGH = "lets through instead"
    COMMIT = "commit removed"
    NAT = "NAT removed"
    MARK = "mark changed"
    MAC = "MAC not changed"
    TARGET = "target changed"
    ADDRESS = "address changed"
    PORT = "port changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A flow or a rule that can have the fault.

    Attributes:
        original: how it should be.
        fault: what is programmed instead.
        covering: the scenarios that have to do with it, those to run first first.
    """

    original: str
    fault: FlowFault | RuleFault
    covering: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.fault.node}: {self.original}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A kind of flows or rules that is got wrong.

    Attributes:
        plugin: the cluster's SDN plugin.
        kind: what the flows or rules have in common.
        operator: in which way it is wrong.
        change: what is different in the first of them, in a few words; may be empty.
        sites: where the fault is put, one after the other: once it is noticed in one
            place, the kind is guarded. The first is what most scenarios hit.
        judged: why somebody holds it for equivalent; empty for most.
    """

    plugin: str
    kind: str
    operator: Operator
    change: str
    sites: tuple[Site, ...]
    judged: str = ""

    @property
    def spared(self) -> Spared:
        """What it is if it is not tried, because somebody holds it for equivalent."""
        return Spared(
            plugin=self.plugin,
            kind=self.kind,
            operator=self.operator,
            change=self.change,
            reason=self.judged,
        )

    @property
    def purpose(self) -> str:
        """What the flows or rules are there for: their table, or their chain."""
        return self.sites[0].fault.place

    @property
    def is_covered(self) -> bool:
        """Whether any scenario has to do with it."""
        return any(site.covering for site in self.sites)

    def __str__(self) -> str:
        """What is wrong where, on one line."""
        change = f" ({self.change})" if self.change else ""
        return f"{self.sites[0]}: {self.operator}{change}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spared:
    """A mutant that was not made, since it would behave like the original.

    Attributes:
        plugin: the cluster's SDN plugin.
        kind: what would have the fault.
        operator: in which way.
        change: what would be different.
        reason: why nobody could tell.
    """

    plugin: str
    kind: str
    operator: Operator
    change: str
    reason: str
