"""How packets set out, by who sends them and where to.

==============  ======================================================================
a pod           an Ethernet frame at its eth0, as its kernel would send it
a node          an IP packet to its kernel, whose OUTPUT chains and routes hold for it
a pod on the    as its node
host network
external, rogue an IP packet to its kernel
a ghost         to pods, a VXLAN packet to the node whose subnet it is; else as external
==============  ======================================================================

ARP is a frame wherever it comes from: a node asks at tun0 for what its routes lead to
there, and on the wire for all else. What a machine sends to itself stays in its kernel,
whoever it is.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.model import HostSubnet, Pod
from testbed.probe.templates import BROADCAST
from testbed.probe.whereabouts import Whereabouts, Zone, mac_bytes, wire_mac

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from testbed.model import Cluster, Party, UnderlayHost
    from testbed.probe.whereabouts import Destination


class Way(enum.Enum):
    """Where a packet is handed over at its sender.

    ``ETH0``, ``TUN0`` and ``WIRE`` take an Ethernet frame; ``WIRE`` is a node's
    interface on the underlay. ``KERNEL`` takes an IP packet.
    """

    ETH0 = enum.auto()
    TUN0 = enum.auto()
    WIRE = enum.auto()
    KERNEL = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class GhostTunnel:
    """What a ghost tunnels with its own VNID, and to whom."""

    ghost: HostSubnet
    peer: HostSubnet


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route:
    """How one sender's packets for one address set out; only ever the same as itself.

    Attributes:
        party: who really sends: a pod of its own network, a node, a ghost or a machine
            outside.
        node: a pod's node, or the node itself.
        destination: where to.
        way: where they are handed over.
        source: the IP address they are from, as a number.
        macs: the MAC addresses they are from and for.
        tunnel: the tunnel that a ghost puts them in.
        leads_nowhere: whether a ghost would tunnel them and has no peer to.
        stays_home: whether the sender has the address itself.
        is_arp: whether they ask about the address, not for it.
        is_switched: whether bridges alone decide about them, and no kernel.
    """

    party: Party
    node: HostSubnet | None
    destination: Destination
    way: Way
    source: int
    macs: tuple[bytes, bytes]
    tunnel: GhostTunnel | None = None
    leads_nowhere: bool = False
    stays_home: bool = False
    is_arp: bool = False
    is_switched: bool = False

    @property
    def has_many_ends(self) -> bool:
        """Whether several may receive what goes there."""
        return self.destination.zone is Zone.MULTICAST

    @property
    def meets_kernels(self) -> bool:
        """Whether a node's kernel may take what goes there, or pass it on."""
        return not self.is_switched and self.way is not Way.TUN0


class Router:
    """Finds the routes of a cluster's packets, each once."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.whereabouts = Whereabouts(cluster)
        self._routes: dict[tuple[int, int, bool], tuple[Party, Route]] = {}
        self._destinations: dict[int, Destination] = {}
        self._pods: dict[int, tuple[HostSubnet, bytes, bytes]] = {}

    def route(self, sender: Party, ip: IPv4Address, *, is_arp: bool = False) -> Route:
        """How what a party sends to an address, or asks about it, sets out."""
        # By identity: parties may hold mappings, and so have no hash.
        key = id(sender), int(ip), is_arp
        known = self._routes.get(key)
        if known is None:
            route = self._route(sender, ip, is_arp=is_arp)
            known = self._routes[key] = sender, route
        return known[1]

    def _route(self, sender: Party, ip: IPv4Address, *, is_arp: bool) -> Route:
        destination = self._destination(ip)
        if isinstance(sender, Pod):
            if sender.host_network:
                node = self.cluster.node(sender.node)
                return self.route(node, ip, is_arp=is_arp)
            return self._from_pod(sender, destination, is_arp=is_arp)
        if not isinstance(sender, HostSubnet):
            return _onto_wire(sender, sender.ip, destination, is_arp=is_arp)
        if sender.is_node:
            return self._from_node(sender, destination, is_arp=is_arp)
        return self._from_ghost(sender, destination, is_arp=is_arp)

    def _destination(self, ip: IPv4Address) -> Destination:
        known = self._destinations.get(int(ip))
        if known is None:
            known = self._destinations[int(ip)] = self.whereabouts.of(ip)
        return known

    def _from_pod(self, pod: Pod, destination: Destination, *, is_arp: bool) -> Route:
        node, mac, gateway_mac = self._pods.get(id(pod)) or self._know(pod)
        stays_home = not is_arp and _is_own(destination, pod.ip)
        return Route(
            party=pod,
            node=node,
            destination=destination,
            way=Way.KERNEL if stays_home else Way.ETH0,
            source=_source(destination, pod.ip),
            # br0 switches by IP address and never looks at those of its gateway.
            macs=(mac, destination.mac or gateway_mac),
            stays_home=stays_home,
            is_arp=is_arp,
            is_switched=not stays_home and destination.is_switched(is_arp=is_arp),
        )

    def _know(self, pod: Pod) -> tuple[HostSubnet, bytes, bytes]:
        """A pod's node, its own MAC and its gateway's."""
        node = self.cluster.node(pod.node)
        known = node, mac_bytes(pod.mac), mac_bytes(node.tun0_mac)
        self._pods[id(pod)] = known
        return known

    def _from_node(
        self, node: HostSubnet, destination: Destination, *, is_arp: bool
    ) -> Route:
        """From tun0's address into the cluster, else from its own."""
        is_inside = destination.zone in (Zone.PODS, Zone.SERVICES)
        stays_home = self.whereabouts.belongs_to(destination.ip, node)
        if stays_home and not is_arp:
            source = destination.number
        else:
            source = int(node.gateway if is_inside else node.host_ip)
        way = Way.KERNEL
        if is_arp:
            way = Way.TUN0 if is_inside else Way.WIRE
        mac = mac_bytes(node.tun0_mac) if is_inside else wire_mac(node.host_ip)
        return Route(
            party=node,
            node=node,
            destination=destination,
            way=way,
            source=source,
            macs=(mac, destination.mac or BROADCAST),
            stays_home=stays_home and not is_arp,
            is_arp=is_arp,
        )

    def _from_ghost(
        self, ghost: HostSubnet, destination: Destination, *, is_arp: bool
    ) -> Route:
        if destination.zone is not Zone.PODS:
            return _onto_wire(ghost, ghost.host_ip, destination, is_arp=is_arp)
        peer = destination.host
        if peer is not None and peer.host_ip == ghost.host_ip:
            peer = None
        return Route(
            party=ghost,
            node=None,
            destination=destination,
            way=Way.ETH0,
            source=int(ghost.gateway),
            macs=(mac_bytes(ghost.tun0_mac), destination.mac or BROADCAST),
            tunnel=GhostTunnel(ghost=ghost, peer=peer) if peer else None,
            leads_nowhere=peer is None,
            is_arp=is_arp,
            is_switched=destination.is_switched(is_arp=is_arp),
        )


def _is_own(destination: Destination, ip: IPv4Address) -> bool:
    return destination.zone is Zone.LOOPBACK or destination.ip == ip


def _onto_wire(
    party: HostSubnet | UnderlayHost,
    ip: IPv4Address,
    destination: Destination,
    *,
    is_arp: bool,
) -> Route:
    """From a machine with one interface, which its kernel sends from."""
    return Route(
        party=party,
        node=None,
        destination=destination,
        way=Way.ETH0 if is_arp else Way.KERNEL,
        source=_source(destination, ip),
        macs=(wire_mac(ip), BROADCAST),
        stays_home=_is_own(destination, ip),
        is_arp=is_arp,
    )


def _source(destination: Destination, ip: IPv4Address) -> int:
    """A machine's address; to its loopback interface it sends from there."""
    return destination.number if destination.zone is Zone.LOOPBACK else int(ip)
