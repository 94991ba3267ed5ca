"""What stays on a node although the objects it followed from have changed.

Most bugs of events that were missed, or of a restart that forgot something, end so: the
node goes on with what it had. These faults take what a node has at one moment, and keep
it whatever is applied later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from testbed.faults import Fault, FlowFault
from testbed.host.iptables import node_rules
from testbed.openflow import Table, parse_flow
from testbed.pipeline import node_flows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbed.model import Cluster
    from testbed.openflow import Flow


@dataclass(frozen=True, kw_only=True)
class FlowsStale(Fault):
    """The flows of one table that match something stay as they were.

    Attributes:
        table: the table.
        item: what they have in their match, as ``reg1=0xa85f57``.
        left: what they were.
    """

    table: int
    item: str
    left: tuple[Flow, ...]

    @classmethod
    def of(cls, cluster: Cluster, node: str, table: Table, item: str) -> Self:
        """Keep what the cluster has there now."""
        computed = node_flows(cluster, cluster.node(node))
        left = tuple(f for f in computed if f.table == table and item in f.match)
        return cls(node=node, table=int(table), item=item, left=left)

    @property
    def told(self) -> str:
        """What has stayed."""
        kept = (
            f"{len(self.left)} flow{'s' if len(self.left) > 1 else ''}"
            if self.left
            else "no flow"
        )
        return (
            f"{self.on} still has what it had in table {Table(self.table)} "
            f"for {self.item}: {kept}"
        )

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """The flows, these as they were."""
        others = (
            f for f in computed if f.table != self.table or self.item not in f.match
        )
        return (*others, *self.left)


@dataclass(frozen=True, kw_only=True)
class OlderFlow(FlowFault):
    """A flow matches what it matched in an earlier version, and does the same.

    Attributes:
        older: its priority and match as they were.
    """

    older: str

    @property
    def told(self) -> str:
        """What is there instead of what."""
        return (
            f"{self.on} has {self.older} in table {Table(self.table)} "
            f"in the place of {self.selector}"
        )

    def wrong(self, flow: Flow) -> Flow:
        """The flow as it was."""
        older = parse_flow(f"{self.older} actions=drop")
        return replace(flow, priority=older.priority, match=older.match)


@dataclass(frozen=True, kw_only=True)
class RulesStale(Fault):
    """iptables stays as it was.

    Attributes:
        left: what it was, as input for ``iptables-restore``.
    """

    left: str

    @classmethod
    def of(cls, cluster: Cluster, node: str) -> Self:
        """Keep the rules that the node has now."""
        return cls(node=node, left=node_rules(cluster, cluster.node(node)))

    @property
    def told(self) -> str:
        """What has stayed."""
        return f"{self.on} still has the iptables rules that it had"

    def rules(self, computed: str) -> str:
        """The rules as they were."""
        del computed
        return self.left
