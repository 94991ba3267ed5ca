"""EgressNetworkPolicy: what a namespace's pods may reach outside the cluster.

It is enforced where packets leave: on the pod's node, or on the node of the namespace's
egress IP. A namespace should have one; with two, or on a VNID that namespaces share,
nothing leaves. Global namespaces are not held to theirs.

Source: openshift/origin release-3.11 pkg/network/node/egress_network_policy.go
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from testbed.oracle.expectation import Ruling

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from testbed.model import Cluster, EgressNetworkPolicy, EgressRule

_EVERYTHING = (IPv4Network("0.0.0.0/0"), IPv4Network("0.0.0.0/32"))
"""The second was a common mistake in early releases and is read as the first."""


def may_leave(cluster: Cluster, vnid: int, destination: IPv4Address) -> Ruling:
    """Whether pods with a VNID may send to an address outside the cluster."""
    namespaces = [item.name for item in cluster.net_namespaces_of(vnid)]
    policies = [
        policy
        for namespace in namespaces
        for policy in cluster.egress_network_policies_of(namespace)
    ]
    if not policies:
        return Ruling(allowed=True, by="no EgressNetworkPolicy")
    names = tuple(f"EgressNetworkPolicy {policy.key}" for policy in policies)
    if vnid == 0:
        by = "EgressNetworkPolicy does not hold for global namespaces"
        return Ruling(allowed=True, by=by, considered=names)
    if len(namespaces) > 1:
        by = f"{names[0]}: namespaces share VNID {vnid}"
        return Ruling(allowed=False, by=by, considered=names)
    if len(policies) > 1:
        by = f"namespace {namespaces[0]} has more than one EgressNetworkPolicy"
        return Ruling(allowed=False, by=by, considered=names)
    return _first_rule(cluster, policies[0], destination)


def covers(cluster: Cluster, rule: EgressRule, destination: IPv4Address) -> bool:
    """Whether a rule is about an address."""
    if rule.cidr is not None:
        return rule.cidr in _EVERYTHING or destination in rule.cidr
    return destination in cluster.resolve(rule.dns_name or "")


def _first_rule(
    cluster: Cluster, policy: EgressNetworkPolicy, destination: IPv4Address
) -> Ruling:
    name = f"EgressNetworkPolicy {policy.key}"
    for number, rule in enumerate(policy.egress, start=1):
        if covers(cluster, rule, destination):
            by = f"{name} rule {number}"
            return Ruling(allowed=rule.allow, by=by, considered=(name,))
    by = f"{name} has no rule for the address"
    return Ruling(allowed=True, by=by, considered=(name,))
