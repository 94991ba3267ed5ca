"""One node's flows, looked at for what a change of one of them could change."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from testbed.mutation.fields import Match

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from testbed.openflow import Flow

_FIRST = 0
"""The table in which every packet starts."""
_HIGHEST = (1 << 16) - 1
_CHANGING = ("reg", "tun_", "ct_state", "pkt_mark")
"""How the fields begin that flows, conntrack and tunnels change on the way."""
_ONWARD = re.compile(r"goto_table:(\d+)|table=(\d+)|resubmit\(,(\d+)\)")


@dataclass(frozen=True)
class Pipeline:
    """The flows of one br0."""

    flows: tuple[Flow, ...]

    @cached_property
    def members(self) -> frozenset[Flow]:
        """The flows, to look one up."""
        return frozenset(self.flows)

    @cached_property
    def tables(self) -> Mapping[int, Sequence[Flow]]:
        """The flows of each table, by falling priority."""
        tables: dict[int, list[Flow]] = defaultdict(list)
        for flow in sorted(self.flows, key=lambda flow: -flow.priority):
            tables[int(flow.table)].append(flow)
        return tables

    @cached_property
    def _matches(self) -> Mapping[Flow, Match]:
        return {flow: Match(flow.match) for flow in self.flows}

    @cached_property
    def reachable(self) -> frozenset[int]:
        """The tables that a packet could come to, which starts in table 0."""
        seen: set[int] = set()
        ahead = {0}
        while ahead:
            table = ahead.pop()
            seen.add(table)
            for flow in self.tables.get(table, ()):
                ahead |= onward(flow) - seen
        return frozenset(seen)

    def takers(
        self, table: int, match: Match, *, below: int, without: Flow | None = None
    ) -> Iterator[Flow]:
        """Yield the flows of a table that may take the packets of a match.

        By falling priority, up to one that takes all that is left.

        Args:
            table: the table.
            match: the packets.
            below: the highest priority that counts.
            without: a flow that does not count.
        """
        for flow in self.tables.get(table, ()):
            if flow == without or flow.priority > below:
                continue
            if self._matches[flow].overlaps(match):
                yield flow
                if self._matches[flow].contains(match):
                    return

    def takes_all(self, taker: Flow, match: Match) -> bool:
        """Whether a flow takes every packet of a match."""
        return self._matches[taker].contains(match)

    def shadow(self, flow: Flow) -> Flow | None:
        """A flow of higher priority that takes every packet this one could."""
        for other in self.tables[int(flow.table)]:
            if other.priority <= flow.priority:
                return None
            if self._matches[other].contains(self._matches[flow]):
                return other
        return None

    def ahead_of(self, flow: Flow) -> Iterator[Flow]:
        """Yield the flows that a packet could come to after this one.

        What the flow matches, the packet still is then; but for what flows change.
        """
        seen: set[int] = set()
        ahead = set(onward(flow))
        while ahead:
            table = ahead.pop()
            seen.add(table)
            for taker in self.next_takers(table, flow):
                yield taker
                ahead |= onward(taker) - seen

    def is_fed(self, flow: Flow) -> bool:
        """Whether anything comes to a flow's table that it could take."""
        return flow.table == _FIRST or any(
            self._leading(int(flow.table), _lasting(flow))
        )

    def _leading(self, table: int, match: Match) -> Iterator[Flow]:
        """Yield the flows that could send packets of a match to a table."""
        for flow in self.flows:
            if table in onward(flow) and self._matches[flow].overlaps(match):
                yield flow

    def implies(self, flow: Flow, item: str) -> bool:
        """Whether all that comes to a flow's table and that it could take fits an item.

        A register does if the flows that lead to the table load that value; any other
        field if they ask for it, or if what comes to their own tables fits it.
        """
        lasting = _lasting(flow)
        name, _, value = item.partition("=")
        load = f"load:{value}->NXM_NX_{name.upper()}[]"
        changing = item.startswith(_CHANGING)

        def comes_so(table: int, seen: frozenset[int]) -> bool:
            return table != _FIRST and all(
                load in other.actions
                if changing
                else Match((item,)).contains(self._matches[other])
                or (
                    int(other.table) not in seen
                    and comes_so(int(other.table), seen | {int(other.table)})
                )
                for other in self._leading(table, lasting)
            )

        return comes_so(int(flow.table), frozenset({int(flow.table)}))

    def outcome(self, flow: Flow, match: Match) -> tuple[str, ...]:
        """What a flow does with the packets of a match.

        If it only passes them on, that is what the flows do that take them then, if
        they all do the same.
        """
        targets = onward(flow)
        if flow.actions != tuple(f"goto_table:{table}" for table in targets):
            return flow.actions
        (table,) = targets
        lasting = Match(
            tuple(item for item in match.items if not item.startswith(_CHANGING))
        )
        takers = list(self.takers(table, lasting, below=_HIGHEST))
        if not takers or not self.takes_all(takers[-1], lasting):
            return flow.actions
        outcomes = {self.outcome(taker, lasting) for taker in takers}
        return outcomes.pop() if len(outcomes) == 1 else flow.actions

    def next_takers(self, table: int, flow: Flow) -> Iterator[Flow]:
        """Yield the flows of a table that may take what comes to it from a flow."""
        return self.takers(table, _lasting(flow), below=_HIGHEST)


def _lasting(flow: Flow) -> Match:
    """What a packet of a flow is on its whole way: what no flow changes."""
    return Match(tuple(item for item in flow.match if not item.startswith(_CHANGING)))


def reads(flow: Flow, field: str) -> bool:
    """Whether a flow matches a field, or does something with it.

    Args:
        flow: the flow.
        field: as it stands in a match: ``reg0``, ``tun_id``.
    """
    source = f"NXM_NX_{field.upper()}["
    return any(item.startswith(f"{field}=") for item in flow.match) or any(
        source in action.partition("->")[0] for action in flow.actions
    )


def goes_nowhere(flow: Flow, in_port: str) -> bool:
    """Whether all that a flow does is to send packets back to where they came in.

    A switch does not do that. Source: ovs-actions(7), output
    """
    outputs = [action for action in flow.actions if action.startswith("output:")]
    back = f"output:{in_port.removeprefix('in_port=')}"
    return set(outputs) == {back} and not onward(flow)


def onward(flow: Flow) -> frozenset[int]:
    """The tables that a flow's actions send a packet to."""
    return frozenset(
        int(next(filter(None, found.groups())))
        for action in flow.actions
        for found in _ONWARD.finditer(action)
    )
