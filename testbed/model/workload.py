"""The core/v1 objects that send, receive and name traffic."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv4Network


class Protocol(enum.StrEnum):
    """Transport of a service port; 3.11's API admitted no other."""

    TCP = "TCP"
    UDP = "UDP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A Kubernetes namespace (an OpenShift project)."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPort:
    """A port of the node that leads to a pod's."""

    host_port: int
    container_port: int
    protocol: Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A running workload endpoint.

    A ``host_network`` pod has its node's address and no port on br0; its ``ofport`` is
    ``None``. Every other pod has its own address and an ofport of 3 or more.
    Bandwidths are limits in bits/s, as the pod sees them: ingress is what it receives.
    """

    namespace: str
    name: str
    node: str
    ip: IPv4Address
    ofport: int | None
    labels: Mapping[str, str] = field(default_factory=dict)
    host_network: bool = False
    host_ports: tuple[HostPort, ...] = ()
    ingress_bandwidth: int | None = None
    egress_bandwidth: int | None = None

    @property
    def key(self) -> str:
        """``namespace/name``, as a person names it."""
        return f"{self.namespace}/{self.name}"

    @property
    def mac(self) -> str:
        """0a:58 and the four bytes of the address, as the CNI plugin sets it.

        Source: containernetworking/plugins pkg/utils/hwaddr
        """
        return ":".join(f"{byte:02x}" for byte in (0x0A, 0x58, *self.ip.packed))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """One port of a service: the cluster address's, the nodes' and the endpoints'."""

    name: str
    protocol: Protocol
    port: int
    target_port: int | str
    node_port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service; ``cluster_ip`` is ``None`` for a headless one.

    Attributes:
        affinity_timeout: seconds for which a client keeps its endpoint;
            ``None`` without session affinity.
        external_ips: further addresses that lead here, wherever they are.
        load_balancer_ips: the addresses of a load balancer that forwards to the nodes.
        source_ranges: who may use those; empty means everybody.
        local_only: ``externalTrafficPolicy: Local``; nodes pass on what comes from
            outside to their own pods only.
    """

    namespace: str
    name: str
    cluster_ip: IPv4Address | None
    ports: tuple[ServicePort, ...]
    selector: Mapping[str, str] = field(default_factory=dict)
    affinity_timeout: int | None = None
    external_ips: tuple[IPv4Address, ...] = ()
    load_balancer_ips: tuple[IPv4Address, ...] = ()
    source_ranges: tuple[IPv4Network, ...] = ()
    local_only: bool = False

    @property
    def key(self) -> str:
        """``namespace/name``, as a person names it."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPort:
    """A port on which every address of a subset answers."""

    name: str
    protocol: Protocol
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSubset:
    """Addresses and the ports that all of them serve."""

    addresses: tuple[IPv4Address, ...]
    ports: tuple[EndpointPort, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Who answers for the service of the same namespace and name."""

    namespace: str
    name: str
    subsets: tuple[EndpointSubset, ...]
