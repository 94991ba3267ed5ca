"""What only the emulation needs: the wires between and around the nodes."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address

DOCKER_NETWORK = IPv4Network("172.17.0.0/16")
"""The range that docker0 has on every node, used or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderlayHost:
    """A machine that is no node: an external server, or a rogue VTEP.

    ``dns_names`` are what nodes resolve to its address.
    """

    name: str
    ip: IPv4Address
    dns_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Underlay:
    """The nodes' network, its way out and who else is there.

    ``mtu`` is the pods' and tun0's, in bytes; the underlay's own is 50 more, the size
    of the VXLAN header. Rogues sit on ``subnet`` among the nodes; external hosts sit on
    ``external_network``, behind the gateway, whose leg there is
    ``external_gateway``.
    """

    subnet: IPv4Network
    gateway: IPv4Address
    external_network: IPv4Network
    external_gateway: IPv4Address
    external_hosts: tuple[UnderlayHost, ...]
    rogues: tuple[UnderlayHost, ...] = ()
    mtu: int = 1450
