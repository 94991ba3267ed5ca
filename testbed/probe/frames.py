"""From a question to the bytes that its sender hands over, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from testbed.model import Transport
from testbed.probe.routes import Router, Way
from testbed.probe.templates import ETHERNET_SIZE, Templates, tunnelled
from testbed.probe.whereabouts import wire_mac

if TYPE_CHECKING:
    from testbed.model import Cluster, Traffic
    from testbed.probe.routes import GhostTunnel, Route


_FIRST_PORT, PORTS = 1024, 64_499
"""Where source ports begin, and how many there are: a prime number."""


class Launch(NamedTuple):
    """A packet, and how it sets out: a tuple, because there are thousands.

    There are no ``data`` where a route leads nowhere.
    """

    route: Route
    data: bytes


class FrameBuilder:
    """Builds the probes of one batch, and the controls that follow them.

    Args:
        cluster: whose parties send them.
        batch: twelve bytes by which they are all known.
    """

    def __init__(self, cluster: Cluster, batch: bytes) -> None:
        self.router = Router(cluster)
        self.templates = Templates(batch)
        self._vxlan_port = cluster.network.vxlan_port

    def route(self, traffic: Traffic) -> Route:
        """How the packet of a question sets out."""
        return self.router.route(
            traffic.sender,
            traffic.destination,
            is_arp=traffic.transport is Transport.ARP,
        )

    def packet(
        self, route: Route, transport: Transport, *, number: int, port: int, dport: int
    ) -> Launch:
        """A packet that takes a route, as its sender hands it over.

        Args:
            route: the route.
            transport: what it carries.
            number: which one of the batch it is.
            port: its source port, or ICMP's identifier.
            dport: its destination port; ICMP and ARP have none.
        """
        if route.leads_nowhere:
            return Launch(route, b"")
        if transport is Transport.ARP:
            frame = self.templates.arp(
                mac=route.macs[0],
                source=route.source,
                wanted=route.destination.number,
                number=number,
            )
        else:
            frame = self.templates.ip(
                transport,
                macs=route.macs,
                source=route.source,
                destination=route.destination.number,
                port=port,
                dport=dport,
                number=number,
            )
        if route.way is Way.KERNEL:
            return Launch(route, frame[ETHERNET_SIZE:])
        if route.tunnel is not None:
            return Launch(route, self._through(route.tunnel, frame))
        return Launch(route, frame)

    def _through(self, tunnel: GhostTunnel, frame: bytes) -> bytes:
        ghost, peer = tunnel.ghost.host_ip, tunnel.peer.host_ip
        return tunnelled(
            frame,
            macs=(wire_mac(ghost), wire_mac(peer)),
            source=ghost,
            destination=peer,
            port=self._vxlan_port,
            vnid=tunnel.ghost.fixed_vnid or 0,
        )


def source_ports(first: int, count: int) -> list[int]:
    """Source ports for so many packets, of which the first is the first-th ever sent.

    No two of up to ``PORTS`` packets have the same. Batches of one size, sent again and
    again, come back to the same port for the same packet only after as many batches:
    conntrack remembers those that went before.
    """
    return [_FIRST_PORT + number % PORTS for number in range(first, first + count)]
