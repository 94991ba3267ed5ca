"""Which Endpoints kube-proxy is told of.

Pods could reach a forbidden address outside the cluster through a service whose
Endpoints have it, since br0 sees only the service's address. So the SDN stands between
the API and kube-proxy, and hides the whole of such Endpoints.

Source: openshift/origin release-3.11 pkg/network/proxy/proxy.go
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address

    from testbed.model import Cluster, EgressNetworkPolicy, Endpoints

_EVERYTHING = IPv4Network("0.0.0.0/0")
_ONCE_EVERYTHING = IPv4Network("0.0.0.0/32")
"""What ``0.0.0.0/0`` was misspelt as; 3.11 still takes it so."""


def is_hidden(cluster: Cluster, endpoints: Endpoints) -> bool:
    """Whether an EgressNetworkPolicy keeps kube-proxy from knowing these Endpoints.

    It does if it denies an address outside the cluster. Two policies in one namespace
    deny every such address; one in a global namespace, as all are under ovs-subnet,
    does nothing. A policy without any address to compare, as when none of its names
    resolves, does not count.
    """
    if cluster.vnid(endpoints.namespace) == 0:
        return False
    policies = [
        networks
        for policy in cluster.egress_network_policies_of(endpoints.namespace)
        if (networks := list(_networks(cluster, policy)))
    ]
    external = [
        address
        for subset in endpoints.subsets
        for address in subset.addresses
        if not _is_internal(cluster, address)
    ]
    if len(policies) == 1:
        return any(_denies(policies[0], address) for address in external)
    return bool(policies and external)


def _networks(
    cluster: Cluster, policy: EgressNetworkPolicy
) -> Iterator[tuple[IPv4Network, bool]]:
    """Yield the networks a policy is about, and whether it allows them."""
    for rule in policy.egress:
        if rule.cidr is not None:
            cidr = _EVERYTHING if rule.cidr == _ONCE_EVERYTHING else rule.cidr
            yield cidr, rule.allow
        elif rule.dns_name is not None:
            addresses = cluster.resolve(rule.dns_name)
            if cluster.quirks.dns_endpoints_aliased:
                addresses = addresses[-1:]
            for address in addresses:
                yield IPv4Network(address), rule.allow


def _denies(policy: list[tuple[IPv4Network, bool]], address: IPv4Address) -> bool:
    return not next((allow for network, allow in policy if address in network), True)


def _is_internal(cluster: Cluster, address: IPv4Address) -> bool:
    networks = (*cluster.cidrs, cluster.network.service_network)
    return any(address in network for network in networks)
