"""Places and what is sent between them, as the question that all witnesses know."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, TypeAlias

from testbed.errors import NotFoundError
from testbed.model import Service, Traffic, Transport
from testbed.probe.places import Node, Pod

if TYPE_CHECKING:
    from testbed.model import Cluster, Party
    from testbed.probe.places import Place

Receiver: TypeAlias = "Place | IPv4Address | Service"
"""Whom a packet is for: a place, a service's cluster address, or any address."""


def traffic_between(
    cluster: Cluster,
    sender: Place,
    receiver: Receiver,
    transport: Transport,
    dport: int | None,
) -> Traffic:
    """The first packet of a conversation between two places.

    Raises:
        NotFoundError: a sender that is no part of the cluster, or a headless service.
    """
    return Traffic(
        sender=party_at(cluster, sender),
        destination=_address(receiver),
        transport=transport,
        dport=dport,
    )


def transport_of(
    *, arp: bool, udp: int | None, tcp: int | None, sctp: int | None
) -> tuple[Transport, int | None]:
    """What one of these asks for; ICMP where there is none.

    Raises:
        TypeError: two are given.
    """
    ports = {Transport.UDP: udp, Transport.TCP: tcp, Transport.SCTP: sctp}
    asked: list[tuple[Transport, int | None]] = [
        (transport, port) for transport, port in ports.items() if port is not None
    ]
    if arp:
        asked.append((Transport.ARP, None))
    if len(asked) > 1:
        raise TypeError("a packet is one of arp, icmp, udp, tcp and sctp")
    return asked[0] if asked else (Transport.ICMP, None)


def party_at(cluster: Cluster, place: Place) -> Party:
    """The object that a place is the machine of.

    Raises:
        NotFoundError: it is none of this cluster's.
    """
    if isinstance(place, Pod):
        return cluster.pod(place.name)
    if isinstance(place, Node):
        return cluster.node(place.name)
    underlay = cluster.underlay
    strangers: tuple[Party, ...] = (
        *underlay.external_hosts,
        *underlay.rogues,
        *cluster.ghosts,
    )
    for stranger in strangers:
        if stranger.name == place.name:
            return stranger
    raise NotFoundError(f"{place} is no machine of this cluster")


def _address(receiver: Receiver) -> IPv4Address:
    if isinstance(receiver, Service):
        if receiver.cluster_ip is None:
            raise NotFoundError(f"Service {receiver.key} is headless: no address")
        return receiver.cluster_ip
    return receiver if isinstance(receiver, IPv4Address) else receiver.ip
