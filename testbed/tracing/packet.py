"""A packet as a trace follows it: the fields that flows and iptables look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.model import Transport

if TYPE_CHECKING:
    from ipaddress import IPv4Address

_BROADCAST = "ff:ff:ff:ff:ff:ff"
_ECHO_REPLY, _ECHO_REQUEST = 0, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """What a flow can see of a packet, but for where it comes from.

    ARP asks who has the destination.

    Attributes:
        sender_mac: the Ethernet source; in ARP also the MAC given for the source.
        receiver_mac: the Ethernet destination, where anybody looks at it.
        is_reply: it belongs to a conversation that its destination began.
    """

    source: IPv4Address
    destination: IPv4Address
    transport: Transport
    sport: int | None = None
    dport: int | None = None
    sender_mac: str | None = None
    receiver_mac: str | None = None
    is_reply: bool = False

    def __str__(self) -> str:
        """The packet in the text of ovs-fields(7), without ``in_port``."""
        if self.transport is Transport.ARP:
            asks = f"arp,arp_op=1,arp_spa={self.source},arp_tpa={self.destination}"
            mac = f",dl_src={self.sender_mac},arp_sha={self.sender_mac}"
            return f"{asks},dl_dst={_BROADCAST}{mac if self.sender_mac else ''}"
        text = f"{self.transport},nw_src={self.source},nw_dst={self.destination}"
        if self.sender_mac:
            text += f",dl_src={self.sender_mac}"
        if self.receiver_mac:
            text += f",dl_dst={self.receiver_mac}"
        if self.transport is Transport.ICMP:
            kind = _ECHO_REPLY if self.is_reply else _ECHO_REQUEST
            return f"{text},icmp_type={kind},icmp_code=0"
        if self.sport is not None:
            text += f",{self.transport}_src={self.sport}"
        if self.dport is not None:
            text += f",{self.transport}_dst={self.dport}"
        return text
