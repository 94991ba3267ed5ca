"""The core/v1 objects that send, receive and name traffic."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address


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
class Pod:
    """A running workload endpoint.

    A ``host_network`` pod has its node's address and no port on br0; its ``ofport`` is
    ``None``. Every other pod has its own address and an ofport of 3 or more.
    """

    namespace: str
    name: str
    node: str
    ip: IPv4Address
    ofport: int | None
    labels: Mapping[str, str] = field(default_factory=dict)
    host_network: bool = False

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
    """One port of a service: the cluster address's and the endpoints'."""

    name: str
    protocol: Protocol
    port: int
    target_port: int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service; ``cluster_ip`` is ``None`` for a headless one."""

    namespace: str
    name: str
    cluster_ip: IPv4Address | None
    ports: tuple[ServicePort, ...]
    selector: Mapping[str, str] = field(default_factory=dict)

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
