"""The ways that a batch's probes take, each with the control that proves it open.

Frames of one port are handled in order. So when a control that followed a probe is
heard at the end of its way, the probe has been handled, too. Controls ask by ARP, which
nobody filters in 3.11 (tables 40 and 50), or for an echo, which no node refuses:

======================  ==============================  ============================
who sends               control                         who must hear it
======================  ==============================  ============================
a pod                   ARP for its gateway             its node's tun0
a pod, to a subnet      ARP for that subnet's gateway   that node's tun0, or the ghost
a node, to a subnet     the same, out of tun0           the same
a node, to its own      ARP for one of its pods         that pod
a ghost, to a subnet    ARP for its gateway, tunnelled  that node's tun0
a kernel, to a node     an echo request                 that node's kernel
a node, to the world    an echo request to the gateway  its own kernel, the echo
a machine outside       an echo request to a node       that node's kernel
who asks on the wire    ARP for a node                  that node's wire
======================  ==============================  ============================
"""

from __future__ import annotations

import collections
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from testbed.model import HostSubnet, Pod, Transport
from testbed.probe.places import Node
from testbed.probe.routes import Way
from testbed.probe.whereabouts import Zone

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping
    from ipaddress import IPv4Address

    from testbed.model import Party
    from testbed.probe.directory import Directory
    from testbed.probe.frames import FrameBuilder, Launch
    from testbed.probe.places import Place
    from testbed.probe.recorder import Tap
    from testbed.probe.routes import Route
    from testbed.probe.stacks import Stack


class Probe(NamedTuple):
    """One probe: what is handed over where, and its ways, the first where it leads."""

    route: Route
    data: bytes
    door: Door
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Door:
    """Where a sender hands packets over.

    Attributes:
        place: whose.
        tap: where a frame goes out; ``None`` where its kernel takes a packet.
        socket: what takes them.
    """

    place: Place
    tap: Tap | None
    socket: socket.socket

    def send(self, launch: Launch | Probe) -> None:
        """Hand a packet over.

        Raises:
            OSError: it is not taken: ``PermissionError`` if iptables refuses it,
                ``BlockingIOError`` if too many wait.
        """
        if self.tap is None:
            self.socket.sendto(launch.data, (str(launch.route.destination.ip), 0))
        else:
            self.socket.send(launch.data)


@dataclass(slots=True, kw_only=True, eq=False)
class Path:
    """One way, and how it is proven.

    Attributes:
        name: whose way to whom.
        door: where it begins.
        control: builds the control of a number.
        hearer: where it must come in.
        waiting: numbers of the probes that went this way and were not heard of.
        broken: why it is not proven; empty while all is well.
    """

    name: str
    door: Door
    control: Callable[[int], Launch]
    hearer: Tap
    waiting: collections.deque[int] = field(default_factory=collections.deque)
    broken: str = ""


class PathFinder:
    """Finds the ways of probes, each way once.

    Args:
        directory: where everybody is.
        builder: what controls are built with.
        stacks: the kernels that send or are watched.
    """

    def __init__(
        self, directory: Directory, builder: FrameBuilder, stacks: Mapping[str, Stack]
    ) -> None:
        self._directory = directory
        self._builder = builder
        self._cluster = builder.router.cluster
        self._stacks = stacks
        self._found: dict[tuple[int, str], Path] = {}
        self._ways: dict[Route, tuple[Door, tuple[Path, ...]]] = {}
        self._doors: dict[tuple[int, Way], Door] = {}

    @property
    def found(self) -> tuple[Path, ...]:
        """Every way that was asked for."""
        return tuple(self._found.values())

    def probe(self, launch: Launch) -> Probe:
        """A packet that is to be sent, with its door and ways."""
        route = launch.route
        known = self._ways.get(route)
        if known is None:
            known = self._door(route), tuple(self._paths(route))
            self._ways[route] = known
        return Probe(route, launch.data, *known)

    def _door(self, route: Route) -> Door:
        key = id(route.party), route.way
        if key not in self._doors:
            place = self._directory.place(route.party)
            self._doors[key] = self._new_door(place, route.way)
        return self._doors[key]

    def _new_door(self, place: Place, way: Way) -> Door:
        if way is Way.KERNEL:
            sender = self._stacks[place.machine.name].sender
            return Door(place=place, tap=None, socket=sender)
        tap = place.wire if way is Way.WIRE and isinstance(place, Node) else place.tap
        return Door(place=place, tap=tap, socket=tap.socket)

    def _paths(self, route: Route) -> Iterator[Path]:
        zone, party = route.destination.zone, route.party
        if route.leads_nowhere:
            return
        if route.stays_home:
            ip = party.host_ip if isinstance(party, HostSubnet) else party.ip
            yield self._echo(party, ip, goal="its own kernel", hearer=party)
        elif isinstance(party, Pod):
            yield from self._from_pod(party, route)
        elif isinstance(party, HostSubnet) and (
            zone is Zone.PODS or (party.is_node and zone is Zone.SERVICES)
        ):
            yield from self._into_pods_network(party, route.destination.host)
        elif route.way is Way.KERNEL or not self._is_on_underlay(route):
            yield self._over_the_wire(route)
        else:
            yield from self._on_the_wire(party)

    def _from_pod(self, pod: Pod, route: Route) -> Iterator[Path]:
        hosts = [route.node]
        if route.destination.zone is Zone.PODS:
            hosts.insert(0, route.destination.host)
        elif route.has_many_ends:
            hosts += self._cluster.host_subnets
        for number, host in enumerate(hosts):
            if host is not None and host not in hosts[:number]:
                yield self._question(pod, host)

    def _into_pods_network(
        self, sender: HostSubnet, goal: HostSubnet | None
    ) -> Iterator[Path]:
        """From tun0, or through a ghost's tunnel; of itself a node cannot ask."""
        if goal is not None and goal != sender:
            yield self._question(sender, goal)
            return
        for pod in self._cluster.pods_on(sender):
            tap = self._directory.place(pod).tap
            yield self._path(sender, "its own bridge", pod.ip, Transport.ARP, tap)
            return
        for peer in self._cluster.nodes:
            if peer != sender:
                yield self._question(sender, peer)
                return

    def _question(self, sender: Party, host: HostSubnet) -> Path:
        known = self._found.get((id(sender), host.name))
        if known is not None:
            return known
        tap = self._directory.place(host).tap
        return self._path(sender, host.name, host.gateway, Transport.ARP, tap)

    def _over_the_wire(self, route: Route) -> Path:
        """From a kernel: to the node it is for, or to one that may have to do with it.

        A node itself asks the gateway, whose echo comes back.
        """
        host, party = route.destination.host, route.party
        if host is not None and host.is_node:
            return self._echo(party, host.host_ip, goal=_kernel_of(host), hearer=host)
        if route.node is not None:
            gateway = self._cluster.underlay.gateway
            return self._echo(party, gateway, goal="the gateway and back", hearer=party)
        first = self._cluster.nodes[0]
        return self._echo(party, first.host_ip, goal=_kernel_of(first), hearer=first)

    def _echo(
        self, sender: Party, ip: IPv4Address, *, goal: str, hearer: Party
    ) -> Path:
        stack = self._stacks[self._directory.place(hearer).machine.name]
        tap = stack.taps[Transport.ICMP]
        return self._path(sender, goal, ip, Transport.ICMP, tap)

    def _is_on_underlay(self, route: Route) -> bool:
        return self._directory.place(route.party).ip in self._cluster.underlay.subnet

    def _on_the_wire(self, sender: Party) -> Iterator[Path]:
        """By ARP for a node on the same wire."""
        for node in self._cluster.nodes:
            if node != sender:
                wire = self._directory.node(node).wire
                goal = f"the wire of {node.name}"
                yield self._path(sender, goal, node.host_ip, Transport.ARP, wire)
                return

    def _path(
        self,
        sender: Party,
        goal: str,
        ip: IPv4Address,
        transport: Transport,
        hearer: Tap,
    ) -> Path:
        """The way to a goal, proven by an echo of an address, or by ARP for it."""
        key = id(sender), goal
        if key not in self._found:
            is_arp = transport is Transport.ARP
            route = self._builder.router.route(sender, ip, is_arp=is_arp)
            door = self._door(route)
            self._found[key] = Path(
                name=f"from {door.place} to {goal}",
                door=door,
                control=lambda number: self._builder.packet(
                    route,
                    transport,
                    number=number,
                    port=number & 0xFFFF,
                    dport=0,
                ),
                hearer=hearer,
            )
        return self._found[key]


def _kernel_of(node: HostSubnet) -> str:
    return f"the kernel of {node.name}"
