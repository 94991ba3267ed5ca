"""What flows have counted since a scenario began."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from testbed.openflow import Flow, Table
    from testbed.ovs import Counters


class Tally:
    """Hits of flows, whatever takes their counters away.

    Args:
        read: reads what the flows of each node have counted up to now.
        begin: what they had counted when the first scenario began.
    """

    def __init__(
        self,
        read: Callable[[], Mapping[str, Counters]],
        begin: Mapping[str, Counters],
    ) -> None:
        self._read = read
        self._baseline = begin
        self._earlier: dict[tuple[str, Flow], int] = {}

    def begin(self) -> None:
        """Count from zero."""
        self._earlier = {}
        self._baseline = self._read()

    def before_change(self) -> None:
        """Keep what was counted, as a change may take counters away.

        A change that fails then needs nothing more.
        """
        now = self._read()
        self._earlier = self._hits(now)
        self._baseline = now

    def after_change(self) -> None:
        """Count on by what there is now."""
        self._baseline = self._read()

    def hits(self) -> dict[tuple[str, Flow], int]:
        """How often each flow was hit, by its node; those that are gone, too."""
        return self._hits(self._read())

    def hits_of(self, node: str, table: Table, flow: str) -> int:
        """How often a flow was hit since the scenario, or its latest change.

        Raises:
            NotFoundError: the node has no such flow.
        """
        key = (int(table), flow)
        now = self._read()[node].dumped
        if key not in now:
            raise NotFoundError(f"{node} has no flow {flow} in table {table}")
        return now[key].n_packets - self._baseline[node].dumped[key].n_packets

    def _hits(self, now: Mapping[str, Counters]) -> dict[tuple[str, Flow], int]:
        hit = dict(self._earlier)
        for node, counters in now.items():
            for flow, times in counters.since(self._baseline[node]):
                hit[node, flow] = hit.get((node, flow), 0) + times
        return hit
