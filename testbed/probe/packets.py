"""Packets between places, as a scenario author says them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from testbed.host.names import underlay_mac
from testbed.probe.places import Node, Pod

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from scapy.packet import Packet

    from testbed.probe.places import Place

BROADCAST = "ff:ff:ff:ff:ff:ff"
DISCARD, EPHEMERAL = 9, 40009
"""Ports that mean nothing to anybody."""


def next_hop_mac(sender: Place, receiver: Place | IPv4Address) -> str:
    """The MAC a sender's ARP would find for a receiver.

    Pods resolve each other over the whole cluster; all else they reach through their
    node's tun0. br0 itself switches by IP address and never looks.
    """
    if isinstance(receiver, Pod | Node):
        return receiver.mac
    if isinstance(sender, Pod):
        return sender.node.mac
    return BROADCAST


def ip_between(sender: Place, receiver: Place | IPv4Address) -> Packet:
    """Ethernet and IP headers from one place to another, or to a bare address.

    From a node the source is tun0's address, as its kernel would choose.
    """
    source = sender.gateway if isinstance(sender, Node) else sender.ip
    destination = getattr(receiver, "ip", receiver)
    return Ether(src=sender.mac, dst=next_hop_mac(sender, receiver)) / IP(
        src=str(source), dst=str(destination)
    )


def udp_between(
    sender: Place,
    receiver: Place | IPv4Address,
    dport: int = DISCARD,
    *,
    sport: int = EPHEMERAL,
) -> Packet:
    """A UDP packet from one place to another, or to a bare address."""
    return ip_between(sender, receiver) / UDP(sport=sport, dport=dport)


def syn_between(
    sender: Place,
    receiver: Place | IPv4Address,
    dport: int,
    *,
    sport: int = EPHEMERAL,
) -> Packet:
    """The first packet of a TCP connection."""
    return ip_between(sender, receiver) / TCP(sport=sport, dport=dport, flags="S")


def arp_request(sender: Place, wanted: IPv4Address) -> Packet:
    """A broadcast question for the MAC of an address."""
    source = sender.gateway if isinstance(sender, Node) else sender.ip
    return Ether(src=sender.mac, dst=BROADCAST) / ARP(
        op="who-has", hwsrc=sender.mac, psrc=str(source), pdst=str(wanted)
    )


def vxlan(inner: Packet, *, source: IPv4Address, node: Node, vnid: int = 0) -> Packet:
    """Wrap a frame as the VTEP at ``source`` would, for a node.

    The outer source, which decides table 10, may be forged: a rogue can send this too.
    """
    return (
        Ether(src=underlay_mac(source), dst=node.wire_mac)
        / IP(src=str(source), dst=str(node.ip))
        / UDP(sport=49152, dport=node.vxlan_port, chksum=0)
        / VXLAN(vni=vnid, flags="Instance")
        / inner
    )


def marked(packet: Packet) -> tuple[Packet, bytes]:
    """The packet with 16 random bytes at its end, by which it is known again.

    They are payload, or padding where a protocol has none: both survive VXLAN, routing
    and NAT, and an echo brings them back.
    """
    mark = uuid.uuid4().bytes
    return packet / Raw(mark), mark
