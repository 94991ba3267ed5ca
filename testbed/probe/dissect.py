"""Frames read fast, for those who look at all of them.

Scapy takes 0.3 ms for a frame; a scenario over TCP makes thousands. What is told of a
frame in stories, captures and reports is in its first headers, at fixed places.

Source: RFC 826, 791, 768, 9293, 792, 7348 (VXLAN)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

VXLAN_PORT = 4789

_ARP, _IPV4 = 0x0806, 0x0800
_ICMP, _TCP, _UDP, _SCTP = 1, 6, 17, 132
_NAMES = {_ICMP: "ICMP", _TCP: "TCP", _UDP: "UDP", _SCTP: "SCTP"}
_TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
_UNREACHABLE = 3
_ICMP_TYPES = {
    0: "echo reply",
    _UNREACHABLE: "unreachable",
    8: "echo request",
    11: "time exceeded",
}
_UNREACHABLE_CODES = {0: "network", 1: "host", 3: "port", 4: "fragmentation needed"}
_VXLAN_HAS_VNID = 0x08
_LENGTH = 14
"""Bytes of an Ethernet header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """The VXLAN header around a frame, and who sent it to whom."""

    source: str
    destination: str
    vnid: int

    def __str__(self) -> str:
        return f"VXLAN {self.source} > {self.destination} VNID {self.vnid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What a frame's headers say; behind VXLAN, the inner frame's.

    ``source`` and ``destination`` are addresses; ports are ``None`` where the protocol
    has none, or the packet is a later fragment. ``info`` is what else is told of it.
    ``identity`` is the same at all places the packet passes, whatever rewrites its MACs
    and addresses, or carries it.
    """

    source_mac: str
    destination_mac: str
    protocol: str
    source: str = ""
    destination: str = ""
    sport: int | None = None
    dport: int | None = None
    ttl: int | None = None
    info: str = ""
    identity: bytes
    tunnel: Tunnel | None = None

    @property
    def is_arp(self) -> bool:
        """Whether it is ARP, tunnelled or not."""
        return self.protocol == "ARP"

    @property
    def source_end(self) -> str:
        """The source's address, and port if there is one."""
        return _end(self.source, self.sport)

    @property
    def destination_end(self) -> str:
        """The destination's address, and port if there is one."""
        return _end(self.destination, self.dport)

    def __str__(self) -> str:
        """The frame in a line."""
        carried = f"{self.tunnel}: " if self.tunnel else ""
        if self.is_arp or not self.source:
            return f"{carried}{self.protocol} {self.info}".rstrip()
        ends = f"{self.source_end} > {self.destination_end}"
        return f"{carried}{self.protocol} {ends} {self.info}".rstrip()


def read_frame(frame: bytes, *, vxlan_port: int = VXLAN_PORT) -> Frame:
    """Read a frame from its Ethernet header on; what is cut off is not told.

    Args:
        frame: the bytes.
        vxlan_port: the UDP port whose datagrams are tunnelled frames.
    """
    try:
        return _read(frame, vxlan_port)
    except (struct.error, IndexError, ValueError):
        return _other(frame, "truncated frame", f"of {len(frame)} bytes")


def changes(before: Frame, after: Frame) -> list[str]:
    """What became of a packet between two places, a few words for each change."""
    told = []
    if before.tunnel != after.tunnel:
        told.append(f"into {after.tunnel}" if after.tunnel else "out of VXLAN")
    for what, old, new in (
        ("source", before.source_end, after.source_end),
        ("destination", before.destination_end, after.destination_end),
        ("TTL", before.ttl, after.ttl),
        ("source MAC", before.source_mac, after.source_mac),
        ("destination MAC", before.destination_mac, after.destination_mac),
    ):
        if old != new:
            told.append(f"{what} {old} → {new}")
    return told


def _end(address: str, port: int | None) -> str:
    return address if port is None else f"{address}:{port}"


def _read(frame: bytes, vxlan_port: int) -> Frame:
    (ethertype,) = struct.unpack_from("!H", frame, 12)
    if ethertype == _ARP:
        return _arp(frame)
    if ethertype != _IPV4:
        return _other(frame, f"ethertype {ethertype:#06x}")
    words = (frame[_LENGTH] & 15) * 4
    length, ident, fragment = struct.unpack_from("!HHH", frame, _LENGTH + 2)
    ttl, protocol = struct.unpack_from("!BB", frame, _LENGTH + 8)
    body = frame[_LENGTH + words : _LENGTH + length]
    offset = (fragment & 0x1FFF) * 8
    read = replace(
        _other(frame, _NAMES.get(protocol, f"IP protocol {protocol}")),
        source=str(IPv4Address(frame[_LENGTH + 12 : _LENGTH + 16])),
        destination=str(IPv4Address(frame[_LENGTH + 16 : _LENGTH + 20])),
        ttl=ttl,
    )
    start = struct.pack("!HHHB", ident, length, fragment, protocol)
    if offset:
        info = f"fragment at {offset}"
        return replace(read, info=info, identity=start + body)
    if protocol == _UDP and _is_vxlan(body, vxlan_port):
        tunnel = Tunnel(
            source=read.source,
            destination=read.destination,
            vnid=int.from_bytes(body[12:15], "big"),
        )
        return replace(read_frame(body[16:], vxlan_port=vxlan_port), tunnel=tunnel)
    more = "first fragment" if fragment & 0x2000 else ""
    return _transport(read, protocol, body, start, more)


def _is_vxlan(datagram: bytes, port: int) -> bool:
    return (
        len(datagram) >= 16 + _LENGTH
        and struct.unpack_from("!H", datagram, 2)[0] == port
        and bool(datagram[8] & _VXLAN_HAS_VNID)
    )


def _transport(
    read: Frame, protocol: int, body: bytes, start: bytes, info: str
) -> Frame:
    """Ports and flags; what NAT rewrites is left out of the identity."""
    if protocol == _ICMP:
        kind, code = struct.unpack_from("!BB", body)
        name = _ICMP_TYPES.get(kind, f"type {kind}")
        if kind == _UNREACHABLE:
            name = f"{_UNREACHABLE_CODES.get(code, f'code {code}')} {name}"
        identity = start + body[:2] + body[6:]
        return replace(read, info=f"{name} {info}".rstrip(), identity=identity)
    if protocol not in (_TCP, _UDP, _SCTP):
        return replace(read, info=info, identity=start + body)
    sport, dport = struct.unpack_from("!HH", body)
    rest = body[8:]
    if protocol == _TCP:
        flags = [name for bit, name in enumerate(_TCP_FLAGS) if body[13] & 1 << bit]
        info = f"{' '.join(flags)} {info}".rstrip()
        rest = body[4:16] + body[20:]
    elif protocol == _SCTP:
        rest = body[4:8] + body[12:]
    return replace(read, sport=sport, dport=dport, info=info, identity=start + rest)


def _arp(frame: bytes) -> Frame:
    arp = frame[_LENGTH : _LENGTH + 28]
    operation, sender, source, _, target = struct.unpack("!6xH6s4s6s4s", arp)
    asked, asks = IPv4Address(target), IPv4Address(source)
    info = (
        f"who has {asked}, says {asks}"
        if operation == 1
        else f"{asks} is at {sender.hex(':')}"
    )
    read = _other(frame, "ARP", info)
    return replace(read, source=str(asks), destination=str(asked), identity=arp)


def _other(frame: bytes, protocol: str, info: str = "") -> Frame:
    return Frame(
        source_mac=frame[6:12].hex(":"),
        destination_mac=frame[:6].hex(":"),
        protocol=protocol,
        info=info,
        identity=frame[12:],
    )
