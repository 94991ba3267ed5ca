"""Table 60: what is sent to a service's address leaves for the node's kube-proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP

from testbed.model import Plugin, Protocol
from testbed.openflow import Table
from testbed.probe import ip_between, udp_between, vxlan

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from ipaddress import IPv4Address

    from scapy.packet import Packet

    from testbed.model import ServicePort
    from testbed.probe import LiveCluster, Node, Pod, Sent

ALL = pytest.mark.plugins("subnet", "multitenant", "networkpolicy")
SUBNET = pytest.mark.plugins("subnet")
UNGUARDED = pytest.mark.plugins("subnet", "networkpolicy")
MULTITENANT = pytest.mark.plugins("multitenant")
TENANTS = pytest.mark.plugins("subnet", "multitenant")

UNKNOWN_PORT = 65000
TENANT = 4711
"""A VNID other than 0; under ovs-subnet only a tunnel can bring one."""


def service_ports(
    cluster: LiveCluster, vnids: Container[int]
) -> list[tuple[IPv4Address, ServicePort]]:
    """The addresses and ports of services whose namespaces have these VNIDs."""
    return [
        (service.cluster_ip, port)
        for service in cluster.objects.services
        if service.cluster_ip is not None
        and cluster.objects.vnid(service.namespace) in vnids
        for port in service.ports
    ]


def segment(port: ServicePort, dport: int | None = None) -> Packet:
    """One for a port, or of its protocol for another."""
    if port.protocol is Protocol.UDP:
        return UDP(sport=40009, dport=dport or port.port)
    return TCP(dport=dport or port.port, flags="S")


def selector(ip: IPv4Address, port: ServicePort) -> str:
    return f"priority=100,{port.protocol.lower()},nw_dst={ip},tp_dst={port.port}"


def later_fragment(sender: Pod, ip: IPv4Address) -> Packet:
    """One that has no UDP header any more."""
    packet = ip_between(sender, ip)
    packet[IP].frag, packet[IP].proto = 185, 17
    return packet


@pytest.fixture
def reachable(cluster: LiveCluster, vnid: int) -> list[tuple[IPv4Address, ServicePort]]:
    """The service ports that br0 lets ``pod`` through to."""
    if cluster.objects.network.plugin is Plugin.MULTITENANT:
        return service_ports(cluster, {0, vnid})
    every = {item.netid for item in cluster.objects.net_namespaces}
    return service_ports(cluster, every | {0})


@pytest.fixture
def address(reachable: list[tuple[IPv4Address, ServicePort]]) -> IPv4Address:
    """The cluster address of one of them."""
    return reachable[0][0]


@pytest.fixture
def letting_all_through(cluster: LiveCluster) -> str:
    """The flow of table 60 that asks for no service."""
    knows_policies = cluster.objects.network.plugin is Plugin.NETWORKPOLICY
    return "priority=200" if knows_policies else "priority=200,reg0=0"


@ALL
def test_every_service_port_that_a_pod_may_reach_is_reached_through_tun0(
    cluster: LiveCluster, pod: Pod, reachable: list[tuple[IPv4Address, ServicePort]]
) -> None:
    assert {port.protocol for _, port in reachable} == set(Protocol)
    for ip, port in reachable:
        sent = cluster.send(pod, ip_between(pod, ip) / segment(port))

        received = sent.arrives(pod.node)

        assert received[IP].src == str(pod.ip)


@pytest.mark.plugins("subnet", "multitenant")
def test_later_fragments_follow_through_tun0(
    cluster: LiveCluster, pod: Pod, address: IPv4Address
) -> None:
    """Under ovs-networkpolicy conntrack waits for the first."""
    sent = cluster.send(pod, later_fragment(pod, address))

    sent.arrives(pod.node)


@UNGUARDED
def test_a_port_that_no_service_has_leaves_on_tun0_too(
    cluster: LiveCluster, pod: Pod, address: IPv4Address, letting_all_through: str
) -> None:
    packet = ip_between(pod, address) / UDP(sport=40009, dport=UNKNOWN_PORT)

    sent = cluster.send(pod, packet)

    sent.arrives(pod.node)
    assert cluster.hits(pod.node, Table.IP_TO_SERVICE, letting_all_through)


@UNGUARDED
def test_an_address_that_no_service_has_leaves_on_tun0_too(
    cluster: LiveCluster, pod: Pod
) -> None:
    unknown = cluster.objects.network.service_network[-2]

    sent = cluster.send(pod, ip_between(pod, unknown) / UDP(sport=40009, dport=514))

    sent.arrives(pod.node)


@MULTITENANT
def test_each_port_of_a_tenants_own_services_has_a_flow_and_passes_the_policy(
    cluster: LiveCluster, pod: Pod, vnid: int
) -> None:
    own = service_ports(cluster, {vnid})
    for ip, port in own:
        cluster.send(pod, ip_between(pod, ip) / segment(port)).arrives(pod.node)

        assert cluster.hits(pod.node, Table.IP_TO_SERVICE, selector(ip, port)) == 1

    within = f"priority=100,reg0={vnid:#x},reg1={vnid:#x}"
    assert cluster.hits(pod.node, Table.POLICY, within) >= len(own)


@MULTITENANT
def test_a_port_that_no_service_has_is_not_reached(
    cluster: LiveCluster, pod: Pod, address: IPv4Address
) -> None:
    packet = ip_between(pod, address) / UDP(sport=40009, dport=UNKNOWN_PORT)

    sent = cluster.send(pod, packet)

    sent.is_dropped(pod.node, Table.IP_TO_SERVICE)


@MULTITENANT
def test_an_address_that_no_service_has_is_not_reached(
    cluster: LiveCluster, pod: Pod
) -> None:
    unknown = cluster.objects.network.service_network[-2]

    sent = cluster.send(pod, ip_between(pod, unknown) / UDP(sport=40009, dport=514))

    sent.is_dropped(pod.node, Table.IP_TO_SERVICE)


@MULTITENANT
def test_a_service_answers_no_ping(
    cluster: LiveCluster, pod: Pod, address: IPv4Address
) -> None:
    sent = cluster.send(pod, ip_between(pod, address) / ICMP())

    sent.is_dropped(pod.node, Table.IP_TO_SERVICE)


@MULTITENANT
def test_later_fragments_for_another_tenants_service_are_dropped_by_the_policy(
    cluster: LiveCluster, pod: Pod, vnid: int
) -> None:
    objects = cluster.objects
    others = {item.netid for item in objects.net_namespaces} - {0, vnid}
    ip, _ = service_ports(cluster, others)[0]

    sent = cluster.send(pod, later_fragment(pod, ip))

    sent.is_dropped(pod.node, Table.POLICY)


@MULTITENANT
def test_pods_of_vnid_0_reach_whatever_address(cluster: LiveCluster) -> None:
    objects = cluster.objects
    pod = next(p for p in cluster.pods if objects.vnid(p.pod.namespace) == 0)
    unknown = objects.network.service_network[-2]

    sent = cluster.send(pod, ip_between(pod, unknown) / UDP(sport=40009, dport=514))

    sent.arrives(pod.node)
    assert cluster.hits(pod.node, Table.IP_TO_SERVICE, "priority=200,reg0=0")


def sent_by_a_tenant(
    cluster: LiveCluster, pod: Pod, remote: Pod, packet: Callable[[Pod], Packet]
) -> Sent:
    """Sent to the pod's node: by the pod, or where it has no VNID through a tunnel."""
    if cluster.objects.network.plugin.has_vnids:
        return cluster.send(pod, packet(pod))
    inner = packet(remote)
    forged = vxlan(inner, source=remote.node.ip, node=pod.node, vnid=TENANT)
    return cluster.send(cluster.rogue, forged)


@TENANTS
def test_a_tenant_reaches_no_other_port_of_a_service_and_that_port_nowhere_else(
    cluster: LiveCluster,
    pod: Pod,
    remote: Pod,
    reachable: list[tuple[IPv4Address, ServicePort]],
) -> None:
    nobody = cluster.objects.network.service_network[-2]
    for ip, port in reachable:
        for address, dport in ((ip, UNKNOWN_PORT), (nobody, port.port)):
            payload = segment(port, dport)

            sent = sent_by_a_tenant(
                cluster,
                pod,
                remote,
                lambda sender: ip_between(sender, address) / payload,  # noqa: B023
            )

            sent.is_dropped(pod.node, Table.IP_TO_SERVICE)


@TENANTS
def test_later_fragments_of_a_tenant_for_no_service_are_dropped(
    cluster: LiveCluster, pod: Pod, remote: Pod
) -> None:
    nobody = cluster.objects.network.service_network[-2]

    sent = sent_by_a_tenant(
        cluster, pod, remote, lambda sender: later_fragment(sender, nobody)
    )

    sent.is_dropped(pod.node, Table.IP_TO_SERVICE)


@SUBNET
def test_traffic_of_a_tenant_reaches_each_service_port_by_its_own_flow(
    cluster: LiveCluster, node: Node, remote: Pod
) -> None:
    rogue = cluster.rogue
    for ip, port in service_ports(cluster, {0}):
        inner = ip_between(remote, ip) / segment(port)

        sent = cluster.send(
            rogue, vxlan(inner, source=remote.node.ip, node=node, vnid=TENANT)
        )

        sent.arrives(node)
        assert cluster.hits(node, Table.IP_TO_SERVICE, selector(ip, port)) == 1


@SUBNET
def test_what_a_tunnel_brings_without_a_tenant_reaches_every_port_of_a_service(
    cluster: LiveCluster, node: Node, remote: Pod, address: IPv4Address
) -> None:
    inner = udp_between(remote, address, UNKNOWN_PORT)

    sent = cluster.send(cluster.rogue, vxlan(inner, source=remote.node.ip, node=node))

    sent.arrives(node)


@SUBNET
def test_later_fragments_of_a_tenant_have_a_flow_of_their_own(
    cluster: LiveCluster, node: Node, remote: Pod, address: IPv4Address
) -> None:
    rogue = cluster.rogue
    inner = later_fragment(remote, address)

    sent = cluster.send(
        rogue, vxlan(inner, source=remote.node.ip, node=node, vnid=TENANT)
    )

    sent.arrives(node)
    later = f"priority=100,ip,nw_dst={address},nw_frag=later"
    assert cluster.hits(node, Table.IP_TO_SERVICE, later) == 1


@SUBNET
def test_a_tenant_does_not_reach_a_port_that_no_service_has(
    cluster: LiveCluster, node: Node, remote: Pod, address: IPv4Address
) -> None:
    rogue = cluster.rogue
    inner = ip_between(remote, address) / UDP(sport=40009, dport=UNKNOWN_PORT)

    sent = cluster.send(
        rogue, vxlan(inner, source=remote.node.ip, node=node, vnid=TENANT)
    )

    sent.is_dropped(node, Table.IP_TO_SERVICE)
