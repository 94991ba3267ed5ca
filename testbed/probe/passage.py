"""A frame that passes a tap, and its headers, read when somebody looks."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from testbed.model import Transport
from testbed.probe.dissect import read_frame
from testbed.probe.recorder import Sighting

if TYPE_CHECKING:
    from testbed.probe.dissect import Frame, Tunnel

ETHERTYPE_IP, ETHERTYPE_ARP = b"\x08\x00", b"\x08\x06"
ICMP, UDP = 1, 17
"""What IP's header calls them."""

_ETHERNET_SIZE = 14
_VXLAN_FLAGS = b"\x08\x00\x00\x00"
"""Only the bit that says there is a VNID. Source: RFC 7348."""


class Passage(Sighting):
    """One frame of a probe at one tap; what it says is read anew each time.

    Inside a tunnel, addresses and ports are the inner frame's. ARP has the asker's
    address for its source and that which is asked for for its destination.
    """

    __slots__ = ()

    @property
    def time(self) -> float:
        """Seconds since the epoch, by the kernel's clock."""
        return self.nanoseconds / 1e9

    @property
    def headers(self) -> Frame:
        """What the frame says of itself."""
        return read_frame(self.frame, vxlan_port=_vxlan_port(self.frame))

    @property
    def source(self) -> IPv4Address | None:
        """The source address."""
        source = self.headers.source
        return IPv4Address(source) if source else None

    @property
    def destination(self) -> IPv4Address | None:
        """The destination address."""
        destination = self.headers.destination
        return IPv4Address(destination) if destination else None

    @property
    def transport(self) -> Transport | None:
        """What it carries; ``None`` for what no probe does."""
        protocol = self.headers.protocol.lower()
        return Transport(protocol) if protocol in set(Transport) else None

    @property
    def sport(self) -> int | None:
        """The source port, where it has one."""
        return self.headers.sport

    @property
    def dport(self) -> int | None:
        """The destination port, where it has one."""
        return self.headers.dport

    @property
    def tunnel(self) -> Tunnel | None:
        """The outer header, where there is one: source, destination and VNID."""
        return self.headers.tunnel

    @property
    def vnid(self) -> int | None:
        """The VNID in the outer header, where there is one."""
        return self.tunnel.vnid if self.tunnel else None

    def __str__(self) -> str:
        """``oc-01.test uplink0 sends VXLAN …: UDP 10.128.0.2:4000 > 10.129.0.2:53``."""
        return f"{self.tap} {'sends' if self.sent else 'receives'} {self.headers}"


def tunnelled_frame(frame: bytes) -> bytes:
    """The frame that VXLAN carries, whatever its port; empty where there is none.

    A nonce is no such header, unless four of its random bytes are, and one more.
    """
    at = segment_at(frame)
    is_vxlan = (
        frame[12:_ETHERNET_SIZE] == ETHERTYPE_IP
        and frame[23] == UDP
        and frame[at + 8 : at + 12] == _VXLAN_FLAGS
        and frame[at + 15 : at + 16] == b"\x00"
    )
    return frame[at + 16 :] if is_vxlan else b""


def segment_at(frame: bytes) -> int:
    """Where the payload of a frame's IP header begins."""
    return _ETHERNET_SIZE + (frame[_ETHERNET_SIZE] & 0x0F) * 4


def _vxlan_port(frame: bytes) -> int:
    """The port that tunnels have here, as far as one frame tells; else none."""
    at = segment_at(frame)
    return (
        int.from_bytes(frame[at + 2 : at + 4], "big") if tunnelled_frame(frame) else 0
    )
