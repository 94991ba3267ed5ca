"""A machine's addresses and routes, and where they lead a packet.

Three routing tables are asked in turn, as without rules of ``ip rule``: ``local``, the
machine's own addresses and broadcasts, then ``main``, then ``default``. In each the
longest prefix wins, then the lowest metric, then what was there first.

Source: Linux net/ipv4/fib_trie.c, fib_frontend.c (``inet_addr_type``), devinet.c
(``inet_select_addr``)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from testbed.netfilter.batch import read_batch
from testbed.netfilter.iproute import parse_addresses, parse_routes
from testbed.netfilter.links import LOCAL, MAIN, RouteType, Scope, local_routes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from ipaddress import IPv4Address

    from testbed.netfilter.links import Address, Interface, Route

_TABLES: Final = (LOCAL, MAIN, "default")
_EVERYBODY: Final = 0xFFFFFFFF
_NEED_HOPS: Final = (RouteType.UNICAST, RouteType.LOCAL, RouteType.BROADCAST)


@dataclass(frozen=True, kw_only=True)
class Routes:
    """All interfaces and routes of a machine.

    Where no route is of the table ``local``, which plain ``ip route`` does not show, it
    follows from the addresses, as it does in the kernel.
    """

    interfaces: tuple[Interface, ...] = ()
    routes: tuple[Route, ...] = ()

    @classmethod
    def parse(cls, *, addresses: str, routes: str) -> Routes:
        """Read the output of ``ip address`` and of ``ip route show [table all]``.

        Each as text or, with ``-json``, as JSON. IPv6 and other routing tables are
        passed over, as is a first line ``> command``, as debug scripts write.

        Raises:
            DumpError: it is something else; the message names the line.
        """
        return cls(interfaces=parse_addresses(addresses), routes=parse_routes(routes))

    @classmethod
    def from_batch(cls, text: str) -> Routes:
        """What a kernel has after ``ip -batch`` with this text, as ``host.links`` does.

        Raises:
            DumpError: a line does something else than links, addresses and routes.
        """
        interfaces, routes = read_batch(text)
        return cls(interfaces=interfaces, routes=routes)

    @cached_property
    def local_addresses(self) -> frozenset[IPv4Address]:
        """The addresses that the machine's interfaces have."""
        return frozenset(
            address.ip
            for interface in self.interfaces
            for address in interface.addresses
        )

    def lookup(self, ip: int | IPv4Address) -> Route | None:
        """The route that leads to an address; ``None`` if there is none."""
        wanted = int(ip)
        for table in self._by_table:
            for mask, network, route in table:
                if wanted & mask == network:
                    if route.type is RouteType.THROW:
                        break
                    return route
        return None

    def address_type(
        self, ip: int | IPv4Address, interface: str | None = None
    ) -> RouteType:
        """What an address is to this machine, or to one interface of it."""
        wanted = int(ip)
        if wanted == _EVERYBODY or not wanted >> 24:
            return RouteType.BROADCAST
        if is_multicast(wanted):
            return RouteType.MULTICAST
        for mask, network, route in self._by_table[0]:
            if wanted & mask == network:
                hops = {hop.interface for hop in route.hops}
                if interface is None or interface in hops:
                    return route.type
                break
        return RouteType.UNICAST

    def is_bridge(self, interface: str) -> bool:
        """Whether other interfaces are its ports."""
        return interface in self._bridges

    def source_for(self, destination: IPv4Address) -> IPv4Address | None:
        """The address that the machine's own packets to there have.

        ``None`` where no route leads there, or where there is no address to choose.
        """
        route = self.lookup(destination)
        if route is None or not route.hops:
            return None
        if route.source is not None:
            return route.source
        if route.type is RouteType.LOCAL:
            return destination
        hop = route.hops[0]
        return self.select_address(hop.interface, hop.gateway, scope=route.scope)

    def select_address(
        self,
        interface: str,
        toward: int | IPv4Address | None = None,
        *,
        scope: Scope = Scope.GLOBAL,
    ) -> IPv4Address | None:
        """The address of an interface that is chosen as a sender's.

        The first of the same network as ``toward``, else the first of all; of an
        interface without any, the first of any other. Secondary addresses, and those
        that are not good for as far as ``scope``, are left out.
        """
        here = self._by_name.get(interface)
        candidates = [
            address
            for address in (here.addresses if here else ())
            if not address.is_secondary and address.scope <= scope
        ]
        if toward is not None:
            for address in candidates:
                if int(toward) & int(address.network.netmask) == int(
                    address.network.network_address
                ):
                    return address.ip
        for address in (*candidates, *self._elsewhere(scope)):
            return address.ip
        return None

    def first_address(self, interface: str) -> IPv4Address | None:
        """An interface's first address that is not secondary; ``None`` without any."""
        here = self._by_name.get(interface)
        for address in here.addresses if here else ():
            if not address.is_secondary:
                return address.ip
        return None

    def _elsewhere(self, scope: Scope) -> Iterator[Address]:
        for interface in self.interfaces:
            for address in interface.addresses:
                is_good = address.scope <= scope and address.scope is not Scope.LINK
                if is_good and not address.is_secondary:
                    yield address

    @cached_property
    def _by_table(self) -> tuple[tuple[tuple[int, int, Route], ...], ...]:
        """Each table's masks, networks and routes, the best first."""
        known = self.routes
        if not any(route.table == LOCAL for route in known):
            own = (
                route
                for interface in self.interfaces
                for address in interface.addresses
                for route in local_routes(interface.name, address)
            )
            known = (*own, *known)
        usable = sorted(
            (route for route in known if route.hops or route.type not in _NEED_HOPS),
            key=lambda route: (-route.network.prefixlen, route.metric),
        )
        return tuple(
            tuple(
                (int(route.network.netmask), int(route.network.network_address), route)
                for route in usable
                if route.table == table
            )
            for table in _TABLES
        )

    @cached_property
    def _by_name(self) -> Mapping[str, Interface]:
        return {interface.name: interface for interface in self.interfaces}

    @cached_property
    def _bridges(self) -> frozenset[str]:
        return frozenset(
            interface.master for interface in self.interfaces if interface.master
        )


def is_multicast(ip: int) -> bool:
    """Whether an address is one of 224.0.0.0/4."""
    return ip >> 28 == 0xE
