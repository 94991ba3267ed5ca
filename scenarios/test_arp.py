"""Tables 30, 40 and 50: who hears an ARP request."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP
from scapy.layers.vxlan import VXLAN

from testbed.openflow import Table
from testbed.probe import arp_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from scapy.packet import Packet

    from testbed.probe import LiveCluster, Node, Place, Pod

pytestmark = pytest.mark.plugins("subnet", "multitenant", "networkpolicy")

IS_AT = 2


def is_reply_of(place: Place, address: IPv4Address) -> Callable[[Packet], bool]:
    def matches(packet: Packet) -> bool:
        return bool(
            ARP in packet
            and packet[ARP].op == IS_AT
            and packet[ARP].psrc == str(address)
            and packet[ARP].hwsrc == place.mac
        )

    return matches


def test_the_gateway_is_the_nodes_tun0(cluster: LiveCluster, pod: Pod) -> None:
    sent = cluster.send(pod, arp_request(pod, pod.node.gateway))

    sent.arrives(pod.node)
    sent.is_answered(is_reply_of(pod.node, pod.node.gateway))


def test_a_pod_hears_its_neighbour_and_answers(
    cluster: LiveCluster, pod: Pod, neighbour: Pod
) -> None:
    sent = cluster.send(pod, arp_request(pod, neighbour.ip))

    sent.arrives(neighbour)
    sent.is_answered(is_reply_of(neighbour, neighbour.ip))


def test_a_pod_hears_a_pod_of_another_node_and_answers(
    cluster: LiveCluster, pod: Pod, remote: Pod
) -> None:
    sent = cluster.send(pod, arp_request(pod, remote.ip))

    sent.arrives(remote)
    sent.is_answered(is_reply_of(remote, remote.ip))


def test_arp_for_a_remote_pod_is_tunnelled_from_node_to_node_with_the_vnid(
    cluster: LiveCluster, pod: Pod, remote: Pod, vnid: int
) -> None:
    sent = cluster.send(pod, arp_request(pod, remote.ip))

    outer = sent.crosses(pod.node.wire)
    assert (outer[IP].src, outer[IP].dst) == (str(pod.node.ip), str(remote.node.ip))
    assert outer[UDP].dport == pod.node.vxlan_port
    assert outer[VXLAN].vni == vnid
    assert outer[VXLAN][ARP].pdst == str(remote.ip)


def test_the_node_hears_its_pods(cluster: LiveCluster, node: Node, pod: Pod) -> None:
    sent = cluster.send(node, arp_request(node, pod.ip))

    sent.arrives(pod)
    sent.is_answered(is_reply_of(pod, pod.ip))


def test_the_node_hears_pods_of_other_nodes(
    cluster: LiveCluster, node: Node, remote: Pod
) -> None:
    sent = cluster.send(node, arp_request(node, remote.ip))

    sent.arrives(remote)
    assert sent.crosses(node.wire)[VXLAN].vni == 0
    sent.is_answered(is_reply_of(remote, remote.ip))


def test_arp_for_an_address_of_the_node_that_no_pod_has_is_dropped(
    cluster: LiveCluster, pod: Pod
) -> None:
    sent = cluster.send(pod, arp_request(pod, cluster.unused_ip(pod.node)))

    sent.is_dropped(pod.node, Table.ARP_TO_LOCAL_POD)


def test_tunnelled_arp_for_an_address_that_no_pod_has_is_dropped_by_the_receiver(
    cluster: LiveCluster, pod: Pod, remote: Pod
) -> None:
    sent = cluster.send(pod, arp_request(pod, cluster.unused_ip(remote.node)))

    sent.is_dropped(remote.node, Table.ARP_TO_LOCAL_POD)


def test_arp_for_a_subnet_without_a_node_is_dropped(
    cluster: LiveCluster, pod: Pod
) -> None:
    sent = cluster.send(pod, arp_request(pod, cluster.unassigned_ip))

    sent.is_dropped(pod.node, Table.ARP_TO_REMOTE_POD)


def test_arp_for_an_address_outside_the_cluster_network_is_dropped(
    cluster: LiveCluster, pod: Pod
) -> None:
    sent = cluster.send(pod, arp_request(pod, IPv4Address("192.0.2.7")))

    sent.is_dropped(pod.node, Table.ROUTING, "priority=0,arp")
