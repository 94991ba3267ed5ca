"""What egress IPs and EgressNetworkPolicies add to a bridge and take from it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import pytest

from testbed.model import (
    EgressNetworkPolicy,
    EgressRule,
    NetNamespace,
    Plugin,
    Quirks,
    UnderlayHost,
)
from testbed.pipeline import node_flows

if TYPE_CHECKING:
    from testbed.model import Cluster

EGRESS_IP = IPv4Address("172.16.1.101")
MARKED = (
    "table=100,priority=100,ip,reg0={} actions=set_field:0e:58:0a:83:00:01->eth_dst,"
    "set_field:{}->pkt_mark,goto_table:101"
)
TUNNELLED = (
    "table=100,priority=100,ip,reg0=0x2a actions={}"
    "move:NXM_NX_REG0[]->NXM_NX_TUN_ID[0..31],set_field:172.16.1.15->tun_dst,output:1"
)


@pytest.fixture(params=[Plugin.MULTITENANT, Plugin.NETWORKPOLICY])
def shop(request: pytest.FixtureRequest, four_nodes: Cluster) -> Cluster:
    """The live cluster under a plugin with VNIDs; shop has 0x2a."""
    return replace(
        four_nodes,
        network=replace(four_nodes.network, plugin=request.param),
        net_namespaces=(NetNamespace(name="shop", netid=42),),
    )


def change(before: Cluster, after: Cluster) -> tuple[set[str], set[str]]:
    """What oc-04 loses and gains."""
    old = {str(flow) for flow in node_flows(before, before.node("oc-04"))}
    new = {str(flow) for flow in node_flows(after, after.node("oc-04"))}
    return old - new, new - old


def with_egress_ip(cluster: Cluster, *nodes: str) -> Cluster:
    """Shop asks for the egress IP, these nodes offer it."""
    return replace(
        cluster,
        net_namespaces=(replace(cluster.net_namespaces[0], egress_ips=(EGRESS_IP,)),),
        host_subnets=tuple(
            replace(node, egress_ips=(EGRESS_IP,)) if node.name in nodes else node
            for node in cluster.host_subnets
        ),
    )


def with_rules(cluster: Cluster, *rules: EgressRule, name: str = "a") -> Cluster:
    policy = EgressNetworkPolicy(namespace="shop", name=name, egress=rules)
    return replace(
        cluster, egress_network_policies=(*cluster.egress_network_policies, policy)
    )


def deny(cidr: str) -> EgressRule:
    return EgressRule(allow=False, cidr=IPv4Network(cidr))


def allow(cidr: str) -> EgressRule:
    return EgressRule(allow=True, cidr=IPv4Network(cidr))


def test_an_egress_ip_of_this_node_marks_packets(shop: Cluster) -> None:
    after = with_egress_ip(shop, "oc-04.test")

    assert change(shop, after) == (set(), {MARKED.format("0x2a", "0x2a")})


@pytest.mark.parametrize(
    ("vnid", "register", "mark"),
    [(0, "0", "0xff000000"), (0xAB, "0xab", "0x10000aa")],
)
def test_no_mark_is_zero_or_asks_for_masquerading(
    shop: Cluster, vnid: int, register: str, mark: str
) -> None:
    before = replace(shop, net_namespaces=(NetNamespace(name="shop", netid=vnid),))

    _, added = change(before, with_egress_ip(before, "oc-04.test"))

    assert added == {MARKED.format(register, mark)}


def test_an_egress_ip_of_another_node_tunnels_packets_there(shop: Cluster) -> None:
    after = with_egress_ip(shop, "oc-01.test")

    assert change(shop, after) == (set(), {TUNNELLED.format("")})


@pytest.mark.parametrize("nodes", [(), ("oc-01.test", "oc-04.test")])
def test_an_egress_ip_without_a_node_of_its_own_drops(
    shop: Cluster, nodes: tuple[str, ...]
) -> None:
    after = with_egress_ip(shop, *nodes)

    assert change(shop, after) == (
        set(),
        {"table=100,priority=100,reg0=0x2a actions=drop"},
    )


def test_what_leaves_from_another_node_is_committed_once_fixed(shop: Cluster) -> None:
    fixed = replace(shop, quirks=Quirks(remote_egress_not_committed=False))
    committed = "ct(commit)," if shop.network.plugin.tracks_connections else ""

    _, added = change(fixed, with_egress_ip(fixed, "oc-01.test"))

    assert added == {TUNNELLED.format(committed)}


def test_replies_leave_as_they_came_once_fixed(shop: Cluster) -> None:
    fixed = replace(shop, quirks=Quirks(replies_take_egress_ip=False))
    tracks = shop.network.plugin.tracks_connections

    assert change(shop, fixed) == (
        set(),
        {"table=100,priority=150,ct_state=+rpl,ip actions=output:2"}
        if tracks
        else set(),
    )


def test_the_first_rule_has_the_highest_priority(shop: Cluster) -> None:
    after = with_rules(
        shop, allow("198.51.100.1/32"), deny("198.51.100.0/24"), allow("0.0.0.0/0")
    )

    assert change(shop, after) == (
        set(),
        {
            "table=101,priority=3,ip,reg0=0x2a,nw_dst=198.51.100.1 actions=output:2",
            "table=101,priority=2,ip,reg0=0x2a,nw_dst=198.51.100.0/24 actions=drop",
            "table=101,priority=1,ip,reg0=0x2a actions=output:2",
        },
    )


def test_0_0_0_0_is_everywhere_even_with_32_bits(shop: Cluster) -> None:
    _, added = change(shop, with_rules(shop, deny("0.0.0.0/32")))

    assert added == {"table=101,priority=1,ip,reg0=0x2a actions=drop"}


def test_a_dns_name_stands_for_all_its_addresses(shop: Cluster) -> None:
    hosts = tuple(
        UnderlayHost(
            name=f"www-{number}",
            ip=IPv4Address("198.51.100.0") + number,
            dns_names=("www.example.com",),
        )
        for number in (7, 8)
    )
    before = replace(shop, underlay=replace(shop.underlay, external_hosts=hosts))
    known, unknown = (
        EgressRule(allow=True, dns_name=name)
        for name in ("www.example.com", "gone.example.com")
    )

    assert change(before, with_rules(before, unknown, known)) == (
        set(),
        {
            "table=101,priority=1,ip,reg0=0x2a,nw_dst=198.51.100.7 actions=output:2",
            "table=101,priority=1,ip,reg0=0x2a,nw_dst=198.51.100.8 actions=output:2",
        },
    )


def test_two_policies_drop_everything(shop: Cluster) -> None:
    after = with_rules(
        with_rules(shop, allow("0.0.0.0/0")), allow("0.0.0.0/0"), name="b"
    )

    assert change(shop, after) == (
        set(),
        {"table=101,priority=1,reg0=0x2a actions=drop"},
    )


def test_a_policy_of_a_shared_vnid_drops_everything(shop: Cluster) -> None:
    shared = replace(
        shop,
        net_namespaces=(*shop.net_namespaces, NetNamespace(name="bank", netid=42)),
    )

    assert change(shared, with_rules(shared, allow("0.0.0.0/0"))) == (
        set(),
        {"table=101,priority=1,reg0=0x2a actions=drop"},
    )


def test_a_policy_without_rules_changes_nothing(shop: Cluster) -> None:
    one = with_rules(shop, deny("0.0.0.0/0"))

    assert change(shop, with_rules(shop)) == (set(), set())
    assert change(one, with_rules(one, name="b")) == (set(), set())


def test_vnid_0_is_not_filtered(shop: Cluster) -> None:
    admins = replace(shop, net_namespaces=(NetNamespace(name="shop", netid=0),))

    assert change(admins, with_rules(admins, deny("0.0.0.0/0"))) == (set(), set())


def test_ovs_subnet_knows_neither(four_nodes: Cluster) -> None:
    after = with_rules(with_egress_ip(four_nodes, "oc-04.test"), deny("0.0.0.0/0"))

    assert change(four_nodes, after) == (set(), set())
