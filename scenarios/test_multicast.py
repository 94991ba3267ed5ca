"""Tables 110, 111 and 120: multicast, which ovs-subnet never lets through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN

from testbed.openflow import Flow, Table
from testbed.openflow.actions import goto
from testbed.probe import vxlan

if TYPE_CHECKING:
    from scapy.packet import Packet

    from testbed.probe import LiveCluster, Node, Pod

GROUPS = ["224.0.0.251", "239.255.255.250"]


def multicast(pod: Pod, group: str) -> Packet:
    return (
        Ether(src=pod.mac) / IP(src=str(pod.ip), dst=group) / UDP(sport=40009, dport=9)
    )


@pytest.mark.parametrize("group", GROUPS)
def test_multicast_from_a_pod_is_dropped(
    cluster: LiveCluster, pod: Pod, group: str
) -> None:
    sent = cluster.send(pod, multicast(pod, group))

    sent.is_dropped(pod.node, Table.MULTICAST_FROM_POD)


@pytest.mark.parametrize("group", GROUPS)
def test_multicast_from_vxlan_is_dropped(
    cluster: LiveCluster, node: Node, remote: Pod, group: str
) -> None:
    rogue = cluster.rogue

    sent = cluster.send(
        rogue, vxlan(multicast(remote, group), source=remote.node.ip, node=node)
    )

    sent.is_dropped(node, Table.MULTICAST_TO_LOCAL_PODS)


def test_an_address_above_the_multicast_range_is_no_multicast(
    cluster: LiveCluster, pod: Pod
) -> None:
    """240.0.0.0/4 was once taken for multicast (BZ1420032)."""
    sent = cluster.send(pod, multicast(pod, "240.0.0.1"))

    sent.arrives(pod.node)


def test_if_table_110_let_it_through_every_peer_would_get_a_copy_and_drop_it(
    cluster: LiveCluster, pod: Pod
) -> None:
    let_through = Flow(
        table=Table.MULTICAST_FROM_POD,
        priority=1,
        actions=(goto(Table.MULTICAST_TO_VXLAN),),
    )
    with pod.node.switch.with_flow(let_through):
        sent = cluster.send(pod, multicast(pod, GROUPS[0]))

        dropped = sent.drops()

    copies = sent.crossings(pod.node.wire)
    peers = [node for node in cluster.nodes if node != pod.node]
    assert {copy[IP].dst for copy in copies} == {str(peer.ip) for peer in peers}
    assert {copy[VXLAN].vni for copy in copies} == {0}
    miss = int(Table.MULTICAST_TO_LOCAL_PODS), "priority=0"
    assert dropped == {(node.name, *miss): 1 for node in cluster.nodes}
