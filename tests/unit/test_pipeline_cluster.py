"""All nodes at once, and again after a change: the same flows, sooner."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import pytest

from testbed.errors import NotFoundError
from testbed.model import (
    EgressNetworkPolicy,
    EgressRule,
    HostSubnet,
    IngressRule,
    LabelSelector,
    Namespace,
    NetNamespace,
    NetworkPolicy,
    Plugin,
    Pod,
    PolicyPeer,
    Quirks,
    UnderlayHost,
)
from testbed.pipeline import cluster_flows, node_flows

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbed.model import Cluster

ALL = LabelSelector()
MONEY = LabelSelector(match_labels=(("team", "money"),))
CASH = LabelSelector(match_labels=(("app", "cash"),))
TELLER = Pod(
    namespace="bank",
    name="teller",
    node="oc-01.test",
    ip=IPv4Address("10.128.0.9"),
    ofport=3,
    labels={"app": "cash"},
)
WWW = UnderlayHost(
    name="www", ip=IPv4Address("198.51.100.7"), dns_names=("www.example.com",)
)
EGRESS_IPS = (IPv4Address("172.16.1.102"), IPv4Address("172.16.1.103"))
NEW_POD = replace(TELLER, name="teller-2", ip=IPv4Address("10.128.0.10"), ofport=4)


def policy(name: str, namespace: str, *peers: PolicyPeer) -> NetworkPolicy:
    return NetworkPolicy(
        namespace=namespace,
        name=name,
        pod_selector=ALL,
        ingress=tuple(IngressRule(peers=(peer,)) for peer in peers),
    )


@pytest.fixture
def tenants(four_nodes: Cluster) -> Cluster:
    """Shop on oc-04, bank on oc-01; shop's policies look at namespaces and pods.

    Bank leaves by oc-02, or else oc-03, and only for the name www.example.com.
    """
    one, two, three, four = four_nodes.host_subnets
    www_only = (
        EgressRule(allow=True, dns_name="www.example.com"),
        EgressRule(allow=False, cidr=IPv4Network("0.0.0.0/0")),
    )
    return replace(
        four_nodes,
        host_subnets=(
            one,
            replace(two, egress_ips=EGRESS_IPS[:1]),
            replace(three, egress_ips=EGRESS_IPS[1:]),
            four,
        ),
        underlay=replace(four_nodes.underlay, external_hosts=(WWW,)),
        egress_network_policies=(
            EgressNetworkPolicy(namespace="bank", name="www", egress=www_only),
        ),
        network=replace(four_nodes.network, plugin=Plugin.NETWORKPOLICY),
        net_namespaces=(
            NetNamespace(name="shop", netid=42),
            NetNamespace(name="bank", netid=1171, egress_ips=EGRESS_IPS),
        ),
        namespaces=(
            Namespace(name="shop"),
            Namespace(name="bank", labels={"team": "money"}),
        ),
        pods=(*four_nodes.pods, TELLER),
        network_policies=(
            policy("own", "shop", PolicyPeer(pod_selector=CASH)),
            policy("other", "shop", PolicyPeer(namespace_selector=MONEY)),
            policy(
                "both",
                "shop",
                PolicyPeer(namespace_selector=MONEY, pod_selector=CASH),
            ),
            policy("own", "bank", PolicyPeer(pod_selector=CASH)),
        ),
        quirks=Quirks(combined_selectors_ignored=False),
    )


def add_policy(cluster: Cluster) -> Cluster:
    more = policy("more", "bank", PolicyPeer(namespace_selector=ALL))
    return replace(cluster, network_policies=(*cluster.network_policies, more))


def remove_policies(cluster: Cluster) -> Cluster:
    return replace(cluster, network_policies=())


def change_policy(cluster: Cluster) -> Cluster:
    own, other, *others = cluster.network_policies
    closed = replace(other, ingress=())
    return replace(cluster, network_policies=(own, closed, *others))


def add_pod(cluster: Cluster) -> Cluster:
    return replace(cluster, pods=(*cluster.pods, NEW_POD))


def relabel_pod(cluster: Cluster) -> Cluster:
    *others, teller = cluster.pods
    return replace(cluster, pods=(*others, replace(teller, labels={})))


def relabel_namespace(cluster: Cluster) -> Cluster:
    shop, bank = cluster.namespaces
    return replace(cluster, namespaces=(shop, replace(bank, labels={})))


def renumber(cluster: Cluster) -> Cluster:
    shop, bank = cluster.net_namespaces
    return replace(cluster, net_namespaces=(shop, replace(bank, netid=12)))


def add_node(cluster: Cluster) -> Cluster:
    node = HostSubnet(
        name="oc-05.test",
        host_ip=IPv4Address("172.16.1.30"),
        subnet=IPv4Network("10.128.2.0/23"),
        uid="abc",
    )
    return replace(cluster, host_subnets=(*cluster.host_subnets, node))


def remove_service(cluster: Cluster) -> Cluster:
    return replace(cluster, services=cluster.services[1:])


def add_egress_network_policy(cluster: Cluster) -> Cluster:
    rule = EgressRule(allow=False, cidr=IPv4Network("0.0.0.0/0"))
    more = EgressNetworkPolicy(namespace="shop", name="closed", egress=(rule,))
    return replace(
        cluster, egress_network_policies=(*cluster.egress_network_policies, more)
    )


def ask_for_egress_ip(cluster: Cluster) -> Cluster:
    shop, bank = cluster.net_namespaces
    asking = replace(shop, egress_ips=(IPv4Address("172.16.1.101"),))
    return replace(cluster, net_namespaces=(asking, bank))


def find_node_dead(cluster: Cluster) -> Cluster:
    return replace(cluster, offline_nodes=frozenset({"oc-02.test"}))


def move_external_host(cluster: Cluster) -> Cluster:
    moved = replace(WWW, ip=IPv4Address("198.51.100.8"))
    underlay = replace(cluster.underlay, external_hosts=(moved,))
    return replace(cluster, underlay=underlay)


def repeat_a_quirk_of_policies(cluster: Cluster) -> Cluster:
    return replace(cluster, quirks=Quirks())


def fix_a_quirk_of_dispatch(cluster: Cluster) -> Cluster:
    return replace(cluster, quirks=replace(cluster.quirks, dispatch_overlaps=False))


def use_multitenant(cluster: Cluster) -> Cluster:
    network = replace(cluster.network, plugin=Plugin.MULTITENANT)
    return replace(cluster, network=network)


def use_another_vxlan_port(cluster: Cluster) -> Cluster:
    return replace(cluster, network=replace(cluster.network, vxlan_port=4790))


CHANGES = [
    add_policy,
    remove_policies,
    change_policy,
    add_pod,
    relabel_pod,
    relabel_namespace,
    renumber,
    add_node,
    add_egress_network_policy,
    ask_for_egress_ip,
    find_node_dead,
    move_external_host,
    repeat_a_quirk_of_policies,
    fix_a_quirk_of_dispatch,
    use_multitenant,
    use_another_vxlan_port,
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("direction", ["done", "undone"])
def test_after_a_change_every_node_has_the_flows_it_would_have_alone(
    tenants: Cluster, change: Callable[[Cluster], Cluster], direction: str
) -> None:
    before, after = tenants, change(tenants)
    if direction == "undone":
        before, after = after, before

    flows = cluster_flows(after, cluster_flows(before))

    assert flows.nodes.keys() == {node.name for node in after.nodes}
    for node in after.nodes:
        assert flows.of(node) == node_flows(after, node)


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_above_is_one(
    tenants: Cluster, change: Callable[[Cluster], Cluster]
) -> None:
    before, after = cluster_flows(tenants), cluster_flows(change(tenants))

    assert {name: node.flows for name, node in before.nodes.items()} != {
        name: node.flows for name, node in after.nodes.items()
    }


def test_under_multitenant_a_service_that_goes_is_gone_everywhere(
    tenants: Cluster,
) -> None:
    before = use_multitenant(tenants)
    after = remove_service(before)

    flows = cluster_flows(after, cluster_flows(before))

    for node in after.nodes:
        assert flows.of(node) == node_flows(after, node)
        assert not any("172.30.31.182" in str(flow) for flow in flows.of(node))


def test_a_policy_touches_only_nodes_with_pods_of_its_namespace(
    tenants: Cluster,
) -> None:
    before = cluster_flows(tenants)

    after = cluster_flows(add_policy(tenants), before)

    touched = {
        name for name, node in after.nodes.items() if node is not before.nodes[name]
    }
    assert touched == {"oc-01.test"}


def test_a_policy_leaves_other_policies_translated_as_they_are(
    tenants: Cluster,
) -> None:
    before = cluster_flows(tenants).policies

    after = cluster_flows(add_policy(tenants), cluster_flows(tenants)).policies

    assert after.translated.keys() - before.translated.keys() == {"bank/more"}


def test_an_unchanged_cluster_costs_nothing(tenants: Cluster) -> None:
    before = cluster_flows(tenants)

    after = cluster_flows(replace(tenants), before)

    assert all(after.nodes[name] is node for name, node in before.nodes.items())
    assert all(
        after.policies.translated[key] == known
        and after.policies.translated[key][1] is known[1]
        for key, known in before.policies.translated.items()
    )


def test_an_unknown_node_is_an_error_with_the_names_there_are(
    tenants: Cluster,
) -> None:
    stranger = replace(tenants.nodes[0], name="oc-99.test")

    with pytest.raises(NotFoundError, match=r"oc-99\.test; there are: oc-01\.test, "):
        cluster_flows(tenants).of(stranger)
