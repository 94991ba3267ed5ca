"""What a node takes in, forwards and masquerades."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import pytest

from testbed.host.egress import egress_addresses
from testbed.host.iptables import node_rules
from testbed.model import (
    ClusterNetworkEntry,
    HostPort,
    NetNamespace,
    Plugin,
    Protocol,
)

if TYPE_CHECKING:
    from testbed.model import Cluster

FIRST, SECOND = "10.128.0.0/14", "10.132.0.0/14"
EGRESS_IP = IPv4Address("172.16.1.200")


@pytest.fixture
def two_networks(four_nodes: Cluster) -> Cluster:
    more = ClusterNetworkEntry(cidr=IPv4Network(SECOND), host_subnet_length=9)
    network = four_nodes.network
    networks = (*network.cluster_networks, more)
    return replace(four_nodes, network=replace(network, cluster_networks=networks))


def under(cluster: Cluster, plugin: Plugin) -> Cluster:
    return replace(cluster, network=replace(cluster.network, plugin=plugin))


def with_egress_ip(cluster: Cluster, ip: IPv4Address = EGRESS_IP) -> Cluster:
    """Namespace shop leaves by an egress IP of oc-04."""
    *others, oc_04 = cluster.host_subnets
    return replace(
        under(cluster, Plugin.MULTITENANT),
        host_subnets=(*others, replace(oc_04, egress_ips=(ip,))),
        net_namespaces=(NetNamespace(name="shop", netid=4711, egress_ips=(ip,)),),
    )


def rules(cluster: Cluster, table: str, chain: str, node: str = "oc-04") -> list[str]:
    """The rules of one chain, without the words that append them."""
    text = node_rules(cluster, cluster.node(node))
    _, _, rest = text.partition(f"*{table}\n")
    lines = rest.partition("COMMIT\n")[0].splitlines()
    assert f":{chain} " in rest
    return [
        line.removeprefix(f"-A {chain} ")
        for line in lines
        if line.startswith(f"-A {chain} ")
    ]


def targets(cluster: Cluster, table: str, chain: str) -> list[str]:
    return [rule.split("-j ")[1] for rule in rules(cluster, table, chain)]


@pytest.mark.parametrize(
    ("table", "chain", "expected"),
    [
        (
            "filter",
            "INPUT",
            ["KUBE-EXTERNAL-SERVICES", "OPENSHIFT-FIREWALL-ALLOW", "KUBE-FIREWALL"],
        ),
        (
            "filter",
            "FORWARD",
            [
                "KUBE-FORWARD",
                "OPENSHIFT-ADMIN-OUTPUT-RULES",
                "OPENSHIFT-FIREWALL-FORWARD",
            ],
        ),
        ("filter", "OUTPUT", ["KUBE-SERVICES", "KUBE-FIREWALL"]),
        ("nat", "PREROUTING", ["KUBE-SERVICES", "KUBE-HOSTPORTS"]),
        ("nat", "OUTPUT", ["KUBE-SERVICES", "KUBE-HOSTPORTS"]),
        (
            "nat",
            "POSTROUTING",
            ["OPENSHIFT-MASQUERADE", "KUBE-POSTROUTING", "MASQUERADE"],
        ),
    ],
)
def test_the_built_in_chains_jump_in_the_order_of_a_started_node(
    four_nodes: Cluster, table: str, chain: str, expected: list[str]
) -> None:
    assert targets(four_nodes, table, chain) == expected


@pytest.mark.parametrize("plugin", Plugin)
def test_every_chain_that_is_jumped_to_exists(
    two_networks: Cluster, plugin: Plugin
) -> None:
    builtin = {"ACCEPT", "DROP", "REJECT", "RETURN", "MASQUERADE", "MARK"}
    cluster = under(two_networks, plugin)

    text = node_rules(cluster, cluster.node("oc-04"))

    for table in text.split("COMMIT\n"):
        lines = table.splitlines()
        declared = {line[1:].split()[0] for line in lines if line.startswith(":")}
        jumped = {line.split(" -j ")[1].split()[0] for line in lines if " -j " in line}
        assert jumped <= declared | builtin


def test_invalid_packets_are_dropped_before_any_accept(four_nodes: Cluster) -> None:
    """Else pods' addresses leak unmasqueraded (BZ1438762)."""
    first, *_ = rules(four_nodes, "filter", "OPENSHIFT-FIREWALL-FORWARD")

    assert first.endswith("--ctstate INVALID -j DROP")


def test_every_cluster_network_is_forwarded_in_both_directions(
    two_networks: Cluster,
) -> None:
    forward = rules(two_networks, "filter", "OPENSHIFT-FIREWALL-FORWARD")

    accepted = [rule[:16] for rule in forward if rule.endswith("ACCEPT")]
    assert accepted == [f"{way} {c}" for c in (FIRST, SECOND) for way in ("-d", "-s")]


def test_vxlan_is_let_in_on_the_clusters_port(four_nodes: Cluster) -> None:
    cluster = replace(four_nodes, network=replace(four_nodes.network, vxlan_port=4790))

    allow = rules(cluster, "filter", "OPENSHIFT-FIREWALL-ALLOW")

    assert allow[0].startswith("-p udp -m udp --dport 4790 ")


@pytest.mark.parametrize("plugin", [Plugin.SUBNET, Plugin.MULTITENANT])
def test_all_that_pods_send_through_tun0_is_masqueraded(
    two_networks: Cluster, plugin: Plugin
) -> None:
    remark = '--comment "masquerade pod-to-service and pod-to-external traffic"'

    assert rules(under(two_networks, plugin), "nat", "OPENSHIFT-MASQUERADE") == [
        f"-s {cidr} -m comment {remark} -j MASQUERADE" for cidr in (FIRST, SECOND)
    ]


def test_under_networkpolicy_only_what_leaves_the_cluster_is_masqueraded(
    two_networks: Cluster,
) -> None:
    cluster = under(two_networks, Plugin.NETWORKPOLICY)

    first = rules(cluster, "nat", "OPENSHIFT-MASQUERADE")
    second = rules(cluster, "nat", "OPENSHIFT-MASQUERADE-2")

    remark = '-m comment --comment "masquerade pod-to-external traffic"'
    assert first == [
        f"-s {cidr} {remark} -j OPENSHIFT-MASQUERADE-2" for cidr in (FIRST, SECOND)
    ]
    assert second == [
        *(f"-d {cidr} {remark} -j RETURN" for cidr in (FIRST, SECOND)),
        "-j MASQUERADE",
    ]


def test_what_bears_the_namespaces_mark_leaves_with_its_egress_ip(
    four_nodes: Cluster,
) -> None:
    cluster = with_egress_ip(four_nodes)

    first, *_ = rules(cluster, "nat", "OPENSHIFT-MASQUERADE")

    assert (
        first == f"-s {FIRST} -m mark --mark 0x1001266 -j SNAT --to-source 172.16.1.200"
    )


def test_each_egress_rule_was_put_above_the_one_before(two_networks: Cluster) -> None:
    cluster = with_egress_ip(two_networks)

    masquerade = rules(cluster, "nat", "OPENSHIFT-MASQUERADE")

    snat = [rule.split()[1] for rule in masquerade[:2]]
    assert snat == [SECOND, FIRST]
    assert [rule.endswith("MASQUERADE") for rule in masquerade[2:]] == [True, True]


def test_nobody_may_open_a_connection_to_an_egress_ip(four_nodes: Cluster) -> None:
    cluster = with_egress_ip(four_nodes)

    *_, last = rules(cluster, "filter", "OPENSHIFT-FIREWALL-ALLOW")

    assert last == (
        "-d 172.16.1.200/32 -m conntrack --ctstate NEW "
        "-j REJECT --reject-with icmp-port-unreachable"
    )


def test_only_the_node_that_has_an_egress_ip_has_its_address(
    four_nodes: Cluster,
) -> None:
    cluster = with_egress_ip(four_nodes)

    assert egress_addresses(cluster, cluster.node("oc-04")) == (EGRESS_IP,)
    assert egress_addresses(cluster, cluster.node("oc-03")) == ()
    assert str(EGRESS_IP) not in node_rules(cluster, cluster.node("oc-03"))


@pytest.mark.parametrize(
    "ip",
    [
        pytest.param("172.16.1.25", id="the node's own"),
        pytest.param("172.16.2.200", id="not in the node's network"),
    ],
)
def test_an_egress_ip_that_a_node_cannot_take_gets_no_address_and_no_rule(
    four_nodes: Cluster, ip: str
) -> None:
    cluster = with_egress_ip(four_nodes, IPv4Address(ip))
    node = cluster.node("oc-04")

    assert egress_addresses(cluster, node) == ()
    assert ip not in node_rules(cluster, node)


@pytest.fixture
def hostports(four_nodes: Cluster) -> Cluster:
    """Pod web of oc-04 is reached at the node's port 53, UDP."""
    web, db = four_nodes.pods
    port = HostPort(host_port=53, container_port=5353, protocol=Protocol.UDP)
    return replace(four_nodes, pods=(replace(web, host_ports=(port,)), db))


def test_a_hostport_leads_to_the_pods_port(hostports: Cluster) -> None:
    (jump,) = rules(hostports, "nat", "KUBE-HOSTPORTS")
    chain = jump.split("-j ")[1]

    *_, rewrite = rules(hostports, "nat", chain)

    assert jump.startswith("-p udp ")
    assert "-m udp --dport 53 -j KUBE-HP-" in jump
    assert rewrite.endswith("-m udp -j DNAT --to-destination 10.131.1.241:5353")


def test_a_pod_that_calls_its_own_hostport_is_masqueraded(hostports: Cluster) -> None:
    (jump,) = rules(hostports, "nat", "KUBE-HOSTPORTS")

    first, *_ = rules(hostports, "nat", jump.split("-j ")[1])

    assert first.startswith("-s 10.131.1.241/32 ")
    assert first.endswith("-j KUBE-MARK-MASQ")


def test_a_hostport_exists_on_the_pods_node_only(hostports: Cluster) -> None:
    assert rules(hostports, "nat", "KUBE-HOSTPORTS", node="oc-01") == []


def test_the_mark_of_kube_proxy_is_bit_0(four_nodes: Cluster) -> None:
    (marked,) = rules(four_nodes, "nat", "KUBE-MARK-MASQ")
    (masqueraded,) = rules(four_nodes, "nat", "KUBE-POSTROUTING")
    (forwarded,) = rules(four_nodes, "filter", "KUBE-FORWARD")

    assert marked == "-j MARK --set-xmark 0x1/0x1"
    assert masqueraded.endswith("-m mark --mark 0x1/0x1 -j MASQUERADE")
    assert forwarded.endswith("-m mark --mark 0x1/0x1 -j ACCEPT")


def test_what_is_marked_for_it_is_dropped(four_nodes: Cluster) -> None:
    (marked,) = rules(four_nodes, "nat", "KUBE-MARK-DROP")
    (dropped,) = rules(four_nodes, "filter", "KUBE-FIREWALL")

    assert marked == "-j MARK --set-xmark 0x8000/0x8000"
    assert dropped.endswith("-m mark --mark 0x8000/0x8000 -j DROP")
