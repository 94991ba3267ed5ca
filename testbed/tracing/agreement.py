"""Whether two witnesses agree: what the oracle expects, and what switches trace.

Between the bridges are the nodes' kernels, which choose a service's endpoint and put
themselves in senders' place. No switch can be asked for that, so here it is said once
more, for endpoints that are pods and for no other service address than the cluster's.
What a kernel sends into the wire is not followed: it is enough that it had the packet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from testbed.egress import egress_mark
from testbed.model import (
    HostSubnet,
    Outcome,
    Plugin,
    Pod,
    Traffic,
    Transport,
    UnderlayHost,
)
from testbed.oracle import Expectation, expected
from testbed.oracle.egress_ip import EgressIP, egress_ip_of
from testbed.tracing.tracer import Packet, Traced, TracedDelivery, Tracer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from ipaddress import IPv4Address

    from testbed.model import Cluster, Party
    from testbed.oracle import Delivery

Arrival: TypeAlias = "tuple[str, IPv4Address, int | None, IPv4Address]"
"""A receiver, and the source, VNID and destination that it sees."""

_DNS = 53


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One packet, as both witnesses have it.

    ``traced`` is empty for a packet that comes to no bridge, so that there is nothing
    to compare; it has several parts where a kernel sends the packet in again.
    ``differences`` say what the two do not agree in.
    """

    traffic: Traffic
    expectation: Expectation
    traced: tuple[Traced, ...]
    differences: tuple[str, ...]

    def __str__(self) -> str:
        """Both accounts, for a person to judge."""
        sender, destination = _name(self.traffic.sender), self.traffic.destination
        dport = "" if self.traffic.dport is None else f":{self.traffic.dport}"
        lines = [
            f"{sender} → {destination}{dport} {self.traffic.transport}",
            f"  {'; '.join(self.differences) or 'agreed'}",
            f"  expected {self.expectation.outcome}: {self.expectation.decided_by}",
        ]
        lines += [f"    {_expected_arrival(d)}" for d in self.expectation.deliveries]
        for traced in self.traced:
            lines.append(f"  traced {traced.outcome}")
            lines += [f"    {_arrival(item)}" for item in traced.deliveries]
            lines += [f"    {drop}" for drop in traced.drops]
            lines += [f"    {leg.node.name}: {leg.packet}" for leg in traced.legs]
        return "\n".join(lines)


def compare(tracer: Tracer, traffic: Traffic) -> Comparison:
    """Trace a packet as far as it goes, and hold it against the expectation.

    Raises:
        SwitchError: a switch could not be asked, or sends the packet nowhere.
    """
    expectation = expected(tracer.cluster, traffic)
    traced, differences = _differences(tracer, traffic, expectation)
    return Comparison(
        traffic=traffic,
        expectation=expectation,
        traced=traced,
        differences=tuple(differences),
    )


def _differences(
    tracer: Tracer, traffic: Traffic, expectation: Expectation
) -> tuple[tuple[Traced, ...], list[str]]:
    cluster = tracer.cluster
    is_ip = traffic.transport is not Transport.ARP
    sender = traffic.sender
    if isinstance(sender, Pod) and sender.host_network:
        sender = cluster.node(sender.node)
    is_service = is_ip and traffic.destination in cluster.network.service_network
    if is_service and isinstance(sender, HostSubnet):
        if not sender.is_node:
            return (), []
        return _second_legs(tracer, sender, traffic, expectation)
    first = (
        _from_outside(tracer, sender, traffic)
        if isinstance(sender, UnderlayHost)
        else tracer.traffic(traffic)
    )
    if not first.legs:
        return (), []
    kernels = [d.receiver for d in first.deliveries if _is_kernel(d)]
    if not kernels or not is_ip:
        return (first,), list(_end_to_end(first, expectation))
    differences = list(_handed_over(cluster, traffic, expectation, first))
    if not is_service or differences:
        return (first,), differences
    legs, differences = _second_legs(
        tracer, cluster.node(first.legs[0].node.name), traffic, expectation
    )
    return (first, *legs), differences


def _from_outside(tracer: Tracer, host: UnderlayHost, traffic: Traffic) -> Traced:
    """The node that a pod's address leads to forwards it, as it is."""
    if traffic.transport is not Transport.ARP:
        for node in tracer.cluster.nodes:
            if traffic.destination in node.subnet and (
                traffic.destination != node.gateway
            ):
                packet = Packet(
                    source=host.ip,
                    destination=traffic.destination,
                    transport=traffic.transport,
                    dport=traffic.dport,
                )
                return tracer.from_node(node, packet)
    return Traced()


def _end_to_end(traced: Traced, expectation: Expectation) -> Iterator[str]:
    """No kernel has a say: the same must arrive at the same, or nothing at all."""
    arrived = sorted(map(_arrival, traced.deliveries), key=str)
    due = sorted(map(_expected_arrival, expectation.deliveries), key=str)
    if arrived != due:
        yield f"arrived {arrived}, expected {due}"
    if not arrived and expectation.outcome is not Outcome.DROPPED:
        yield f"dropped by {traced.drops[0]}, expected {expectation.outcome}"


def _handed_over(
    cluster: Cluster, traffic: Traffic, expectation: Expectation, traced: Traced
) -> Iterator[str]:
    """A kernel has the packet: the right one, marked right, and rightly so."""
    (delivery,) = traced.deliveries
    node, mark = _kernel_of(cluster, traffic, traced.legs[0].node)
    if delivery.receiver != node:
        yield f"in the kernel of {_name(delivery.receiver)}, expected {_name(node)}"
    elif delivery.pkt_mark != mark:
        yield f"marked {delivery.pkt_mark:#x}, expected {mark:#x}"
    is_service = traffic.destination in cluster.network.service_network
    if expectation.outcome is Outcome.DROPPED and not is_service:
        # What the kernel loses anyway, it loses when the node itself sends it.
        own = Traffic(
            sender=node,
            destination=traffic.destination,
            transport=traffic.transport,
            dport=traffic.dport,
        )
        if expected(cluster, own).outcome is Outcome.DELIVERED:
            yield "handed to the kernel, expected to be dropped before"


def _kernel_of(
    cluster: Cluster, traffic: Traffic, own: HostSubnet
) -> tuple[HostSubnet, int]:
    """Which node's kernel should have the packet, and the mark it should bear."""
    for node in cluster.nodes:
        if traffic.destination == node.gateway:
            return node, 0
    is_service = traffic.destination in cluster.network.service_network
    is_dns = traffic.dport == _DNS and traffic.destination == own.host_ip
    if is_service or is_dns or not isinstance(traffic.sender, Pod):
        return own, 0
    vnid = cluster.vnid(traffic.sender.namespace)
    egress = egress_ip_of(cluster, vnid)
    if not isinstance(egress, EgressIP):
        return own, 0
    if traffic.dport == _DNS and traffic.destination == egress.node.host_ip:
        return egress.node, 0
    return egress.node, egress_mark(vnid)


def _second_legs(
    tracer: Tracer, node: HostSubnet, traffic: Traffic, expectation: Expectation
) -> tuple[tuple[Traced, ...], list[str]]:
    """A node's kernel sends to each of a service's endpoints; all is compared."""
    cluster = tracer.cluster
    if _shows_no_endpoints(cluster, node, traffic):
        is_delivered = expectation.outcome is Outcome.DELIVERED
        return (), ["delivered without endpoints"] if is_delivered else []
    legs = tuple(
        tracer.from_node(node, packet) for packet in _translated(cluster, node, traffic)
    )
    arrived = _sorted(_arrival(d) for leg in legs for d in leg.deliveries)
    due = _sorted(
        _expected_arrival(item)
        for item in expectation.deliveries
        if any(item.destination in cidr for cidr in cluster.cidrs)
    )
    differences = []
    if arrived != due:
        differences.append(f"arrived {arrived}, expected {due}")
    is_certain = not expectation.may_be_lost
    if due and is_certain and any(leg.drops for leg in legs):
        differences.append("an endpoint is not reached, expected all to be")
    return legs, differences


def _shows_no_endpoints(cluster: Cluster, node: HostSubnet, traffic: Traffic) -> bool:
    """Whether kube-proxy is shown none: then the node itself is refused."""
    own = Traffic(
        sender=node,
        destination=traffic.destination,
        transport=traffic.transport,
        dport=traffic.dport,
    )
    return expected(cluster, own).outcome is Outcome.REJECTED


def _translated(
    cluster: Cluster, node: HostSubnet, traffic: Traffic
) -> Iterator[Packet]:
    """Yield what the kernel makes of the packet, for each endpoint that is a pod's.

    ovs-networkpolicy leaves the source as it is; but not where a pod would see its own
    address. Source: the SDN's chain OPENSHIFT-MASQUERADE, kube-proxy's KUBE-MARK-MASQ.
    """
    source = node.gateway
    keeps_source = cluster.network.plugin is Plugin.NETWORKPOLICY
    if isinstance(traffic.sender, Pod) and keeps_source:
        source = source if traffic.sender.host_network else traffic.sender.ip
    for ip, port in dict.fromkeys(_endpoints(cluster, traffic)):
        if any(ip in cidr for cidr in cluster.cidrs):
            yield Packet(
                source=node.gateway if ip == source else source,
                destination=ip,
                transport=traffic.transport,
                dport=port,
            )


def _endpoints(cluster: Cluster, traffic: Traffic) -> Iterator[tuple[IPv4Address, int]]:
    for service in cluster.services:
        endpoints = cluster.endpoints_of(service)
        if service.cluster_ip != traffic.destination or endpoints is None:
            continue
        names = {
            port.name
            for port in service.ports
            if (port.protocol.lower(), port.port) == (traffic.transport, traffic.dport)
        }
        for subset in endpoints.subsets:
            for port in subset.ports:
                if port.name in names:
                    yield from ((ip, port.port) for ip in subset.addresses)


def _is_kernel(delivery: TracedDelivery) -> bool:
    return isinstance(delivery.receiver, HostSubnet) and delivery.receiver.is_node


def _arrival(item: TracedDelivery) -> Arrival:
    vnid = None if _is_kernel(item) else item.vnid
    return (_name(item.receiver), item.source, vnid, item.destination)


def _expected_arrival(item: Delivery) -> Arrival:
    return (_name(item.receiver), item.source, item.vnid, item.destination)


def _sorted(arrivals: Iterable[Arrival]) -> list[Arrival]:
    return sorted(set(arrivals), key=str)


def _name(party: Party) -> str:
    return party.key if isinstance(party, Pod) else party.name
