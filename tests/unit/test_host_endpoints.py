"""Which Endpoints an EgressNetworkPolicy hides from kube-proxy."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import pytest

from testbed.host.endpoints import is_hidden
from testbed.model import (
    EgressNetworkPolicy,
    EgressRule,
    Endpoints,
    EndpointSubset,
    NetNamespace,
    Plugin,
    Quirks,
    UnderlayHost,
)

if TYPE_CHECKING:
    from testbed.model import Cluster

INSIDE, OUTSIDE, ELSEWHERE = "10.131.1.241", "198.51.100.7", "203.0.113.9"
NAME = "partner.example.org"


def policy(*rules: EgressRule, namespace: str = "shop") -> EgressNetworkPolicy:
    return EgressNetworkPolicy(namespace=namespace, name="p", egress=rules)


def allow(cidr: str) -> EgressRule:
    return EgressRule(allow=True, cidr=IPv4Network(cidr))


def deny(cidr: str) -> EgressRule:
    return EgressRule(allow=False, cidr=IPv4Network(cidr))


def endpoints(*ips: str) -> Endpoints:
    """One subset for each address."""
    return Endpoints(
        namespace="shop",
        name="partner",
        subsets=tuple(
            EndpointSubset(addresses=(IPv4Address(ip),), ports=()) for ip in ips
        ),
    )


@pytest.fixture
def tenants(four_nodes: Cluster) -> Cluster:
    """A multitenant cluster, with two external hosts of one name."""
    hosts = tuple(
        UnderlayHost(name=f"h{ip}", ip=IPv4Address(ip), dns_names=(NAME,))
        for ip in (OUTSIDE, ELSEWHERE)
    )
    return replace(
        four_nodes,
        network=replace(four_nodes.network, plugin=Plugin.MULTITENANT),
        underlay=replace(four_nodes.underlay, external_hosts=hosts),
    )


def with_policies(cluster: Cluster, *policies: EgressNetworkPolicy) -> Cluster:
    return replace(cluster, egress_network_policies=policies)


def test_one_denied_address_hides_all(tenants: Cluster) -> None:
    cluster = with_policies(tenants, policy(deny("198.51.100.0/24")))

    assert is_hidden(cluster, endpoints(INSIDE, ELSEWHERE, OUTSIDE))
    assert not is_hidden(cluster, endpoints(INSIDE, ELSEWHERE))


def test_the_first_rule_that_is_about_an_address_decides(tenants: Cluster) -> None:
    exception = policy(allow(f"{OUTSIDE}/32"), deny("0.0.0.0/0"))
    too_late = policy(deny("0.0.0.0/0"), allow(f"{OUTSIDE}/32"))

    assert not is_hidden(with_policies(tenants, exception), endpoints(OUTSIDE))
    assert is_hidden(with_policies(tenants, too_late), endpoints(OUTSIDE))


@pytest.mark.parametrize("ip", [INSIDE, "172.30.0.1"])
def test_an_address_of_the_cluster_is_nobodys_business(
    tenants: Cluster, ip: str
) -> None:
    cluster = with_policies(tenants, policy(deny("0.0.0.0/0")))

    assert not is_hidden(cluster, endpoints(ip))


def test_the_old_misspelling_of_everything_is_understood(tenants: Cluster) -> None:
    cluster = with_policies(tenants, policy(deny("0.0.0.0/32")))

    assert is_hidden(cluster, endpoints(OUTSIDE))


def test_another_namespaces_policy_does_not_count(tenants: Cluster) -> None:
    other = policy(deny("0.0.0.0/0"), namespace="bank")

    assert not is_hidden(with_policies(tenants, other), endpoints(OUTSIDE))


def test_two_policies_hide_every_external_endpoint(tenants: Cluster) -> None:
    generous = policy(allow("0.0.0.0/0"))
    cluster = with_policies(tenants, generous, generous)

    assert is_hidden(cluster, endpoints(INSIDE, OUTSIDE))
    assert not is_hidden(cluster, endpoints(INSIDE))


def test_a_policy_whose_names_do_not_resolve_does_not_count(tenants: Cluster) -> None:
    dead = policy(EgressRule(allow=False, dns_name="gone.example.org"))
    generous = policy(allow("0.0.0.0/0"))

    assert not is_hidden(with_policies(tenants, generous, dead), endpoints(OUTSIDE))


def test_a_global_namespaces_policy_is_ignored(tenants: Cluster) -> None:
    cluster = replace(
        with_policies(tenants, policy(deny("0.0.0.0/0"))),
        net_namespaces=(NetNamespace(name="shop", netid=0),),
    )

    assert not is_hidden(cluster, endpoints(OUTSIDE))


def test_under_ovs_subnet_there_is_no_policy(four_nodes: Cluster) -> None:
    cluster = with_policies(four_nodes, policy(deny("0.0.0.0/0")))

    assert not is_hidden(cluster, endpoints(OUTSIDE))


def test_of_a_name_only_the_last_address_is_compared(tenants: Cluster) -> None:
    by_name = policy(EgressRule(allow=False, dns_name=NAME))
    cluster = with_policies(tenants, by_name)

    assert not is_hidden(cluster, endpoints(OUTSIDE))
    assert is_hidden(cluster, endpoints(ELSEWHERE))


def test_without_the_quirk_all_addresses_of_a_name_are_compared(
    tenants: Cluster,
) -> None:
    by_name = policy(EgressRule(allow=False, dns_name=NAME))
    cluster = replace(
        with_policies(tenants, by_name), quirks=Quirks(dns_endpoints_aliased=False)
    )

    assert is_hidden(cluster, endpoints(OUTSIDE))
    assert is_hidden(cluster, endpoints(ELSEWHERE))
