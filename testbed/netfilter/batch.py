"""What a kernel has after ``ip -batch``: addresses, and the routes that come with them.

Only what ``testbed.host.links`` writes is understood: links that come up, addresses and
routes that are added or, of routes, deleted.

Source: ip(8); Linux net/ipv4/devinet.c, fib_frontend.c (``fib_add_ifaddr``)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Final

from testbed.errors import DumpError
from testbed.netfilter.iproute import address_of, route_of
from testbed.netfilter.links import (
    LOOPBACK,
    Address,
    Interface,
    NextHop,
    Route,
    Scope,
    local_routes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOOPBACK_ADDRESS: Final = ["127.0.0.1/8", "scope", "host"]


def read_batch(
    text: str, source: str = "ip -batch"
) -> tuple[tuple[Interface, ...], tuple[Route, ...]]:
    """The interfaces and routes that there are after these commands.

    Raises:
        DumpError: a line says something else; the message names it.
    """
    kernel = _Kernel()
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            try:
                kernel.command(line.split())
            except (ValueError, LookupError) as error:
                what = f"cannot read this: {line.strip()}"
                raise DumpError(f"{source}:{number}: {what}") from error
    return tuple(kernel.interfaces.values()), tuple(kernel.routes)


@dataclass(slots=True)
class _Kernel:
    """A kernel's interfaces, lo first, and routes while commands change them."""

    interfaces: dict[str, Interface] = field(
        default_factory=lambda: {LOOPBACK: Interface(name=LOOPBACK)}
    )
    routes: list[Route] = field(default_factory=list)

    def command(self, words: Sequence[str]) -> None:
        match words:
            case ["link", "set", name, *rest]:
                self._set_link(name, rest)
            case ["link", "add", name, *rest]:
                self._interface(name)
                if "peer" in rest:
                    self._interface(rest[rest.index("name") + 1])
            case ["addr", "add", *rest]:
                self._add_address(rest)
            case ["route", "add", *rest]:
                self._add_route(rest, replaces=False)
            case ["route", "replace", *rest]:
                self._add_route(rest, replaces=True)
            case ["route", "del", *rest]:
                self._delete_route(rest)
            case _:
                raise ValueError(words)

    def _interface(self, name: str) -> Interface:
        return self.interfaces.setdefault(name, Interface(name=name))

    def _set_link(self, name: str, words: Sequence[str]) -> None:
        interface = self._interface(name)
        if "master" in words:
            master = words[words.index("master") + 1]
            self.interfaces[name] = replace(interface, master=master)
        if "up" in words and name == LOOPBACK and not interface.addresses:
            self._add_address([*_LOOPBACK_ADDRESS, "dev", LOOPBACK])

    def _add_address(self, words: Sequence[str]) -> None:
        name = words[words.index("dev") + 1]
        interface = self._interface(name)
        read = address_of([word for word in words if word not in ("brd", "+")])
        address = replace(
            read,
            broadcast=read.network.broadcast_address if "+" in words else None,
            is_secondary=any(
                other.network == read.network for other in interface.addresses
            ),
        )
        addresses = (*interface.addresses, address)
        self.interfaces[name] = replace(interface, addresses=addresses)
        self.routes += local_routes(name, address)
        if name != LOOPBACK and "noprefixroute" not in words:
            self._connect(name, address)

    def _connect(self, name: str, address: Address) -> None:
        """The route to a network comes with its first address."""
        if not address.is_secondary and address.network != IPv4Network(address.ip):
            self.routes.append(
                Route(
                    network=address.network,
                    hops=(NextHop(interface=name),),
                    source=address.ip,
                    scope=Scope.LINK,
                )
            )

    def _add_route(self, words: Sequence[str], *, replaces: bool) -> None:
        route = _route(words)
        for index, other in enumerate(self.routes):
            if _key(other) == _key(route):
                if not replaces:
                    raise ValueError("there is one already")
                self.routes[index] = route
                return
        self.routes.append(route)

    def _delete_route(self, words: Sequence[str]) -> None:
        wanted = _route(words)
        for route in self.routes:
            is_it = (route.table, route.network) == (wanted.table, wanted.network)
            if is_it and wanted.hops in ((), route.hops):
                self.routes.remove(route)
                return
        raise ValueError("there is none")


def _route(words: Sequence[str]) -> Route:
    """``ip route add`` takes a route without gateway for one of the link."""
    route = route_of(words)
    if route is None:
        raise ValueError(words)
    if "scope" not in words and not any(hop.gateway for hop in route.hops):
        return replace(route, scope=Scope.LINK)
    return route


def _key(route: Route) -> tuple[str, IPv4Network, int]:
    return route.table, route.network, route.metric
