"""Table 60: what is sent to a service's address leaves for the node's kube-proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP, TCP, UDP

from testbed.model import Protocol
from testbed.openflow import Table
from testbed.probe import ip_between, vxlan

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from scapy.packet import Packet

    from testbed.model import Service, ServicePort
    from testbed.probe import LiveCluster, Node, Pod

UNKNOWN_PORT = 65000
TENANT = 4711
"""A VNID other than 0; under ovs-subnet only a tunnel can bring one."""


def service_ports(cluster: LiveCluster) -> list[tuple[IPv4Address, ServicePort]]:
    return [
        (service.cluster_ip, port)
        for service in cluster.objects.services
        if service.cluster_ip is not None
        for port in service.ports
    ]


def segment(port: ServicePort) -> Packet:
    if port.protocol is Protocol.UDP:
        return UDP(sport=40009, dport=port.port)
    return TCP(dport=port.port, flags="S")


def selector(ip: IPv4Address, port: ServicePort) -> str:
    return f"priority=100,{port.protocol.lower()},nw_dst={ip},tp_dst={port.port}"


@pytest.fixture
def service(cluster: LiveCluster) -> Service:
    return next(s for s in cluster.objects.services if s.cluster_ip is not None)


def test_every_service_port_is_reached_through_tun0(
    cluster: LiveCluster, pod: Pod
) -> None:
    assert service_ports(cluster)
    for ip, port in service_ports(cluster):
        sent = cluster.send(pod, ip_between(pod, ip) / segment(port))

        received = sent.arrives(pod.node)

        assert received[IP].src == str(pod.ip)


def test_later_fragments_follow_through_tun0(
    cluster: LiveCluster, pod: Pod, service: Service
) -> None:
    assert service.cluster_ip is not None
    packet = ip_between(pod, service.cluster_ip)
    packet[IP].frag, packet[IP].proto = 185, 17

    sent = cluster.send(pod, packet)

    sent.arrives(pod.node)


def test_a_port_that_no_service_has_leaves_on_tun0_too(
    cluster: LiveCluster, pod: Pod, service: Service
) -> None:
    assert service.cluster_ip is not None
    packet = ip_between(pod, service.cluster_ip) / UDP(sport=40009, dport=UNKNOWN_PORT)

    sent = cluster.send(pod, packet)

    sent.arrives(pod.node)
    assert cluster.hits(pod.node, Table.IP_TO_SERVICE, "priority=200,reg0=0")


def test_an_address_that_no_service_has_leaves_on_tun0_too(
    cluster: LiveCluster, pod: Pod
) -> None:
    unknown = cluster.objects.network.service_network[-2]

    sent = cluster.send(pod, ip_between(pod, unknown) / UDP(sport=40009, dport=514))

    sent.arrives(pod.node)


def test_traffic_of_a_tenant_reaches_each_service_port_by_its_own_flow(
    cluster: LiveCluster, node: Node, remote: Pod
) -> None:
    rogue = cluster.rogue
    for ip, port in service_ports(cluster):
        inner = ip_between(remote, ip) / segment(port)

        sent = cluster.send(
            rogue, vxlan(inner, source=remote.node.ip, node=node, vnid=TENANT)
        )

        sent.arrives(node)
        assert cluster.hits(node, Table.IP_TO_SERVICE, selector(ip, port)) == 1


def test_later_fragments_of_a_tenant_have_a_flow_of_their_own(
    cluster: LiveCluster, node: Node, remote: Pod, service: Service
) -> None:
    rogue, ip = cluster.rogue, service.cluster_ip
    assert ip is not None
    inner = ip_between(remote, ip)
    inner[IP].frag, inner[IP].proto = 185, 17

    sent = cluster.send(
        rogue, vxlan(inner, source=remote.node.ip, node=node, vnid=TENANT)
    )

    sent.arrives(node)
    later = f"priority=100,ip,nw_dst={ip},nw_frag=later"
    assert cluster.hits(node, Table.IP_TO_SERVICE, later) == 1


def test_a_tenant_does_not_reach_a_port_that_no_service_has(
    cluster: LiveCluster, node: Node, remote: Pod, service: Service
) -> None:
    rogue = cluster.rogue
    assert service.cluster_ip is not None
    inner = ip_between(remote, service.cluster_ip) / UDP(
        sport=40009, dport=UNKNOWN_PORT
    )

    sent = cluster.send(
        rogue, vxlan(inner, source=remote.node.ip, node=node, vnid=TENANT)
    )

    sent.is_dropped(node, Table.IP_TO_SERVICE)
