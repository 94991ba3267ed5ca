"""Tables 70, 80 and 90: IP between pods, and between nodes and pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from testbed.openflow import Table
from testbed.probe import ip_between

if TYPE_CHECKING:
    from testbed.probe import LiveCluster, Node, Pod

pytestmark = pytest.mark.plugins("subnet", "multitenant", "networkpolicy")

HEADERS_AND_MARK = 20 + 8 + 16


def filler(cluster: LiveCluster, size: str) -> Raw:
    """What fills a UDP packet to the pods' MTU, or nothing."""
    length = cluster.objects.underlay.mtu - HEADERS_AND_MARK if size == "full" else 0
    return Raw(b"x" * length)


@pytest.mark.parametrize("size", ["small", "full"])
def test_pods_of_one_node_reach_each_other(
    cluster: LiveCluster, local_pairs: list[tuple[Pod, Pod]], size: str
) -> None:
    assert {sender.node for sender, _ in local_pairs} == set(cluster.nodes)
    for sender, receiver in local_pairs:
        packet = (
            ip_between(sender, receiver)
            / UDP(sport=40009, dport=9)
            / filler(cluster, size)
        )

        received = cluster.send(sender, packet).arrives(receiver)

        assert received[IP].src == str(sender.ip)


@pytest.mark.parametrize("size", ["small", "full"])
def test_pods_of_every_two_nodes_reach_each_other(
    cluster: LiveCluster, remote_pairs: list[tuple[Pod, Pod]], size: str
) -> None:
    for sender, receiver in remote_pairs:
        packet = (
            ip_between(sender, receiver)
            / UDP(sport=40009, dport=9)
            / filler(cluster, size)
        )

        received = cluster.send(sender, packet).arrives(receiver)

        assert received[IP].src == str(sender.ip)


def test_ip_to_a_remote_pod_is_tunnelled_from_node_to_node_with_the_vnid(
    cluster: LiveCluster, pod: Pod, remote: Pod, vnid: int
) -> None:
    sent = cluster.send(pod, ip_between(pod, remote) / UDP(sport=40009, dport=9))

    outer = sent.crosses(pod.node.wire)
    assert (outer[IP].src, outer[IP].dst) == (str(pod.node.ip), str(remote.node.ip))
    assert outer[UDP].dport == pod.node.vxlan_port
    assert outer[VXLAN].vni == vnid
    assert outer[VXLAN][IP].dst == str(remote.ip)


def test_a_ping_to_a_remote_pod_is_answered(
    cluster: LiveCluster, pod: Pod, remote: Pod
) -> None:
    sent = cluster.send(pod, ip_between(pod, remote) / ICMP())

    reply = sent.arrives(pod)

    assert reply[ICMP].type == 0
    assert reply[IP].src == str(remote.ip)


def test_a_ping_to_the_gateway_is_answered(cluster: LiveCluster, pod: Pod) -> None:
    packet = ip_between(pod, pod.node)
    packet[IP].dst = str(pod.node.gateway)

    reply = cluster.send(pod, packet / ICMP()).arrives(pod)

    assert reply[IP].src == str(pod.node.gateway)


def test_ip_to_an_address_of_the_node_that_no_pod_has_is_dropped(
    cluster: LiveCluster, pod: Pod
) -> None:
    unused = cluster.unused_ip(pod.node)

    sent = cluster.send(pod, ip_between(pod, unused) / UDP(sport=40009, dport=9))

    sent.is_dropped(pod.node, Table.IP_TO_LOCAL_POD)


def test_tunnelled_ip_to_an_address_that_no_pod_has_is_dropped_by_the_receiver(
    cluster: LiveCluster, pod: Pod, remote: Pod
) -> None:
    unused = cluster.unused_ip(remote.node)

    sent = cluster.send(pod, ip_between(pod, unused) / UDP(sport=40009, dport=9))

    sent.is_dropped(remote.node, Table.IP_TO_LOCAL_POD)


def test_ip_to_a_subnet_without_a_node_is_dropped(
    cluster: LiveCluster, pod: Pod
) -> None:
    packet = ip_between(pod, cluster.unassigned_ip) / UDP(sport=40009, dport=9)

    sent = cluster.send(pod, packet)

    sent.is_dropped(pod.node, Table.IP_TO_REMOTE_POD)


def test_a_node_reaches_its_own_pods_before_any_policy(
    cluster: LiveCluster, node: Node, pod: Pod
) -> None:
    sent = cluster.send(node, ip_between(node, pod) / UDP(sport=40009, dport=9))

    sent.arrives(pod)
    own = f"priority=300,ip,nw_src={node.gateway}"
    assert cluster.hits(node, Table.POLICY, own)


def test_a_node_reaches_a_remote_pod_with_vnid_0(
    cluster: LiveCluster, node: Node, remote: Pod
) -> None:
    sent = cluster.send(node, ip_between(node, remote) / UDP(sport=40009, dport=9))

    received = sent.arrives(remote)
    assert received[IP].src == str(node.gateway)
    assert sent.crosses(node.wire)[VXLAN].vni == 0


def test_the_kernels_of_two_nodes_pods_ping_each_other(pod: Pod, remote: Pod) -> None:
    pod.run("ping", "-c", "1", "-W", "3", str(remote.ip))


def test_the_kernel_of_a_node_pings_a_remote_pod(node: Node, remote: Pod) -> None:
    node.run("ping", "-c", "1", "-W", "3", str(remote.ip))
