"""Services: which one an address and port lead to, and who answers for it.

kube-proxy knows a service by its cluster address, its external addresses, those of its
load balancer, and by node ports; each with its TCP and UDP ports and nothing else.

Source: kubernetes release-1.11 pkg/proxy/iptables/proxier.go
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.model import Transport
from testbed.oracle.egress_policy import covers
from testbed.oracle.places import is_for_pods

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address

    from testbed.model import (
        Cluster,
        EgressNetworkPolicy,
        EgressRule,
        Endpoints,
        Service,
        ServicePort,
    )
    from testbed.oracle.packet import Packet


class Kind(enum.Enum):
    """By which of its addresses a service is meant."""

    CLUSTER_IP = enum.auto()
    EXTERNAL_IP = enum.auto()
    LOAD_BALANCER = enum.auto()
    NODE_PORT = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """A port of a service, and by which address it is meant."""

    service: Service
    port: ServicePort
    kind: Kind

    @property
    def name(self) -> str:
        """The service, as an administrator names it."""
        return f"Service {self.service.key}"

    @property
    def keeps_client(self) -> bool:
        """Whether endpoints see the client, for which others are passed over."""
        outside = self.kind in (Kind.LOAD_BALANCER, Kind.NODE_PORT)
        return self.service.local_only and outside


def fronts(cluster: Cluster, packet: Packet, *, to_node: bool) -> Iterator[Front]:
    """Yield what a packet's destination means to kube-proxy, in its order.

    Args:
        cluster: whose services.
        packet: its destination, transport and port.
        to_node: whether the destination is the node's own, where node ports are open.
    """
    for port, service in _ports(cluster, packet):
        if port.port == packet.dport:
            for kind, addresses in (
                (Kind.CLUSTER_IP, (service.cluster_ip,)),
                (Kind.EXTERNAL_IP, service.external_ips),
                (Kind.LOAD_BALANCER, service.load_balancer_ips),
            ):
                if packet.destination in addresses:
                    yield Front(service=service, port=port, kind=kind)
    for port, service in _ports(cluster, packet):
        if to_node and packet.dport is not None and port.node_port == packet.dport:
            yield Front(service=service, port=port, kind=Kind.NODE_PORT)


def _ports(cluster: Cluster, packet: Packet) -> Iterator[tuple[ServicePort, Service]]:
    """Yield every port of the packet's transport; headless services have none."""
    for service in cluster.services:
        if service.cluster_ip is not None:
            for port in service.ports:
                if port.protocol.lower() == packet.transport:
                    yield port, service


def service_at(cluster: Cluster, ip: IPv4Address) -> Service | None:
    """The service with this cluster address, whatever its ports."""
    return next((item for item in cluster.services if item.cluster_ip == ip), None)


def why_unanswered(cluster: Cluster, packet: Packet) -> str:
    """Why nobody answers at a service's address: it is not a machine's."""
    service = service_at(cluster, packet.destination)
    if service is None:
        return "no service has this address"
    if packet.transport in (Transport.TCP, Transport.UDP):
        port = f"{packet.transport.upper()}/{packet.dport}"
        return f"Service {service.key} has no port {port}"
    return f"Service {service.key} answers no {packet.transport.upper()}"


def endpoints_of(cluster: Cluster, front: Front) -> tuple[tuple[IPv4Address, int], ...]:
    """The addresses and ports that answer; kube-proxy finds ports by their name."""
    endpoints = cluster.endpoints_of(front.service)
    if endpoints is None or are_hidden(cluster, endpoints):
        return ()
    found = (
        (address, port.port)
        for subset in endpoints.subsets
        for port in subset.ports
        if port.name == front.port.name
        for address in subset.addresses
    )
    return tuple(dict.fromkeys(found))


def has_none(cluster: Cluster, front: Front) -> str:
    """Why a service has no endpoints, to be said where that decides."""
    endpoints = cluster.endpoints_of(front.service)
    hidden = endpoints is not None and are_hidden(cluster, endpoints)
    reason = " that EgressNetworkPolicy admits" if hidden else ""
    return f"{front.name} has no endpoints{reason}"


def are_hidden(cluster: Cluster, endpoints: Endpoints) -> bool:
    """Whether kube-proxy is shown none of them, as one leads where none may go.

    A single address outside the cluster that the namespace's EgressNetworkPolicy denies
    takes all others with it. Here a namespace is judged for itself, with whomever it
    may share its VNID. Without NetNamespace it counts as global, as under ovs-subnet,
    whose master makes none.

    Source: openshift/origin release-3.11 pkg/network/proxy/proxy.go
    """
    if not cluster.network.plugin.has_vnids:
        return False
    vnids = {item.name: item.netid for item in cluster.net_namespaces}
    if vnids.get(endpoints.namespace, 0) == 0:
        return False
    policies = [
        policy
        for policy in cluster.egress_network_policies_of(endpoints.namespace)
        if any(_says_something(cluster, rule) for rule in policy.egress)
    ]
    return any(
        len(policies) > 1 or any(_denies(cluster, item, address) for item in policies)
        for subset in endpoints.subsets
        for address in subset.addresses
        if not is_for_pods(cluster, address)
        and address not in cluster.network.service_network
    )


def _says_something(cluster: Cluster, rule: EgressRule) -> bool:
    """A name that resolves to nothing leaves no rule behind, and perhaps no policy."""
    return rule.dns_name is None or bool(cluster.resolve(rule.dns_name))


def _denies(
    cluster: Cluster, policy: EgressNetworkPolicy, address: IPv4Address
) -> bool:
    for rule in policy.egress:
        if rule.dns_name is not None and cluster.quirks.dns_endpoints_aliased:
            is_meant = cluster.resolve(rule.dns_name)[-1:] == (address,)
        else:
            is_meant = covers(cluster, rule, address)
        if is_meant:
            return not rule.allow
    return False
