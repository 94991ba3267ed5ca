"""What a machine's network is made of: interfaces, addresses, routes.

Source: ip-address(8), ip-route(8); Linux net/ipv4/fib_frontend.c (``fib_add_ifaddr``)
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK: Final = "lo"
LOCAL: Final = "local"
MAIN: Final = "main"
EVERYWHERE: Final = IPv4Network("0.0.0.0/0")
_POINT_TO_POINT: Final = 31
"""Prefixes as long as this have no broadcast address."""


class RouteType(enum.StrEnum):
    """What a route does, and what an address is to a machine (``addrtype``)."""

    UNSPEC = "unspec"
    UNICAST = "unicast"
    LOCAL = "local"
    BROADCAST = "broadcast"
    ANYCAST = "anycast"
    MULTICAST = "multicast"
    BLACKHOLE = "blackhole"
    UNREACHABLE = "unreachable"
    PROHIBIT = "prohibit"
    THROW = "throw"


class Scope(enum.IntEnum):
    """How far an address, or a route, is good for; the lower the farther."""

    GLOBAL = 0
    SITE = 200
    LINK = 253
    HOST = 254


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address of an interface.

    ``network`` is who is on the link with it, the peer alone where it has one. A
    secondary address is never chosen as a sender's.
    """

    ip: IPv4Address
    network: IPv4Network
    scope: Scope = Scope.GLOBAL
    is_secondary: bool = False
    broadcast: IPv4Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """An interface; ``master`` is the bridge that it is a port of."""

    name: str
    addresses: tuple[Address, ...] = ()
    master: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NextHop:
    """One way of a route; ``gateway`` is ``None`` where the link reaches all of it."""

    interface: str
    gateway: IPv4Address | None = None
    weight: int = 1

    def __str__(self) -> str:
        via = "" if self.gateway is None else f"via {self.gateway} "
        return f"{via}dev {self.interface}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route.

    Attributes:
        network: where it leads.
        hops: the ways to there, none for those that lead nowhere; among several the
            kernel chooses by weight.
        type: what it does.
        table: the routing table it is in.
        metric: the lower the better.
        source: the address that the machine's own packets take there; ``None`` to
            choose one of the interface's.
        scope: how far it is to there.
    """

    network: IPv4Network
    hops: tuple[NextHop, ...] = ()
    type: RouteType = RouteType.UNICAST
    table: str = MAIN
    metric: int = 0
    source: IPv4Address | None = None
    scope: Scope = Scope.GLOBAL

    def __str__(self) -> str:
        """As ``ip route`` shows it, but for what leads no packet."""
        where = str(self.network)
        if self.network == EVERYWHERE:
            where = "default"
        elif self.network.prefixlen == self.network.max_prefixlen:
            where = str(self.network.network_address)
        parts = [where, *map(str, self.hops)]
        if self.type is not RouteType.UNICAST:
            parts.insert(0, str(self.type))
        if self.scope:
            parts.append(f"scope {self.scope.name.lower()}")
        if self.source is not None:
            parts.append(f"src {self.source}")
        if self.metric:
            parts.append(f"metric {self.metric}")
        return " ".join(parts)


def local_routes(interface: str, address: Address) -> Iterator[Route]:
    """Yield what the kernel adds to the table ``local`` for an address."""

    def route(network: IPv4Network, kind: RouteType) -> Route:
        return Route(
            network=network,
            hops=(NextHop(interface=interface),),
            type=kind,
            table=LOCAL,
            source=address.ip,
            scope=Scope.HOST if kind is RouteType.LOCAL else Scope.LINK,
        )

    yield route(IPv4Network(address.ip), RouteType.LOCAL)
    network = address.network
    broadcasts = set() if address.broadcast is None else {address.broadcast}
    if network.prefixlen < _POINT_TO_POINT:
        broadcasts |= {network.network_address, network.broadcast_address}
        if interface == LOOPBACK:
            yield route(network, RouteType.LOCAL)
    for broadcast in sorted(broadcasts):
        yield route(IPv4Network(broadcast), RouteType.BROADCAST)
