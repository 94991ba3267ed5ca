"""Table 20: a pod may only send from its own address, and what that check lets by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether

from testbed.openflow import Table
from testbed.probe import arp_request, ip_between, udp_between

if TYPE_CHECKING:
    from testbed.probe import LiveCluster, Pod

pytestmark = pytest.mark.plugins("subnet", "multitenant", "networkpolicy")


@pytest.fixture(params=["pod", "neighbour"])
def forger(request: pytest.FixtureRequest) -> Pod:
    """Either of two pods of a node, which forges the other's address."""
    pod: Pod = request.getfixturevalue(request.param)
    return pod


@pytest.fixture
def victim(pod: Pod, neighbour: Pod, forger: Pod) -> Pod:
    """The other one."""
    return neighbour if forger == pod else pod


def test_a_forged_ip_source_is_dropped(
    cluster: LiveCluster, forger: Pod, victim: Pod, remote: Pod
) -> None:
    packet = udp_between(forger, remote)
    packet[IP].src = str(victim.ip)

    sent = cluster.send(forger, packet)

    sent.is_dropped(forger.node, Table.FROM_POD)


def test_a_pod_that_sends_ip_from_its_gateways_address_is_dropped(
    cluster: LiveCluster, pod: Pod, neighbour: Pod
) -> None:
    """No policy asks what the gateway sends."""
    packet = udp_between(pod, neighbour)
    packet[IP].src = str(pod.node.gateway)

    sent = cluster.send(pod, packet)

    sent.is_dropped(pod.node, Table.FROM_POD)


def test_a_forged_ip_source_from_outside_is_dropped(
    cluster: LiveCluster, pod: Pod, remote: Pod
) -> None:
    packet = ip_between(pod, remote) / UDP(sport=40009, dport=9)
    packet[IP].src = "192.0.2.7"

    sent = cluster.send(pod, packet)

    sent.is_dropped(pod.node, Table.FROM_POD)


def test_a_forged_arp_sender_ip_is_dropped(
    cluster: LiveCluster, forger: Pod, victim: Pod, remote: Pod
) -> None:
    packet = arp_request(forger, remote.ip)
    packet[ARP].psrc = str(victim.ip)

    sent = cluster.send(forger, packet)

    sent.is_dropped(forger.node, Table.FROM_POD)


def test_a_forged_arp_sender_mac_is_dropped(
    cluster: LiveCluster, forger: Pod, victim: Pod, remote: Pod
) -> None:
    packet = arp_request(forger, remote.ip)
    packet[ARP].hwsrc = victim.mac

    sent = cluster.send(forger, packet)

    sent.is_dropped(forger.node, Table.FROM_POD)


def test_a_pod_that_claims_to_be_its_neighbour_by_arp_mac_and_all_is_dropped(
    cluster: LiveCluster, forger: Pod, victim: Pod, remote: Pod
) -> None:
    packet = arp_request(forger, remote.ip)
    packet[ARP].psrc, packet[ARP].hwsrc = str(victim.ip), victim.mac

    sent = cluster.send(forger, packet)

    sent.is_dropped(forger.node, Table.FROM_POD)


def test_a_pod_that_claims_to_be_its_gateway_by_arp_is_dropped(
    cluster: LiveCluster, pod: Pod, neighbour: Pod
) -> None:
    """Else it would get what its neighbours send out of the cluster."""
    packet = arp_request(pod, neighbour.ip)
    packet[ARP].psrc = str(pod.node.gateway)

    sent = cluster.send(pod, packet)

    sent.is_dropped(pod.node, Table.FROM_POD)


@pytest.mark.parametrize("place", ["neighbour", "remote"])
def test_a_foreign_ethernet_source_with_the_right_ip_passes(
    cluster: LiveCluster, pod: Pod, place: str, request: pytest.FixtureRequest
) -> None:
    receiver: Pod = request.getfixturevalue(place)
    packet = ip_between(pod, receiver) / UDP(sport=40009, dport=9)
    packet[Ether].src = "02:00:00:00:00:99"

    received = cluster.send(pod, packet).arrives(receiver)

    assert received[Ether].src == "02:00:00:00:00:99"


def test_of_the_arp_sender_mac_only_the_last_four_bytes_are_checked(
    cluster: LiveCluster, pod: Pod, neighbour: Pod
) -> None:
    packet = arp_request(pod, neighbour.ip)
    packet[ARP].hwsrc = f"02:99{pod.mac[5:]}"

    received = cluster.send(pod, packet).arrives(neighbour)

    neighbour.run("ip", "neigh", "flush", "dev", "eth0")  # it has learnt a wrong MAC
    assert received[ARP].hwsrc == f"02:99{pod.mac[5:]}"
