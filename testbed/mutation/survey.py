"""What each scenario hits, of flows and of rules, and what the nodes were then.

Flows count where they are; a change of the cluster takes some away, and ``LiveCluster``
adds that up. Rules lose their counters with every change, because ``iptables-restore``
replaces a whole table, so they are read before each.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from testbed.host.egress import marks_by_sender
from testbed.host.iptables import node_rules
from testbed.mutation.rules import Rule, Ruleset
from testbed.pipeline import cluster_flows

if TYPE_CHECKING:
    from testbed.model import Cluster, HostSubnet
    from testbed.openflow import Flow
    from testbed.pipeline import ClusterFlows
    from testbed.probe import LiveCluster


class FlowAt(NamedTuple):
    """A flow of a node, as OpenFlow tells it from others."""

    node: str
    table: int
    selector: str


class RuleAt(NamedTuple):
    """A rule of a node."""

    node: str
    rule: Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one scenario hit, and how long it took, in seconds."""

    scenario: str
    seconds: float
    flows: frozenset[FlowAt]
    rules: frozenset[RuleAt]

    @property
    def breadth(self) -> int:
        """How much it hit; one that hits little says more precisely what is wrong."""
        return len(self.flows) + len(self.rules)


@dataclass(kw_only=True)
class Survey:
    """What all scenarios of a plugin hit, and what the nodes were programmed with.

    Attributes:
        cluster: the cluster as it was built.
        datapath: who forwards its packets.
        observations: by scenario.
        flows: the different pipelines that each node had, that of the built one first.
        rules: the same of its iptables.
    """

    cluster: Cluster
    datapath: str
    observations: dict[str, Observation] = field(default_factory=dict)
    flows: dict[str, dict[tuple[Flow, ...], None]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    rules: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    _programmed: ClusterFlows | None = None

    @property
    def plugin(self) -> str:
        """The cluster's plugin, in the short form: ``multitenant``."""
        return self.cluster.network.plugin.rpartition("-ovs-")[2]

    def note_programs(self, cluster: Cluster) -> None:
        """Note what the nodes are programmed with when the cluster is this."""
        self._programmed = cluster_flows(cluster, self._programmed)
        for node in cluster.nodes:
            self.flows[node.name][self._programmed.of(node)] = None
            self.rules[node.name][all_rules(cluster, node, self.datapath).text] = None


class RuleCounters:
    """What the rules of all nodes count, over changes of the cluster."""

    def __init__(self, live: LiveCluster) -> None:
        self._live = live
        self._hit: set[RuleAt] = set()
        self._known: dict[str, tuple[Ruleset, Counter[Rule]]] = {}

    def begin(self) -> None:
        """Count from now on."""
        self.take_in()
        self._hit.clear()

    def take_in(self) -> None:
        """Note what has counted; to be called before each change, and at the end.

        Rules that were not changed since go on counting, others begin at nothing.
        """
        objects = self._live.objects
        for node in self._live.nodes:
            rules = all_rules(objects, objects.node(node.name), self._live.datapath)
            counted = rules.counted(node.run("iptables-save", "-c"))
            known, before = self._known.get(node.name, (None, Counter[Rule]()))
            new = counted - before if known == rules else counted
            self._hit.update(RuleAt(node.name, rule) for rule in +new)
            self._known[node.name] = rules, counted

    def hit(self) -> frozenset[RuleAt]:
        """The rules that have counted anything since the beginning."""
        self.take_in()
        return frozenset(self._hit)


def all_rules(cluster: Cluster, node: HostSubnet, datapath: str) -> Ruleset:
    """The rules that a node has on a datapath."""
    marks = marks_by_sender(cluster, node) if datapath == "netdev" else ""
    return Ruleset(node_rules(cluster, node) + marks)


def flows_hit(live: LiveCluster) -> frozenset[FlowAt]:
    """The flows that have been hit since the scenario began."""
    return frozenset(
        FlowAt(node, int(flow.table), flow.selector)
        for node, flow, _ in live.flows_hit()
    )
