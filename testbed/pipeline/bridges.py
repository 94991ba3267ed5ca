"""The flows of a node put together, and of all nodes at once.

One node alone is a matter of milliseconds. For a whole cluster, what the nodes have in
common is computed once; and from one cluster to the next, which is often the same but
for one object, what has not changed is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from operator import is_
from typing import TYPE_CHECKING

from testbed.errors import NotFoundError
from testbed.openflow import Table
from testbed.pipeline.dispatch import dispatch_flows
from testbed.pipeline.egress import egress_flows
from testbed.pipeline.egress_network_policy import egress_network_policy_flows
from testbed.pipeline.multicast import multicast_flows
from testbed.pipeline.peers import peer_flows
from testbed.pipeline.pods import pod_flows
from testbed.pipeline.policies import cluster_policies
from testbed.pipeline.policy import pod_vnids, policy_flows
from testbed.pipeline.routing import routing_flows
from testbed.pipeline.services import service_flows
from testbed.pipeline.version import version_flows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from testbed.model import Cluster, HostSubnet
    from testbed.openflow import Flow
    from testbed.pipeline.network_policy import NamespaceFlows
    from testbed.pipeline.policies import ClusterPolicies


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFlows:
    """The flows of one br0: by table, then by falling priority.

    ``below`` and ``above`` are the tables on either side of table 80, to which each of
    ``namespaces`` adds its flows.
    """

    flows: tuple[Flow, ...]
    below: tuple[Flow, ...]
    above: tuple[Flow, ...]
    namespaces: tuple[NamespaceFlows, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFlows:
    """The flows of every node of a cluster, and what they were put together from."""

    cluster: Cluster
    nodes: Mapping[str, NodeFlows]
    policies: ClusterPolicies

    def of(self, node: HostSubnet) -> tuple[Flow, ...]:
        """Every flow of the node's br0, as ``node_flows`` has them.

        Raises:
            NotFoundError: the cluster has no such node.
        """
        if node.name not in self.nodes:
            names = ", ".join(self.nodes)
            raise NotFoundError(f"no node {node.name}; there are: {names}")
        return self.nodes[node.name].flows


def node_flows(cluster: Cluster, node: HostSubnet) -> tuple[Flow, ...]:
    """Every flow of the node's br0: by table, then by falling priority."""
    policies = cluster_policies(cluster, _vnids(cluster, node))
    below, above = _around_policy(cluster, node, _common_flows(cluster))
    namespaces = tuple(policies.namespaces.values())
    return (*below, *policy_flows(cluster, node, namespaces), *above)


def cluster_flows(
    cluster: Cluster, earlier: ClusterFlows | None = None
) -> ClusterFlows:
    """Every node's flows; the same as ``node_flows`` of each, but sooner.

    What was computed for an ``earlier`` cluster is used again where the objects it
    depends on are the same: a new NetworkPolicy costs its own translation and table 80
    of the nodes that have pods of its namespace.
    """
    in_use = {node.name: _vnids(cluster, node) for node in cluster.nodes}
    policies = cluster_policies(
        cluster,
        sorted(set(chain.from_iterable(in_use.values()))),
        earlier.policies if earlier else None,
    )
    common = _common_flows(cluster)
    comparable = earlier if earlier and _is_like(cluster, earlier.cluster) else None
    nodes: dict[str, NodeFlows] = {}
    for node in cluster.nodes:
        namespaces = tuple(policies.namespaces[vnid] for vnid in in_use[node.name])
        before = None
        if comparable and cluster.pods_on(node) == comparable.cluster.pods_on(node):
            before = comparable.nodes[node.name]
        if before and all(map(is_, before.namespaces, namespaces)):
            nodes[node.name] = before
            continue
        below, above = (
            (before.below, before.above)
            if before
            else _around_policy(cluster, node, common)
        )
        nodes[node.name] = NodeFlows(
            flows=(*below, *policy_flows(cluster, node, namespaces), *above),
            below=below,
            above=above,
            namespaces=namespaces,
        )
    return ClusterFlows(cluster=cluster, nodes=nodes, policies=policies)


def _vnids(cluster: Cluster, node: HostSubnet) -> list[int]:
    """The VNIDs on the node whose namespaces have policies."""
    if not cluster.network.plugin.tracks_connections:
        return []
    return sorted(pod_vnids(cluster, node))


def _common_flows(cluster: Cluster) -> tuple[Flow, ...]:
    return (
        *service_flows(cluster),
        *egress_network_policy_flows(cluster),
        *version_flows(cluster),
    )


def _around_policy(
    cluster: Cluster, node: HostSubnet, common: Iterable[Flow]
) -> tuple[tuple[Flow, ...], tuple[Flow, ...]]:
    flows = sorted(
        chain(
            dispatch_flows(cluster, node),
            peer_flows(cluster, node),
            pod_flows(cluster, node),
            routing_flows(cluster, node),
            egress_flows(cluster, node),
            multicast_flows(cluster, node),
            common,
        ),
        key=lambda flow: (flow.table, -flow.priority),
    )
    return (
        tuple(flow for flow in flows if flow.table < Table.POLICY),
        tuple(flow for flow in flows if flow.table > Table.POLICY),
    )


def _is_like(cluster: Cluster, earlier: Cluster) -> bool:
    """Whether all flows that do not follow from pods and NetworkPolicies are alike."""
    return all(
        getattr(cluster, name) == getattr(earlier, name)
        for name in (
            "network",
            "host_subnets",
            "net_namespaces",
            "services",
            "egress_network_policies",
            "underlay",
            "quirks",
            "offline_nodes",
        )
    )
