"""Table 0: by which port a packet came in decides where it goes on, if anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.contrib.lldp import LLDPDU, LLDPDUChassisID, LLDPDUEndOfLLDPDU, LLDPDUPortID
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether

from testbed.openflow import Table
from testbed.probe import arp_request, ip_between, vxlan

if TYPE_CHECKING:
    from scapy.packet import Packet

    from testbed.probe import LiveCluster, Node, Pod

pytestmark = pytest.mark.plugins("subnet", "multitenant", "networkpolicy")

FROM_VXLAN_ELSE = "priority=150,in_port=1"
FROM_TUN0_MULTICAST = "priority=250,ip,in_port=2,nw_dst=224.0.0.0/4"
FROM_TUN0_ELSE = "priority=150,in_port=2"
OUTSIDE = "192.0.2.7"


def arp(source: object, target: object) -> Packet:
    return Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(psrc=str(source), pdst=str(target))


def udp(source: object, destination: object) -> Packet:
    return (
        Ether() / IP(src=str(source), dst=str(destination)) / UDP(sport=40009, dport=9)
    )


def test_multicast_from_the_node_itself_is_dropped(
    cluster: LiveCluster, node: Node
) -> None:
    """Under ovs-networkpolicy what tun0's own address sends gets further."""
    sent = cluster.send(node, udp(node.gateway, "224.0.0.251"))

    if cluster.objects.network.plugin.tracks_connections:
        sent.is_dropped(node, Table.MULTICAST_FROM_POD)
    else:
        sent.is_dropped(node, Table.DISPATCH, FROM_TUN0_MULTICAST)


def test_multicast_that_the_node_forwards_is_dropped(
    cluster: LiveCluster, node: Node
) -> None:
    sent = cluster.send(node, udp(node.ip, "224.0.0.251"))

    sent.is_dropped(node, Table.DISPATCH, FROM_TUN0_MULTICAST)


def test_arp_on_tun0_from_another_address_than_the_gateway_is_dropped(
    cluster: LiveCluster, node: Node, pod: Pod
) -> None:
    sent = cluster.send(node, arp(node.ip, pod.ip))

    sent.is_dropped(node, Table.DISPATCH, FROM_TUN0_ELSE)


def test_arp_on_tun0_for_an_address_outside_the_cluster_network_is_dropped(
    cluster: LiveCluster, node: Node
) -> None:
    sent = cluster.send(node, arp(node.gateway, OUTSIDE))

    sent.is_dropped(node, Table.DISPATCH, FROM_TUN0_ELSE)


def test_ipv6_on_tun0_is_dropped(cluster: LiveCluster, node: Node) -> None:
    sent = cluster.send(node, Ether() / IPv6(src="fe80::1", dst="fe80::2"))

    sent.is_dropped(node, Table.DISPATCH, FROM_TUN0_ELSE)


def test_tunnelled_arp_within_the_cluster_is_delivered(
    cluster: LiveCluster, node: Node, pod: Pod, remote: Pod
) -> None:
    inner = arp_request(remote, pod.ip)

    sent = cluster.send(cluster.rogue, vxlan(inner, source=remote.node.ip, node=node))

    sent.arrives(pod)


def test_tunnelled_arp_from_outside_the_cluster_network_is_dropped(
    cluster: LiveCluster, node: Node, pod: Pod, remote: Pod
) -> None:
    inner = arp(OUTSIDE, pod.ip)

    sent = cluster.send(cluster.rogue, vxlan(inner, source=remote.node.ip, node=node))

    sent.is_dropped(node, Table.DISPATCH, FROM_VXLAN_ELSE)


def test_tunnelled_arp_for_another_nodes_subnet_is_dropped(
    cluster: LiveCluster, node: Node, remote: Pod
) -> None:
    inner = arp(remote.ip, remote.node.gateway)

    sent = cluster.send(cluster.rogue, vxlan(inner, source=remote.node.ip, node=node))

    sent.is_dropped(node, Table.DISPATCH, FROM_VXLAN_ELSE)


def test_tunnelled_ip_from_a_pod_is_delivered(
    cluster: LiveCluster, node: Node, pod: Pod, remote: Pod
) -> None:
    inner = udp(remote.ip, pod.ip)

    sent = cluster.send(cluster.rogue, vxlan(inner, source=remote.node.ip, node=node))

    sent.arrives(pod)


def test_tunnelled_ip_from_outside_to_a_pod_is_delivered_as_egress_ip_replies_need_it(
    cluster: LiveCluster, node: Node, pod: Pod, remote: Pod
) -> None:
    inner = udp(OUTSIDE, pod.ip)

    sent = cluster.send(cluster.rogue, vxlan(inner, source=remote.node.ip, node=node))

    sent.arrives(pod)


def test_tunnelled_ip_from_a_pod_to_outside_leaves_on_tun0_as_egress_ips_need_it(
    cluster: LiveCluster, node: Node, remote: Pod
) -> None:
    inner = udp(remote.ip, cluster.external.ip)

    sent = cluster.send(cluster.rogue, vxlan(inner, source=remote.node.ip, node=node))

    sent.arrives(node)


def test_tunnelled_ip_with_both_addresses_outside_is_dropped(
    cluster: LiveCluster, node: Node, remote: Pod
) -> None:
    inner = udp(OUTSIDE, cluster.external.ip)

    sent = cluster.send(cluster.rogue, vxlan(inner, source=remote.node.ip, node=node))

    sent.is_dropped(node, Table.DISPATCH, FROM_VXLAN_ELSE)


def test_tunnelled_ipv6_is_dropped(
    cluster: LiveCluster, node: Node, remote: Pod
) -> None:
    inner = Ether() / IPv6(src="fe80::1", dst="fe80::2")

    sent = cluster.send(cluster.rogue, vxlan(inner, source=remote.node.ip, node=node))

    sent.is_dropped(node, Table.DISPATCH, FROM_VXLAN_ELSE)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(IPv6(src="fe80::1", dst="ff02::1"), id="ipv6"),
        pytest.param(
            LLDPDUChassisID(subtype="MAC address", id="0a:58:0a:83:01:f1")
            / LLDPDUPortID(subtype="MAC address", id="0a:58:0a:83:01:f1")
            / LLDPDUEndOfLLDPDU(),
            id="lldp",
        ),
        pytest.param(None, id="unknown-ethertype"),
    ],
)
def test_what_is_neither_arp_nor_ipv4_from_a_pod_is_dropped(
    cluster: LiveCluster, pod: Pod, payload: Packet | None
) -> None:
    frame = Ether(src=pod.mac, dst="ff:ff:ff:ff:ff:ff", type=0x88B5)
    if isinstance(payload, IPv6):
        frame = Ether(src=pod.mac, dst="33:33:00:00:00:01") / payload
    elif isinstance(payload, LLDPDU):
        frame = Ether(src=pod.mac, dst="01:80:c2:00:00:0e") / payload

    sent = cluster.send(pod, frame)

    sent.is_dropped(pod.node, Table.DISPATCH)


def test_a_packet_of_the_nodes_kernel_reaches_a_pod(
    cluster: LiveCluster, node: Node, pod: Pod
) -> None:
    sent = cluster.send(node, ip_between(node, pod) / UDP(sport=40009, dport=9))

    sent.arrives(pod)
