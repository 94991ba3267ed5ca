"""A machine's kernel: what it would do with one packet.

Hooks and tables in the order of Linux; between them routing decides. Connections are
taken to be tracked, as they are wherever a rule asks about one. Not looked at are rules
of ``ip rule``, IPsec, TTL and MTU, what sockets are open, and what the answer to a
rejected packet's sender goes through.

Source: Linux net/ipv4/{route,ip_input,ip_forward,ip_output}.c, netfilter_ipv4.h (the
order of tables), net/ipv4/netfilter.c (``ip_route_me_harder``)
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final

from testbed.model import Outcome, Transport
from testbed.netfilter.branch import Branch
from testbed.netfilter.links import LOOPBACK, RouteType
from testbed.netfilter.packet import CtState
from testbed.netfilter.routes import is_multicast
from testbed.netfilter.routing import (
    by_way,
    is_loopback,
    martian,
    refuse,
    routed,
    stop,
    wrong_source,
)
from testbed.netfilter.translation import restore_destination, restore_source
from testbed.netfilter.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from testbed.netfilter.links import Route
    from testbed.netfilter.packet import KernelPacket, Passage
    from testbed.netfilter.routes import Routes
    from testbed.netfilter.ruleset import Ruleset

_NAT: Final = "nat"
_PREROUTING: Final = "PREROUTING"
_INPUT: Final = "INPUT"
_FORWARD: Final = "FORWARD"
_OUTPUT: Final = "OUTPUT"
_POSTROUTING: Final = "POSTROUTING"
_HOOKS: Final = {
    _PREROUTING: ("raw", "mangle", "nat"),
    _INPUT: ("mangle", "filter", "security", "nat"),
    _FORWARD: ("mangle", "filter", "security"),
    _OUTPUT: ("raw", "mangle", "nat", "filter", "security"),
    _POSTROUTING: ("mangle", "nat"),
}
_TRANSLATES_DESTINATION: Final = (_PREROUTING, _OUTPUT)
_ALL_HOSTS: Final = int(IPv4Address("224.0.0.1"))
_OWN: Final = (RouteType.LOCAL, RouteType.BROADCAST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A machine's routing and iptables.

    Attributes:
        name: the machine's.
        ruleset: its rules.
        routes: its addresses and routes.
        is_router: ``net.ipv4.ip_forward``: whether it passes on what is for others.
        rp_filter: ``net.ipv4.conf.*.rp_filter``, the higher of ``all`` and of the
            interface: 1 drops a packet whose sender is not reached by the interface
            that it came in by, 2 one whose sender is not reached at all. Which
            routes and rules tell nothing of; RHEL's default is 1, Linux's 0.
        route_localnet: ``net.ipv4.conf.all.route_localnet``, which kube-proxy turns on:
            without it 127.0.0.0/8 is reached from and through ``lo`` alone.
    """

    name: str
    ruleset: Ruleset = field(repr=False)
    routes: Routes = field(repr=False)
    is_router: bool = True
    rp_filter: int = 0
    route_localnet: bool = True

    def forward(
        self,
        packet: KernelPacket,
        in_interface: str,
        *,
        answers: Passage | None = None,
    ) -> tuple[Passage, ...]:
        """What becomes of a packet that comes in by an interface.

        Rules of the table nat are asked of ``NEW`` packets only; an answer is
        translated as the question was.

        Args:
            packet: what comes in, as it is on the wire.
            in_interface: the interface.
            answers: the passage of the question through this kernel, if the packet
                answers one. Without it, an answer is taken as never translated.

        Returns:
            Every way that it may go, with their probabilities; most packets have one.
        """
        branch = Branch.of(packet, self.routes, answers=answers)
        branch.in_interface = in_interface
        return _passages(self._come_in([branch]))

    def send(
        self, packet: KernelPacket, *, answers: Passage | None = None
    ) -> tuple[Passage, ...]:
        """What becomes of a packet of the machine's own.

        What it sends to itself goes out of and into ``lo``, and is delivered.

        Args:
            packet: what is sent, with its source; see ``Routes.source_for``.
            answers: the passage of the question, if the packet answers one.
        """
        branch = Branch.of(packet, self.routes, answers=answers)
        return _passages(self._go_out(branch))

    def _come_in(self, branches: Iterable[Branch]) -> list[Branch]:
        branches = self._hook(_PREROUTING, branches)
        return _each(self._route_in, branches)

    def _route_in(self, branch: Branch) -> list[Branch]:
        """The routing decision, and the hooks that it leads to."""
        destination = branch.destination
        if is_multicast(destination):
            return self._take_multicast(branch)
        is_own = self.routes.address_type(destination) in _OWN
        route = self.routes.lookup(destination)
        leads_on = route is not None and route.type is RouteType.UNICAST
        why = martian(branch, route_localnet=self.route_localnet)
        if not (why or is_own or self.is_router):
            why = f"{self.name} forwards nothing (net.ipv4.ip_forward is 0)"
        if not why and (is_own or leads_on):
            why = wrong_source(branch, self.rp_filter)
        if why:
            return [stop(branch, Outcome.DROPPED, why)]
        if is_own:
            branch.hits.append(routed("to this machine", route))
            return self._deliver(branch)
        if route is None or not leads_on:
            return [refuse(branch, route)]
        return _each(self._pass_on, by_way(branch, route))

    def _deliver(self, branch: Branch) -> list[Branch]:
        taken = self._hook(_INPUT, [branch])
        for each in taken:
            if each.outcome is None:
                each.end(Outcome.DELIVERED, f"{self.name} takes it itself")
        return taken

    def _take_multicast(self, branch: Branch) -> list[Branch]:
        if branch.destination == _ALL_HOSTS:
            branch.hits.append(routed("to all hosts"))
            return self._deliver(branch)
        reason = "could not tell: rules and routes do not show who joined this group"
        return [stop(branch, Outcome.INCONCLUSIVE, reason)]

    def _pass_on(self, branch: Branch) -> list[Branch]:
        passed = self._hook(_FORWARD, [branch])
        for each in passed:
            each.in_interface = ""
        return self._hook(_POSTROUTING, passed)

    def _go_out(self, branch: Branch) -> list[Branch]:
        route = self._route_out(branch)
        if route is None:
            return [branch]
        return [
            gone
            for way in by_way(branch, route)
            for sent in self._hook(_OUTPUT, [way])
            for rerouted in self._reroute(sent, int(branch.original.destination))
            for gone in self._leave(rerouted)
        ]

    def _route_out(self, branch: Branch) -> Route | None:
        """The route of the machine's own packet; without one its sender is told."""
        route = self.routes.lookup(branch.destination)
        if route is None or not route.hops:
            refuse(branch, route, is_own=True)
            return None
        is_local = route.type is RouteType.LOCAL
        if is_loopback(branch.source) and not is_local and not self.route_localnet:
            reason = "no loopback address leaves the machine (route_localnet is 0)"
            stop(branch, Outcome.REJECTED, reason)
            return None
        return route

    def _reroute(self, branch: Branch, was_for: int) -> list[Branch]:
        """What has another destination by now is routed once more.

        Rules of OUTPUT have seen the first route's interface until the end.
        """
        if branch.outcome is not None or branch.destination == was_for:
            return [branch]
        route = self._route_out(branch)
        return [branch] if route is None else list(by_way(branch, route))

    def _leave(self, branch: Branch) -> list[Branch]:
        left = self._hook(_POSTROUTING, [branch])
        return _each(self._loop_back, left)

    def _loop_back(self, branch: Branch) -> list[Branch]:
        """What goes out of lo comes in by it, as routed as it was."""
        if branch.out_interface != LOOPBACK:
            return [branch]
        branch.in_interface, branch.out_interface, branch.hop = LOOPBACK, "", None
        branch.is_seen = True
        return _each(self._deliver, self._hook(_PREROUTING, [branch]))

    def _hook(self, hook: str, branches: Iterable[Branch]) -> list[Branch]:
        """Take packets through one hook's chains, table by table."""
        found = list(branches)
        for table in _HOOKS[hook]:
            chains = self.ruleset.tables.get(table, {})
            if table == _NAT:
                found = _each(functools.partial(self._translate, hook), found)
            elif hook in chains:
                found = _each(functools.partial(walk, chains, table, hook), found)
        return found

    def _translate(self, hook: str, branch: Branch) -> list[Branch]:
        """Ask the table nat once for the source and once for the destination."""
        is_destination = hook in _TRANSLATES_DESTINATION
        is_done = branch.destination_done if is_destination else branch.source_done
        if is_destination:
            branch.destination_done = True
        else:
            branch.source_done = True
        if is_done:
            return [branch]
        if branch.answers is not None:
            restore = restore_destination if is_destination else restore_source
            restore(branch)
            return [branch]
        chains = self.ruleset.tables.get(_NAT, {})
        if hook not in chains or not _begins_connection(branch):
            return [branch]
        return walk(chains, _NAT, hook, branch)


def _passages(branches: Iterable[Branch]) -> tuple[Passage, ...]:
    return tuple(branch.passage() for branch in branches)


def _each(
    then: Callable[[Branch], list[Branch]], branches: Iterable[Branch]
) -> list[Branch]:
    """Go on with those that have not ended."""
    return [
        found
        for branch in branches
        for found in ([branch] if branch.outcome else then(branch))
    ]


def _begins_connection(branch: Branch) -> bool:
    """Only then the table nat is asked; an ICMP error goes with what it is about."""
    if branch.ct_state is CtState.RELATED:
        return branch.transport is not Transport.ICMP
    return branch.ct_state is CtState.NEW
