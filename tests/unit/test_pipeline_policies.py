"""What a NetworkPolicy adds to table 80 and takes from it; no other table moves."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import pytest

from testbed.model import (
    IngressRule,
    IPBlock,
    LabelSelector,
    Namespace,
    NetNamespace,
    NetworkPolicy,
    Plugin,
    Pod,
    PolicyPeer,
    PolicyPort,
    Quirks,
)
from testbed.pipeline import node_flows

if TYPE_CHECKING:
    from testbed.model import Cluster

DELIVER = "actions=output:NXM_NX_REG2[]"
OPEN = f"table=80,priority=50,reg1=0x2a {DELIVER}"
WEB_ONLY_ALLOWED = "table=80,priority=100,ip,reg1=0x2a,nw_dst=10.131.1.241 actions=drop"
ALL_PODS = LabelSelector()
WEB = LabelSelector(match_labels=(("app", "web"),))
DB = LabelSelector(match_labels=(("app", "db"),))
NOBODY = LabelSelector(match_labels=(("app", "nobody"),))
BANK = LabelSelector(match_labels=(("team", "money"),))


@pytest.fixture
def open_shop(four_nodes: Cluster) -> Cluster:
    """oc-04 has web and db of shop, oc-01 a teller of bank; no policy yet."""
    web, db = four_nodes.pods
    return replace(
        four_nodes,
        network=replace(four_nodes.network, plugin=Plugin.NETWORKPOLICY),
        net_namespaces=(
            NetNamespace(name="shop", netid=42),
            NetNamespace(name="bank", netid=1171),
        ),
        namespaces=(
            Namespace(name="shop"),
            Namespace(name="bank", labels={"team": "money"}),
            Namespace(name="without-vnid", labels={"team": "money"}),
        ),
        pods=(
            replace(web, labels={"app": "web"}),
            replace(db, labels={"app": "db"}),
            Pod(
                namespace="bank",
                name="teller",
                node="oc-01.test",
                ip=IPv4Address("10.128.0.9"),
                ofport=3,
                labels={"app": "web"},
            ),
        ),
    )


def policy(
    selector: LabelSelector = ALL_PODS, *ingress: IngressRule, name: str = "a"
) -> NetworkPolicy:
    return NetworkPolicy(
        namespace="shop", name=name, pod_selector=selector, ingress=ingress
    )


def rule(*peers: PolicyPeer, ports: tuple[PolicyPort, ...] = ()) -> IngressRule:
    return IngressRule(peers=peers, ports=ports)


def change(before: Cluster, after: Cluster) -> tuple[set[str], set[str]]:
    """What oc-04 loses and gains."""
    old = {str(flow) for flow in node_flows(before, before.node("oc-04"))}
    new = {str(flow) for flow in node_flows(after, after.node("oc-04"))}
    return old - new, new - old


def effect(cluster: Cluster, *policies: NetworkPolicy) -> tuple[set[str], set[str]]:
    return change(cluster, replace(cluster, network_policies=policies))


def allowed(cluster: Cluster, *policies: NetworkPolicy) -> set[str]:
    """The matches at priority 150."""
    after = replace(cluster, network_policies=policies)
    return {
        ",".join(flow.match)
        for flow in node_flows(after, after.node("oc-04"))
        if flow.table == 80 and flow.priority == 150
    }


def test_a_namespace_without_policies_is_open(open_shop: Cluster) -> None:
    flows = [str(flow) for flow in node_flows(open_shop, open_shop.node("oc-04"))]

    assert OPEN in flows


def test_a_namespace_without_a_pod_here_has_no_flows(open_shop: Cluster) -> None:
    flows = [str(flow) for flow in node_flows(open_shop, open_shop.node("oc-04"))]

    assert not any("reg1=0x493" in flow for flow in flows)


def test_a_policy_of_a_namespace_elsewhere_changes_nothing(open_shop: Cluster) -> None:
    elsewhere = replace(policy(), namespace="bank")

    assert effect(open_shop, elsewhere) == (set(), set())


def test_a_policy_for_all_pods_closes_the_namespace(open_shop: Cluster) -> None:
    assert effect(open_shop, policy()) == ({OPEN}, set())


def test_a_policy_for_one_pod_closes_that_pod(open_shop: Cluster) -> None:
    assert effect(open_shop, policy(WEB)) == (set(), {WEB_ONLY_ALLOWED})


def test_a_policy_for_no_pod_changes_nothing(open_shop: Cluster) -> None:
    assert effect(open_shop, policy(NOBODY, rule())) == (set(), set())


def test_a_pod_on_another_node_is_spelled_out_here_too(open_shop: Cluster) -> None:
    remote = replace(
        open_shop.pod("shop/web"),
        name="web-2",
        node="oc-02.test",
        ip=IPv4Address("10.129.0.7"),
    )
    before = replace(open_shop, network_policies=(policy(WEB),))

    assert change(before, replace(before, pods=(*before.pods, remote))) == (
        set(),
        {"table=80,priority=100,ip,reg1=0x2a,nw_dst=10.129.0.7 actions=drop"},
    )


def test_a_pod_in_the_hosts_network_is_not_selected(open_shop: Cluster) -> None:
    host = replace(
        open_shop.pod("shop/web"),
        name="web-2",
        ip=IPv4Address("172.16.1.25"),
        ofport=None,
        host_network=True,
    )
    before = replace(open_shop, network_policies=(policy(WEB),))

    assert change(before, replace(before, pods=(*before.pods, host))) == (set(), set())


def test_a_rule_without_peers_and_ports_allows_everybody(open_shop: Cluster) -> None:
    assert allowed(open_shop, policy(ALL_PODS, rule())) == {"reg1=0x2a"}


def test_an_empty_namespace_selector_allows_everybody(open_shop: Cluster) -> None:
    everybody = PolicyPeer(namespace_selector=ALL_PODS)

    assert allowed(open_shop, policy(ALL_PODS, rule(everybody))) == {"reg1=0x2a"}


def test_an_empty_pod_selector_allows_the_own_namespace(open_shop: Cluster) -> None:
    own = PolicyPeer(pod_selector=ALL_PODS)

    assert allowed(open_shop, policy(ALL_PODS, rule(own))) == {"reg0=0x2a,reg1=0x2a"}


def test_a_pod_selector_allows_pods_of_the_own_namespace(open_shop: Cluster) -> None:
    web = PolicyPeer(pod_selector=WEB)

    assert allowed(open_shop, policy(ALL_PODS, rule(web))) == {
        "ip,reg0=0x2a,reg1=0x2a,nw_src=10.131.1.241"
    }


def test_a_namespace_selector_allows_namespaces_that_have_a_vnid(
    open_shop: Cluster,
) -> None:
    bank = PolicyPeer(namespace_selector=BANK)

    assert allowed(open_shop, policy(ALL_PODS, rule(bank))) == {"reg0=0x493,reg1=0x2a"}


def test_senders_receivers_and_ports_are_multiplied(open_shop: Cluster) -> None:
    peers = PolicyPeer(pod_selector=DB), PolicyPeer(namespace_selector=BANK)
    ports = PolicyPort(port=80), PolicyPort(protocol="UDP", port=53)

    assert allowed(open_shop, policy(WEB, rule(*peers, ports=ports))) == {
        "tcp,reg0=0x2a,reg1=0x2a,nw_src=10.131.0.16,nw_dst=10.131.1.241,tp_dst=80",
        "udp,reg0=0x2a,reg1=0x2a,nw_src=10.131.0.16,nw_dst=10.131.1.241,tp_dst=53",
        "tcp,reg0=0x493,reg1=0x2a,nw_dst=10.131.1.241,tp_dst=80",
        "udp,reg0=0x493,reg1=0x2a,nw_dst=10.131.1.241,tp_dst=53",
    }


def test_what_two_policies_allow_is_one_flow(open_shop: Cluster) -> None:
    twice = (policy(ALL_PODS, rule()), policy(ALL_PODS, rule(), name="b"))
    cluster = replace(open_shop, network_policies=twice)

    flows = node_flows(cluster, cluster.node("oc-04"))

    assert len(flows) == len(set(flows))
    assert allowed(open_shop, *twice) == {"reg1=0x2a"}


def test_one_policy_for_all_pods_outweighs_another_for_some(open_shop: Cluster) -> None:
    removed, added = effect(open_shop, policy(WEB, rule()), policy(name="closed"))

    assert removed == {OPEN}
    assert added == {
        f"table=80,priority=150,ip,reg1=0x2a,nw_dst=10.131.1.241 {DELIVER}"
    }


@pytest.fixture
def shared_vnid(open_shop: Cluster) -> Cluster:
    """The SDN knows one namespace with VNID 42: the last."""
    return replace(
        open_shop,
        net_namespaces=(
            NetNamespace(name="shop", netid=42),
            NetNamespace(name="bank", netid=42),
        ),
    )


@pytest.mark.parametrize("namespace", ["shop", "bank"])
def test_policies_of_every_namespace_with_a_vnid_hold_for_all(
    shared_vnid: Cluster, namespace: str
) -> None:
    closed = replace(policy(), namespace=namespace)

    assert effect(shared_vnid, closed) == ({OPEN}, set())


def test_of_namespaces_with_one_vnid_policies_select_pods_of_the_last(
    shared_vnid: Cluster,
) -> None:
    bank_web = "table=80,priority=100,ip,reg1=0x2a,nw_dst=10.128.0.9 actions=drop"
    assert effect(shared_vnid, policy(WEB)) == (set(), {bank_web})


@pytest.mark.parametrize("plugin", [Plugin.SUBNET, Plugin.MULTITENANT])
def test_other_plugins_know_no_policies(open_shop: Cluster, plugin: Plugin) -> None:
    cluster = replace(open_shop, network=replace(open_shop.network, plugin=plugin))

    assert effect(cluster, policy()) == (set(), set())


def test_an_egress_only_policy_denies_its_namespace(open_shop: Cluster) -> None:
    egress_only = replace(policy(WEB), affects_ingress=False)

    assert effect(open_shop, egress_only) == ({OPEN}, set())
    assert effect(open_shop, egress_only, policy(DB, rule(), name="b")) == (
        {OPEN},
        set(),
    )


def test_an_egress_only_policy_does_no_harm_beside_one_for_all_pods(
    open_shop: Cluster,
) -> None:
    egress_only = replace(policy(WEB), affects_ingress=False)

    assert allowed(open_shop, egress_only, policy(ALL_PODS, rule(), name="b")) == {
        "reg1=0x2a"
    }


def test_an_egress_only_policy_has_no_effect_once_fixed(open_shop: Cluster) -> None:
    fixed = replace(open_shop, quirks=Quirks(egress_only_policy_breaks_namespace=False))
    egress_only = replace(policy(), affects_ingress=False)

    assert effect(fixed, egress_only) == (set(), set())


@pytest.mark.parametrize(
    "port",
    [
        PolicyPort(port="http"),
        PolicyPort(port=None),
        PolicyPort(protocol="SCTP", port=80),
        PolicyPort(port=65536),
    ],
)
def test_an_unsupported_port_denies_the_whole_namespace(
    open_shop: Cluster, port: PolicyPort
) -> None:
    broken = policy(WEB, rule(ports=(PolicyPort(port=80), port)), rule())

    assert effect(open_shop, broken) == ({OPEN}, set())


def test_an_unsupported_port_leaves_other_policies_as_they_are(
    open_shop: Cluster,
) -> None:
    broken = policy(WEB, rule(ports=(PolicyPort(port="http"),)))

    assert allowed(open_shop, broken, policy(DB, rule(), name="b")) == {
        "ip,reg1=0x2a,nw_dst=10.131.0.16"
    }


def test_an_unsupported_port_alone_allows_nothing_once_fixed(
    open_shop: Cluster,
) -> None:
    fixed = replace(open_shop, quirks=Quirks(unsupported_port_denies_namespace=False))
    ports = PolicyPort(port=80), PolicyPort(port="http")

    assert effect(fixed, policy(WEB, rule(ports=ports))) == (
        set(),
        {
            WEB_ONLY_ALLOWED,
            (
                "table=80,priority=150,tcp,reg1=0x2a,nw_dst=10.131.1.241,tp_dst=80 "
                f"{DELIVER}"
            ),
        },
    )
    assert allowed(fixed, policy(WEB, rule(ports=ports[1:]))) == set()


COMBINED = PolicyPeer(pod_selector=WEB, namespace_selector=BANK)


def test_combined_selectors_allow_nobody(open_shop: Cluster) -> None:
    assert effect(open_shop, policy(ALL_PODS, rule(COMBINED))) == ({OPEN}, set())


@pytest.mark.parametrize(
    ("peer", "senders"),
    [
        (COMBINED, {"ip,reg0=0x493,reg1=0x2a,nw_src=10.128.0.9"}),
        (
            replace(COMBINED, namespace_selector=ALL_PODS),
            {
                "ip,reg0=0x493,reg1=0x2a,nw_src=10.128.0.9",
                "ip,reg0=0x2a,reg1=0x2a,nw_src=10.131.1.241",
            },
        ),
        (
            replace(COMBINED, pod_selector=ALL_PODS),
            {"ip,reg0=0x493,reg1=0x2a,nw_src=10.128.0.9"},
        ),
        (replace(COMBINED, pod_selector=NOBODY), set()),
    ],
)
def test_combined_selectors_allow_pods_of_other_namespaces_once_fixed(
    open_shop: Cluster, peer: PolicyPeer, senders: set[str]
) -> None:
    fixed = replace(open_shop, quirks=Quirks(combined_selectors_ignored=False))

    assert allowed(fixed, policy(ALL_PODS, rule(peer))) == senders


def block(cidr: str, *excepts: str) -> PolicyPeer:
    return PolicyPeer(
        ip_block=IPBlock(
            cidr=IPv4Network(cidr), excepts=tuple(map(IPv4Network, excepts))
        )
    )


def test_an_ip_block_allows_nobody(open_shop: Cluster) -> None:
    everybody = policy(ALL_PODS, rule(block("0.0.0.0/0")))

    assert effect(open_shop, everybody) == ({OPEN}, set())


@pytest.mark.parametrize(
    ("peer", "senders"),
    [
        (block("0.0.0.0/0"), {"ip,reg1=0x2a"}),
        (block("192.0.2.7/32"), {"ip,reg1=0x2a,nw_src=192.0.2.7"}),
        (
            block("192.0.2.0/29", "192.0.2.4/30", "192.0.2.1/32"),
            {
                "ip,reg1=0x2a,nw_src=192.0.2.0",
                "ip,reg1=0x2a,nw_src=192.0.2.2/31",
            },
        ),
        (block("192.0.2.0/29", "192.0.2.0/29"), set()),
        (block("192.0.2.0/29", "192.0.2.0/28"), set()),
        (
            block("192.0.2.0/29", "198.51.100.0/24"),
            {"ip,reg1=0x2a,nw_src=192.0.2.0/29"},
        ),
    ],
)
def test_an_ip_block_allows_its_range_but_for_exceptions_once_fixed(
    open_shop: Cluster, peer: PolicyPeer, senders: set[str]
) -> None:
    fixed = replace(open_shop, quirks=Quirks(ip_block_ignored=False))

    assert allowed(fixed, policy(ALL_PODS, rule(peer))) == senders
