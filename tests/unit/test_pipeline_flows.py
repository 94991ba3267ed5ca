from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from testbed.openflow import Flow, Table
from testbed.pipeline import node_flows

if TYPE_CHECKING:
    from testbed.model import Cluster


def flows_of(cluster: Cluster, table: Table) -> list[Flow]:
    flows = node_flows(cluster, cluster.node("oc-04"))
    return [flow for flow in flows if flow.table is table]


def test_flows_come_by_table_and_falling_priority(four_nodes: Cluster) -> None:
    flows = node_flows(four_nodes, four_nodes.node("oc-04"))

    assert list(flows) == sorted(flows, key=lambda f: (f.table, -f.priority))


def test_flows_come_in_the_same_order_every_time(four_nodes: Cluster) -> None:
    node = four_nodes.node("oc-04")

    assert node_flows(four_nodes, node) == node_flows(four_nodes, node)


def test_the_node_itself_is_no_peer(four_nodes: Cluster) -> None:
    sources = [flow.match for flow in flows_of(four_nodes, Table.FROM_VXLAN)]

    assert sources == [
        ("tun_src=172.16.1.15",),
        ("tun_src=172.16.1.16",),
        ("tun_src=172.16.1.22",),
        (),
    ]


def test_a_peers_cookie_is_the_head_of_its_uids_sha256(four_nodes: Cluster) -> None:
    peer = four_nodes.node("oc-01")

    cookies = {
        flow.cookie
        for table in (
            Table.FROM_VXLAN,
            Table.ARP_TO_REMOTE_POD,
            Table.IP_TO_REMOTE_POD,
        )
        for flow in flows_of(four_nodes, table)
        if str(peer.host_ip) in str(flow)
    }

    assert [f"{cookie:08x}" for cookie in cookies] == [
        sha256(peer.uid.encode()).hexdigest()[:8]
    ]


def test_multicast_copies_go_to_peers_sorted_as_text(four_nodes: Cluster) -> None:
    one, two, three, four = four_nodes.host_subnets
    moved = replace(
        four_nodes,
        host_subnets=(
            replace(one, host_ip=IPv4Address("172.16.1.9")),
            replace(two, host_ip=IPv4Address("172.16.1.100")),
            replace(three, host_ip=IPv4Address("172.16.1.10")),
            four,
        ),
    )

    (flow,) = flows_of(moved, Table.MULTICAST_TO_VXLAN)

    assert flow.actions == (
        "move:NXM_NX_REG0[]->NXM_NX_TUN_ID[0..31]",
        "set_field:172.16.1.10->tun_dst",
        "output:1",
        "set_field:172.16.1.100->tun_dst",
        "output:1",
        "set_field:172.16.1.9->tun_dst",
        "output:1",
        "goto_table:120",
    )


def test_a_lone_node_copies_multicast_to_nobody(four_nodes: Cluster) -> None:
    alone = replace(four_nodes, host_subnets=four_nodes.host_subnets[3:])

    (flow,) = flows_of(alone, Table.MULTICAST_TO_VXLAN)

    assert flow.actions == ("goto_table:120",)


def test_arp_must_carry_the_pods_address_as_the_end_of_its_mac(
    four_nodes: Cluster,
) -> None:
    from_web = flows_of(four_nodes, Table.FROM_POD)[0]

    assert four_nodes.pod("shop/web").mac == "0a:58:0a:83:01:f1"
    assert from_web.match[-1] == "arp_sha=00:00:0a:83:01:f1/00:00:ff:ff:ff:ff"
