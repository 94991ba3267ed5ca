"""What kube-proxy makes rules of: every port of a service, and who answers for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.host.endpoints import is_hidden
from testbed.host.rules import chain_name, comment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address

    from testbed.model import Cluster, HostSubnet, Service, ServicePort


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Who answers, on which port, and whether that is on this node."""

    ip: IPv4Address
    port: int
    is_local: bool

    def __str__(self) -> str:
        return f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Portal:
    """One port of a service, as one node sees it."""

    service: Service
    cluster_ip: IPv4Address
    port: ServicePort
    endpoints: tuple[Endpoint, ...]
    node_ip: IPv4Address

    @property
    def name(self) -> str:
        """``namespace/service:port``; nothing follows the colon of a nameless port."""
        return f"{self.service.key}:{self.port.name}"

    @property
    def protocol(self) -> str:
        """As iptables spells it."""
        return self.port.protocol.lower()

    @property
    def service_chain(self) -> str:
        """The chain that picks one of all endpoints."""
        return chain_name("KUBE-SVC-", self.name, self.protocol)

    @property
    def firewall_chain(self) -> str:
        """The chain that knows who may use the load balancer."""
        return chain_name("KUBE-FW-", self.name, self.protocol)

    @property
    def local_chain(self) -> str:
        """The chain that picks one of this node's endpoints."""
        return chain_name("KUBE-XLB-", self.name, self.protocol)

    def endpoint_chain(self, endpoint: Endpoint) -> str:
        """The chain that rewrites the destination to an endpoint."""
        return chain_name("KUBE-SEP-", self.name, self.protocol, endpoint)

    def to(self, ip: IPv4Address, remark: str) -> str:
        """Match what is sent to this portal at an address."""
        return (
            f"-d {ip}/32 -p {self.protocol} {comment(f'{self.name} {remark}')} "
            f"-m {self.protocol} --dport {self.port.port}"
        )


def portals_of(cluster: Cluster, node: HostSubnet) -> list[Portal]:
    """Every port of every service that has a cluster address."""
    here = {node.host_ip, *(pod.ip for pod in cluster.pods_on(node))}
    return [
        Portal(
            service=service,
            cluster_ip=service.cluster_ip,
            port=port,
            endpoints=tuple(
                Endpoint(ip=ip, port=number, is_local=ip in here)
                for ip, number in _answering(cluster, service, port)
            ),
            node_ip=node.host_ip,
        )
        for service in cluster.services
        if service.cluster_ip is not None
        for port in service.ports
    ]


def _answering(
    cluster: Cluster, service: Service, port: ServicePort
) -> Iterator[tuple[IPv4Address, int]]:
    """Yield who answers for a port: it goes by its name, whatever the protocol."""
    endpoints = cluster.endpoints_of(service)
    if endpoints is None or is_hidden(cluster, endpoints):
        return
    for subset in endpoints.subsets:
        for endpoint_port in subset.ports:
            if endpoint_port.name == port.name:
                for ip in subset.addresses:
                    yield ip, endpoint_port.port
