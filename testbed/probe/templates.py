"""Probes as bytes: built once by scapy, then patched by ``struct``.

scapy takes half a millisecond for a packet, patching 3 µs. Whatever a probe carries, it
ends with its nonce: the batch's twelve random bytes and four that count. VXLAN, routing
and NAT leave them where they are, an echo brings them back, and an ICMP error quotes
them. TCP's first packet carries them as data, SCTP's in a padding parameter (RFC 4820),
an ARP request behind its end.

Checksums are one's complement sums (RFC 1071), so that a template's own sum is taken
once, and what is patched in is added; SCTP's is a CRC32c of the whole.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.sctp import SCTP, SCTPChunkInit, crc32c
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from testbed.model import Transport

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from scapy.packet import Packet

BATCH_SIZE = 12
NONCE_SIZE = 16
"""Bytes of a nonce: the batch's part, and the number of the probe."""

ETHERNET_SIZE = 14
BROADCAST = b"\xff" * 6

_NO_MAC = "00:00:00:00:00:00"
_ZERO = "0.0.0.0"  # noqa: S104 - an address to be patched
_L4 = ETHERNET_SIZE + 20
_VXLAN_SPORT = 49152
_PAD_PARAMETER = 0x8005

_ARP = struct.Struct("!6s6s10s6sI6xI12sI")
_PORTS = struct.Struct("!HH")
_NUMBER = struct.Struct("!I")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Template:
    """A frame cut where it is patched: what stays, between what does not.

    Attributes:
        frame: packs the whole: MAC and IP addresses, checksums, ports and number, and
            between them ``start`` (Ethernet's type and the beginning of IP), ``middle``
            (up to or between ports and checksum) and ``end``.
        header_sum: the sum of the IP header.
        segment_sum: that of what the transport's checksum covers.
    """

    frame: struct.Struct
    start: bytes
    middle: bytes
    end: bytes
    header_sum: int
    segment_sum: int


class Templates:
    """The probes of one batch.

    Args:
        batch: twelve bytes by which they are all known.
    """

    def __init__(self, batch: bytes) -> None:
        self.batch = batch
        self._nonce = batch + bytes(NONCE_SIZE - BATCH_SIZE)
        self._templates: dict[Transport, _Template] = {}
        asks = ARP(op="who-has", hwsrc=_NO_MAC, psrc=_ZERO, pdst=_ZERO)
        self._asks = bytes(Ether(src=_NO_MAC, dst=_NO_MAC) / asks)[12:22]

    def ip(  # noqa: PLR0913 - as many as a packet has
        self,
        transport: Transport,
        *,
        macs: tuple[bytes, bytes],
        source: int,
        destination: int,
        port: int,
        dport: int,
        number: int,
    ) -> bytes:
        """An Ethernet frame with an IP packet that begins a conversation.

        ICMP asks for an echo; TCP and SCTP ask to connect.

        Args:
            transport: any but ARP.
            macs: the MAC addresses it is from and for.
            source: the IP address it is from, as a number.
            destination: the IP address it is for, as a number.
            port: the source port, or ICMP's identifier.
            dport: the destination port; ICMP has none.
            number: which one of the batch it is.
        """
        template = self._templates.get(transport)
        if template is None:
            template = self._templates[transport] = self._template(transport)
        addresses = (source >> 16) + (source & 0xFFFF)
        addresses += (destination >> 16) + (destination & 0xFFFF)
        header = (
            *(macs[1], macs[0], template.start),
            *(_folded(template.header_sum + addresses), source, destination),
        )
        total = template.segment_sum + port + (number >> 16) + (number & 0xFFFF)
        middle, end = template.middle, template.end
        if transport is Transport.ICMP:  # whose checksum covers no addresses
            checksum = _folded(total)
            return template.frame.pack(*header, middle, checksum, port, 0, end, number)
        checksum = _folded(total + addresses + dport)
        if transport is Transport.UDP:
            checksum = checksum or 0xFFFF  # zero would say that there is none
        elif transport is Transport.SCTP:
            zero = template.frame.pack(*header, port, dport, middle, 0, end, number)
            checksum = _crc32c(zero[_L4:])
        return template.frame.pack(*header, port, dport, middle, checksum, end, number)

    def arp(self, *, mac: bytes, source: int, wanted: int, number: int) -> bytes:
        """A broadcast question for the MAC address that an IP address has."""
        return _ARP.pack(
            *(BROADCAST, mac, self._asks, mac),
            *(source, wanted, self.batch, number),
        )

    def _template(self, transport: Transport) -> _Template:
        segment, checksum_at = _segment(transport, self._nonce)
        ethernet = Ether(src=_NO_MAC, dst=_NO_MAC)
        frame = bytes(ethernet / IP(src=_ZERO, dst=_ZERO, chksum=0) / segment)
        data = frame[_L4:]
        is_icmp = transport is Transport.ICMP
        size = 4 if transport is Transport.SCTP else 2
        if is_icmp:
            middle, end = data[:checksum_at], data[checksum_at + size + 4 : -4]
            fields = f"{len(middle)}sHHH"
        else:
            middle, end = data[4:checksum_at], data[checksum_at + size : -4]
            fields = f"HH{len(middle)}s{'H' if size == 2 else 'I'}"
        pseudo_header = 0 if is_icmp else frame[ETHERNET_SIZE + 9] + len(data)
        return _Template(
            frame=struct.Struct(f"!6s6s12sHII{fields}{len(end)}sI"),
            start=frame[12:24],
            middle=middle,
            end=end,
            header_sum=_sum(frame[ETHERNET_SIZE:_L4]),
            segment_sum=_sum(data) + pseudo_header,
        )


def tunnelled(  # noqa: PLR0913 - as many as a tunnel has
    frame: bytes,
    *,
    macs: tuple[bytes, bytes],
    source: IPv4Address,
    destination: IPv4Address,
    port: int,
    vnid: int,
) -> bytes:
    """A frame as a VTEP sends it to another, by VXLAN; ``port`` is where that is.

    Built by scapy each time: only ghosts tunnel by themselves.
    """
    outer: Packet = (
        Ether(src=macs[0].hex(":"), dst=macs[1].hex(":"))
        / IP(src=str(source), dst=str(destination))
        / UDP(sport=_VXLAN_SPORT, dport=port, chksum=0)
        / VXLAN(vni=vnid, flags="Instance")
        / Raw(frame)
    )
    return bytes(outer)


def _segment(transport: Transport, nonce: bytes) -> tuple[Packet, int]:
    """What is behind IP's header, and where in it the checksum is."""
    match transport:
        case Transport.ICMP:
            return ICMP(type="echo-request", chksum=0) / Raw(nonce), 2
        case Transport.UDP:
            return UDP(sport=0, dport=0, chksum=0) / Raw(nonce), 6
        case Transport.TCP:
            return TCP(sport=0, dport=0, flags="S", chksum=0) / Raw(nonce), 16
        case Transport.SCTP:
            padding = _PORTS.pack(_PAD_PARAMETER, 4 + NONCE_SIZE) + nonce
            chunk = SCTPChunkInit(
                init_tag=1,
                a_rwnd=1 << 16,
                n_out_streams=1,
                n_in_streams=1,
                init_tsn=1,
                params=[Raw(padding)],
            )
            return SCTP(sport=0, dport=0, chksum=0) / chunk, 8
        case Transport.ARP:
            raise ValueError("ARP is not carried by IP")


def _crc32c(data: bytes) -> int:
    return int(crc32c(data))  # type: ignore[no-untyped-call]


def _sum(data: bytes) -> int:
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


def _folded(total: int) -> int:
    """A sum as the checksum that makes it zero."""
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
