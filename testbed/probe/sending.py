"""The packets that most scenarios send, on their way."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from scapy.layers.inet import ICMP

from testbed.probe.packets import (
    DISCARD,
    EPHEMERAL,
    ip_between,
    syn_between,
    udp_between,
)

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from testbed.probe.live import LiveCluster
    from testbed.probe.places import Place
    from testbed.probe.sent import Sent


def send_udp(
    cluster: LiveCluster,
    sender: Place,
    receiver: Place | IPv4Address,
    dport: int = DISCARD,
    *,
    sport: int = EPHEMERAL,
) -> Sent:
    """Send a UDP packet from one place to another, or to a bare address."""
    return cluster.send(sender, udp_between(sender, receiver, dport, sport=sport))


def send_syn(
    cluster: LiveCluster,
    sender: Place,
    receiver: Place | IPv4Address,
    dport: int,
    *,
    sport: int = EPHEMERAL,
) -> Sent:
    """Send the first packet of a TCP connection."""
    return cluster.send(sender, syn_between(sender, receiver, dport, sport=sport))


def send_ping(
    cluster: LiveCluster, sender: Place, receiver: Place | IPv4Address
) -> Sent:
    """Send an echo request that no conntrack has seen yet.

    A connection that a node knows keeps the address that it once left with.
    """
    ping = ICMP(id=secrets.randbelow(1 << 16))
    return cluster.send(sender, ip_between(sender, receiver) / ping)
