"""What routing does to a packet: the way it takes, and why it takes none.

Source: Linux net/ipv4/route.c (``ip_route_input_slow``), fib_frontend.c
(``fib_validate_source``)
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final

from testbed.model import Outcome
from testbed.netfilter.links import LOOPBACK, RouteType
from testbed.netfilter.packet import RuleHit
from testbed.netfilter.routes import is_multicast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.netfilter.branch import Branch
    from testbed.netfilter.links import Route

_REFUSALS: Final = {
    RouteType.UNREACHABLE: "icmp-host-unreachable",
    RouteType.PROHIBIT: "icmp-admin-prohibited",
}
_NO_ROUTE: Final = "icmp-net-unreachable"
_EVERYBODY: Final = int(IPv4Address("255.255.255.255"))
_LOOPBACK_NET: Final = 127
_LOOSE: Final = 2


def by_way(branch: Branch, route: Route) -> Iterator[Branch]:
    """Yield the packet on each way of a route, as likely as its weight makes it."""
    total = sum(hop.weight for hop in route.hops)
    for hop in route.hops:
        way = branch if len(route.hops) == 1 else branch.fork()
        way.probability *= hop.weight / total
        is_local = route.type is RouteType.LOCAL
        way.out_interface = LOOPBACK if is_local else hop.interface
        way.hop = hop
        way.hits.append(routed(f"out of {way.out_interface}", route))
        yield way


def refuse(branch: Branch, route: Route | None, *, is_own: bool = False) -> Branch:
    """No way leads there; of a blackhole only the machine's own programs are told."""
    if route is None:
        reason = f"no route to {IPv4Address(branch.destination)}"
        return stop(branch, Outcome.REJECTED, reason, reject_with=_NO_ROUTE)
    reason = f"its route leads nowhere: {route}"
    if route.type is RouteType.BLACKHOLE and not is_own:
        return stop(branch, Outcome.DROPPED, reason, route)
    refusal = _REFUSALS.get(route.type, _NO_ROUTE)
    return stop(branch, Outcome.REJECTED, reason, route, reject_with=refusal)


def stop(
    branch: Branch,
    outcome: Outcome,
    reason: str,
    route: Route | None = None,
    *,
    reject_with: str | None = None,
) -> Branch:
    """End a packet's way, and say that it was routing."""
    branch.hits.append(routed(reason, route))
    branch.end(outcome, reason, reject_with)
    return branch


def routed(effect: str, route: Route | None = None) -> RuleHit:
    """What routing decided, and by which route."""
    return RuleHit(
        table="routing",
        chain="" if route is None else route.table,
        rule="" if route is None else str(route),
        line=None,
        effect=effect,
    )


def martian(branch: Branch, *, route_localnet: bool) -> str:
    """Why an address cannot be on a wire; empty if it can."""
    source, destination = branch.source, branch.destination
    is_first = source == 0 and destination == _EVERYBODY  # as DHCP asks
    is_nobody = not source >> 24 and not is_first
    if is_nobody or is_multicast(source) or source == _EVERYBODY:
        return f"martian: {IPv4Address(source)} sends nothing"
    if not destination >> 24:
        return f"martian: {IPv4Address(destination)} receives nothing"
    if branch.in_interface != LOOPBACK and not route_localnet:
        for address in (destination, source):
            if is_loopback(address):
                return f"martian: {IPv4Address(address)} comes by no wire"
    return ""


def wrong_source(branch: Branch, rp_filter: int) -> str:
    """Why the sender cannot have sent it by this interface; empty if it can."""
    routes, source = branch.routes, branch.source
    if branch.in_interface == LOOPBACK or source == 0:
        return ""
    if routes.address_type(source) is RouteType.LOCAL:
        return f"martian: {IPv4Address(source)} is this machine's own"
    if not rp_filter:
        return ""
    back = routes.lookup(source)
    hops = back.hops if back and back.type is RouteType.UNICAST else ()
    ways = {hop.interface for hop in hops}
    if branch.in_interface in ways or (ways and rp_filter == _LOOSE):
        return ""
    return (
        f"{IPv4Address(source)} is not reached by {branch.in_interface} "
        f"(rp_filter is {rp_filter})"
    )


def is_loopback(ip: int) -> bool:
    """Whether an address is one of 127.0.0.0/8."""
    return ip >> 24 == _LOOPBACK_NET
