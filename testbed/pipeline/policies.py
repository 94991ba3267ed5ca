"""Every namespace's NetworkPolicies as flows, each policy translated once.

Translation looks at all pods of a namespace, wherever they run, so nodes share it. And
what was translated for a cluster need not be for the next one, which is often the same
but for one object: what a policy depends on is compared first.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.pipeline.network_policy import (
    namespace_flows,
    tracked_namespace,
    translate,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from testbed.model import Cluster, NetworkPolicy
    from testbed.pipeline.network_policy import NamespaceFlows, TranslatedPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPolicies:
    """The policies of a cluster's namespaces, and what they came to.

    ``translated`` has every policy in use under its key, ``namespaces`` the flows of
    every VNID in use.
    """

    cluster: Cluster
    translated: Mapping[str, tuple[NetworkPolicy, TranslatedPolicy]]
    namespaces: Mapping[int, NamespaceFlows]


def cluster_policies(
    cluster: Cluster, vnids: Iterable[int], earlier: ClusterPolicies | None = None
) -> ClusterPolicies:
    """Translate the policies of these VNIDs' namespaces, or take them from earlier."""
    by_vnid: dict[int, list[NetworkPolicy]] = defaultdict(list)
    for policy in cluster.network_policies:
        by_vnid[cluster.vnid(policy.namespace)].append(policy)
    translated: dict[str, tuple[NetworkPolicy, TranslatedPolicy]] = {}
    namespaces: dict[int, NamespaceFlows] = {}
    for vnid in vnids:
        policies = by_vnid[vnid]
        for policy in policies:
            known = _known(policy, cluster, earlier) if earlier else None
            translated[policy.key] = policy, known or translate(policy, cluster)
        of_namespace = tuple(translated[policy.key][1] for policy in policies)
        before = earlier.namespaces.get(vnid) if earlier else None
        namespaces[vnid] = (
            before
            if before is not None and before.policies == of_namespace
            else namespace_flows(vnid, of_namespace)
        )
    return ClusterPolicies(
        cluster=cluster, translated=translated, namespaces=namespaces
    )


def _known(
    policy: NetworkPolicy, cluster: Cluster, earlier: ClusterPolicies
) -> TranslatedPolicy | None:
    """The earlier translation, if nothing the policy looks at has changed."""
    before, known = earlier.translated.get(policy.key, (None, None))
    namespace = tracked_namespace(cluster.vnid(policy.namespace), cluster)
    unchanged = (
        before == policy
        and cluster.quirks == earlier.cluster.quirks
        and cluster.net_namespaces == earlier.cluster.net_namespaces
        and cluster.pods_in(namespace) == earlier.cluster.pods_in(namespace)
        and not _sees_a_change(policy, cluster, earlier.cluster)
    )
    return known if unchanged else None


def _sees_a_change(policy: NetworkPolicy, cluster: Cluster, earlier: Cluster) -> bool:
    """Whether a selector of namespaces may select others now, or other pods there."""
    peers = [
        peer
        for rule in policy.ingress
        for peer in rule.peers
        if peer.namespace_selector is not None
    ]
    if any(peer.pod_selector is not None for peer in peers):
        return (cluster.namespaces, cluster.pods) != (earlier.namespaces, earlier.pods)
    return bool(peers) and cluster.namespaces != earlier.namespaces
