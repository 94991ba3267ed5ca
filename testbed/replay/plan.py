"""What a replay consists of: a cluster, and what each node has instead. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from testbed.errors import EmulationError
from testbed.host.egress import marks_by_sender
from testbed.host.iptables import node_rules
from testbed.openflow import parse_flow
from testbed.pipeline import cluster_flows
from testbed.replay.merging import Replayed
from testbed.topology import loads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbed.model import Cluster
    from testbed.openflow import Flow
    from testbed.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeText:
    """What a node has of a collection: its flows, each with its place, and its rules.

    ``None`` where they were not collected. ``rules`` is the whole text, ``rules_file``
    where it was.
    """

    name: str
    flows: tuple[tuple[str, Flow], ...] | None
    rules: str | None
    rules_file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A collection, ready to be built.

    Attributes:
        source: the import's directory.
        topology: the cluster, pods at the ports that flows know them by.
        nodes: those of which something was collected.
        remarks: what differs from the collection, and what is not replayed.
    """

    source: str
    topology: Topology = field(repr=False)
    nodes: tuple[NodeText, ...] = field(repr=False)
    remarks: tuple[str, ...]

    @property
    def cluster(self) -> Cluster:
        """The cluster of its topology."""
        return self.topology.cluster

    @property
    def with_flows(self) -> tuple[str, ...]:
        """The names of the nodes that have collected flows."""
        return tuple(node.name for node in self.nodes if node.flows is not None)

    @property
    def with_rules(self) -> tuple[str, ...]:
        """The names of the nodes that have collected iptables."""
        return tuple(node.name for node in self.nodes if node.rules is not None)

    @property
    def summary(self) -> str:
        """How much of it is collected, in one line."""
        every = len(self.cluster.nodes)
        computed = "" if len(self.with_flows) == every else ", else computed"
        return (
            f"replay of {self.source}: flows of {len(self.with_flows)} and iptables of "
            f"{len(self.with_rules)} of {every} nodes as collected{computed}"
        )

    def faults(self) -> tuple[Replayed, ...]:
        """What each node is programmed with instead of what is computed."""
        computed = cluster_flows(self.cluster)
        nodes = {node.name: node for node in self.cluster.nodes}
        return tuple(
            Replayed(
                node=item.name,
                base=computed.of(nodes[item.name]),
                collected=None
                if item.flows is None
                else tuple(flow for _, flow in item.flows),
                base_rules=node_rules(self.cluster, nodes[item.name])
                + marks_by_sender(self.cluster, nodes[item.name]),
                rules_collected=item.rules,
            )
            for item in self.nodes
        )

    def text(self) -> str:
        """All of it as JSON that ``Replay.read`` reads back."""
        return json.dumps(
            {
                "source": self.source,
                "topology": self.topology.text(),
                "remarks": self.remarks,
                "nodes": [
                    {
                        "name": node.name,
                        "flows": None
                        if node.flows is None
                        else [[place, str(flow)] for place, flow in node.flows],
                        "rules": node.rules,
                        "rules_file": node.rules_file,
                    }
                    for node in self.nodes
                ],
            }
        )

    @classmethod
    def read(cls, text: str) -> Replay:
        """Read what ``text`` returned.

        Raises:
            EmulationError: it is something else, as another version's.
        """
        try:
            noted = json.loads(text)
            return cls(
                source=noted["source"],
                topology=loads(noted["topology"], "the topology"),
                nodes=tuple(map(_node_text, noted["nodes"])),
                remarks=tuple(noted["remarks"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise EmulationError("the replay is another version's") from error


def _node_text(noted: Mapping[str, Any]) -> NodeText:
    flows = noted["flows"]
    return NodeText(
        name=noted["name"],
        flows=None
        if flows is None
        else tuple((place, parse_flow(text)) for place, text in flows),
        rules=noted["rules"],
        rules_file=noted["rules_file"],
    )
