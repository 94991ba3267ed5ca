"""How IP packets set out: from a pod, a node, a ghost or a machine outside."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from testbed.model import Plugin, Transport
from testbed.oracle.egress_ip import EgressIP, NoEgressIP, egress_ip_of, fits
from testbed.oracle.egress_policy import may_leave
from testbed.oracle.expectation import Expectation, dropped, one_of
from testbed.oracle.isolation import same_tenant
from testbed.oracle.journey import on_the_wire, through_node, through_pods_network
from testbed.oracle.multicast import multicast
from testbed.oracle.packet import Entry, Packet
from testbed.oracle.places import belongs_to, is_for_pods, machine_at, subnet_owner
from testbed.oracle.service import service_at, why_unanswered
from testbed.oracle.translation import translation

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from testbed.model import Cluster, HostSubnet, Pod, Traffic, UnderlayHost

_DNS = 53


def from_pod(cluster: Cluster, pod: Pod, traffic: Traffic) -> Expectation:
    """What a pod sends from its own address, with its namespace's VNID."""
    packet = _packet(traffic, pod.ip)
    node = cluster.node(pod.node)
    if packet.destination == pod.ip or packet.destination.is_loopback:
        return packet.received_by(pod, by="its own address")
    if packet.destination.is_multicast:
        return multicast(cluster, pod, packet)
    if packet.destination == node.gateway:
        return through_node(cluster, node, packet, Entry.PODS)
    if is_for_pods(cluster, packet.destination):
        return through_pods_network(cluster, packet, cluster.vnid(pod.namespace))
    if packet.destination in cluster.network.service_network:
        return _to_service(cluster, pod, packet)
    return _out(cluster, pod, packet)


def from_node(cluster: Cluster, node: HostSubnet, traffic: Traffic) -> Expectation:
    """What a node sends: from tun0's address into the cluster, else from its own."""
    destination = traffic.destination
    if belongs_to(cluster, node, destination):
        packet = _packet(traffic, destination)
        return through_node(cluster, node, packet, Entry.SELF)
    if destination.is_multicast:
        return dropped("multicast of nodes is kept from pods")
    if is_for_pods(cluster, destination):
        return through_pods_network(cluster, _packet(traffic, node.gateway), 0)
    is_service = destination in cluster.network.service_network
    packet = _packet(traffic, node.gateway if is_service else node.host_ip)
    return through_node(cluster, node, packet, Entry.SELF)


def from_ghost(cluster: Cluster, ghost: HostSubnet, traffic: Traffic) -> Expectation:
    """What a ghost sends: through VXLAN to pods, plainly to all else."""
    packet = _packet(traffic, ghost.gateway)
    if packet.destination == ghost.gateway:
        return packet.received_by(ghost, by="its own address")
    if is_for_pods(cluster, packet.destination):
        return through_pods_network(cluster, packet, ghost.fixed_vnid or 0)
    return _from_outside(cluster, ghost, _packet(traffic, ghost.host_ip))


def from_host(cluster: Cluster, host: UnderlayHost, traffic: Traffic) -> Expectation:
    """What a machine outside sends, to a cluster's inner addresses, too."""
    return _from_outside(cluster, host, _packet(traffic, host.ip))


def _packet(traffic: Traffic, source: IPv4Address) -> Packet:
    return Packet(
        source=source,
        destination=traffic.destination,
        transport=traffic.transport,
        dport=traffic.dport,
    )


def _to_service(cluster: Cluster, pod: Pod, packet: Packet) -> Expectation:
    """ovs-multitenant asks whose service it is; the others leave it to the node."""
    vnid = cluster.vnid(pod.namespace)
    if cluster.network.plugin is Plugin.MULTITENANT:
        service = service_at(cluster, packet.destination)
        if service is None:
            return dropped(why_unanswered(cluster, packet))
        ruling = same_tenant(vnid, cluster.vnid(service.namespace))
        if not ruling.allowed:
            return dropped(ruling.by)
        packet = replace(packet, permit=ruling.by)
    return through_node(cluster, cluster.node(pod.node), packet, Entry.PODS)


def _out(cluster: Cluster, pod: Pod, packet: Packet) -> Expectation:
    """Out of the cluster, unless it is what pods may never send or always may."""
    node = cluster.node(pod.node)
    vxlan = (Transport.UDP, cluster.network.vxlan_port)
    if (packet.transport, packet.dport) == vxlan:
        return dropped("pods may not send VXLAN")
    if _is_dns_to(node, packet):
        packet = replace(packet, permit="DNS to the pod's own node")
        return through_node(cluster, node, packet, Entry.PODS)
    if not cluster.network.plugin.has_vnids:
        packet = replace(packet, permit="ovs-subnet filters nothing")
        return through_node(cluster, node, packet, Entry.PODS)
    egress = egress_ip_of(cluster, cluster.vnid(pod.namespace))
    if isinstance(egress, NoEgressIP):
        return dropped(f"egress IPs of {egress.namespace}: none can be used")
    return _by_node(cluster, pod, packet, egress)


def _by_node(
    cluster: Cluster, pod: Pod, packet: Packet, egress: EgressIP | None
) -> Expectation:
    """By the own node, or by that of the egress IP, where alone policy is enforced."""
    node = egress.node if egress else cluster.node(pod.node)
    if _is_dns_to(node, packet):
        # It skips the flow that would make it the other node's frame.
        return dropped("DNS to the node of the egress IP bears another node's MAC")
    ruling = may_leave(cluster, cluster.vnid(pod.namespace), packet.destination)
    if not ruling.allowed:
        return dropped(ruling.by, ruling.considered)
    permit = ruling.by
    if egress and not ruling.considered:
        permit = f"egress IP {egress.ip} of {egress.namespace}"
    address = egress.ip if egress and fits(cluster, node, egress.ip) else None
    result = through_node(
        cluster, node, replace(packet, permit=permit), Entry.PODS, address
    )
    considered = tuple(dict.fromkeys((*ruling.considered, *result.considered)))
    return replace(result, considered=considered)


def _is_dns_to(node: HostSubnet, packet: Packet) -> bool:
    return (packet.destination, packet.dport) == (node.host_ip, _DNS)


def _from_outside(
    cluster: Cluster, sender: HostSubnet | UnderlayHost, packet: Packet
) -> Expectation:
    """From beyond the nodes."""
    destination = packet.destination
    if destination == packet.source or destination.is_loopback:
        return packet.received_by(sender, by="its own address")
    if destination.is_multicast:
        return dropped("multicast does not enter the cluster")
    if machine_at(cluster, destination) is not None:
        return on_the_wire(cluster, packet)
    return _to_inner_address(cluster, packet)


def _to_inner_address(cluster: Cluster, packet: Packet) -> Expectation:
    """The network is taken to lead what only the cluster knows to nodes.

    A pod's address leads to its node. A service's leads to any node, and a load
    balancer or router picks one.
    """
    destination = packet.destination
    if is_for_pods(cluster, destination):
        owner = subnet_owner(cluster, destination)
        if owner is None or not owner.is_node:
            return through_pods_network(cluster, packet, 0)
        return through_node(cluster, owner, packet, Entry.WIRE)
    if destination in cluster.network.service_network or any(
        destination in (*service.external_ips, *service.load_balancer_ips)
        for service in cluster.services
    ):
        return _to_any_node(cluster, packet)
    return dropped("no machine has this address")


def _to_any_node(cluster: Cluster, packet: Packet) -> Expectation:
    """To one that will have it: load balancers ask nodes whether they will."""
    willing = [
        node
        for node in cluster.nodes
        if isinstance(translation(cluster, node, packet, Entry.WIRE), tuple)
    ]
    nodes = willing or cluster.nodes
    if not nodes:
        return dropped("no node is there to take it")
    return one_of(through_node(cluster, node, packet, Entry.WIRE) for node in nodes)
