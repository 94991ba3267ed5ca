"""Where a node's kernel sends a packet instead: services first, then host ports.

Source: kubernetes release-1.11 pkg/proxy/iptables/proxier.go and
pkg/kubelet/dockershim/network/hostport
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.oracle.egress_ip import egress_ips_on
from testbed.oracle.expectation import Expectation, dropped, rejected
from testbed.oracle.packet import Entry
from testbed.oracle.places import belongs_to, machine_at
from testbed.oracle.service import Kind, endpoints_of, fronts, has_none

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from testbed.model import Cluster, HostSubnet
    from testbed.oracle.packet import Packet
    from testbed.oracle.service import Front


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A new destination, and whether the node puts itself in the sender's place."""

    ip: IPv4Address
    port: int
    masqueraded: bool


def translation(
    cluster: Cluster, node: HostSubnet, packet: Packet, entry: Entry
) -> tuple[Target, ...] | Expectation:
    """One target is chosen at random; none means that the packet goes on as it is.

    Several services may have one external address. Those without endpoints only refuse
    what no other has translated.
    """
    to_node = belongs_to(cluster, node, packet.destination)
    meant = fronts(cluster, packet, to_node=to_node)
    for front in sorted(meant, key=lambda item: not endpoints_of(cluster, item)):
        # From the node itself, an external address is where the network says it is.
        if front.kind is Kind.EXTERNAL_IP and entry is Entry.SELF and not to_node:
            continue
        targets = _targets(cluster, node, packet, front)
        if targets:
            return targets
        refusal = _refusal(cluster, node, packet, entry, front)
        if refusal is not None:
            return refusal
    return _host_port(cluster, node, packet) if to_node else ()


def _targets(
    cluster: Cluster, node: HostSubnet, packet: Packet, front: Front
) -> tuple[Target, ...]:
    if front.kind is Kind.LOAD_BALANCER and not _is_in_source_ranges(front, packet):
        return ()
    return tuple(
        Target(
            ip=ip,
            port=port,
            # A pod that reaches itself through a service must not see its own address,
            # and 127.0.0.1 nobody but the node itself.
            masqueraded=packet.source == ip
            or packet.source.is_loopback
            or not (front.keeps_client or front.kind is Kind.CLUSTER_IP),
        )
        for ip, port in endpoints_of(cluster, front)
        if not front.keeps_client or _is_on(cluster, node, ip)
    )


def _refusal(
    cluster: Cluster, node: HostSubnet, packet: Packet, entry: Entry, front: Front
) -> Expectation | None:
    """What a service without a target for the packet makes of it.

    Only what the node would keep, or sends itself, meets the rules that answer or drop;
    what it forwards is lost, or goes to a machine that has the address. What pods send
    to the node is let in before the rule that drops, and what comes for an egress IP is
    refused before it.
    """
    to_node = belongs_to(cluster, node, packet.destination)
    is_for_egress_ip = packet.destination in egress_ips_on(cluster, node)
    is_let_in = to_node and (
        entry is Entry.PODS or (entry is Entry.WIRE and is_for_egress_ip)
    )
    if not endpoints_of(cluster, front):
        by = has_none(cluster, front)
        match front.kind:
            case Kind.CLUSTER_IP:
                is_answered = entry is Entry.SELF
            case Kind.LOAD_BALANCER:
                is_answered = False
            case _:
                is_answered = to_node
        if is_answered:
            return rejected(by)
    elif front.kind is Kind.LOAD_BALANCER and not _is_in_source_ranges(front, packet):
        by = f"{front.name} loadBalancerSourceRanges"
        if is_let_in:
            return None
        if to_node or entry is Entry.SELF:
            return dropped(by)
    else:
        by = f"{front.name} has no endpoints on {node.name}"
        if is_let_in:
            return None
        if to_node or entry is Entry.SELF:
            return dropped(by)
    has_machine = machine_at(cluster, packet.destination) is not None
    return None if has_machine else dropped(by)


def _is_in_source_ranges(front: Front, packet: Packet) -> bool:
    ranges = front.service.source_ranges
    return not ranges or any(packet.source in item for item in ranges)


def _is_on(cluster: Cluster, node: HostSubnet, ip: IPv4Address) -> bool:
    pod = cluster.pod_at(ip)
    return ip == node.host_ip if pod is None else pod.node == node.name


def _host_port(
    cluster: Cluster, node: HostSubnet, packet: Packet
) -> tuple[Target, ...]:
    for pod in cluster.pods_on(node):
        for port in pod.host_ports:
            if (port.protocol.lower(), port.host_port) == (
                packet.transport,
                packet.dport,
            ):
                return (
                    Target(
                        ip=pod.ip,
                        port=port.container_port,
                        masqueraded=packet.source == pod.ip,
                    ),
                )
    return ()
