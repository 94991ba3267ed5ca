"""What a sender gets back: an answer, or word that its packet came to nothing."""

from __future__ import annotations

import collections
import enum
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.model import Transport
from testbed.probe.passage import (
    ETHERTYPE_ARP,
    ETHERTYPE_IP,
    ICMP,
    UDP,
    segment_at,
    tunnelled_frame,
)

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from testbed.model import Traffic
    from testbed.probe.passage import Passage

_TCP, _SCTP = 6, 132
_ARP, _NEITHER = -1, -2
"""In place of IP's protocols."""

_ECHO_REPLY, _UNREACHABLE, _REDIRECT, _ECHO_REQUEST, _TIME_EXCEEDED = 0, 3, 5, 8, 11
"""Types of ICMP. Source: RFC 792."""

_HOST_UNREACHABLE = _UNREACHABLE, 1

_CODES = {
    0: "net-unreachable",
    2: "protocol-unreachable",
    3: "port-unreachable",
    4: "fragmentation-needed",
    9: "net-prohibited",
    10: "host-prohibited",
    13: "admin-prohibited",
}
"""Codes of ICMP's "destination unreachable". Source: RFC 792, RFC 1812."""

_IS_AT = 2
"""ARP's operation. Source: RFC 826."""

_SYN, _RST = 0x02, 0x04
_CHUNKS = {2: "sctp init-ack", 6: "sctp abort"}
"""Types of an SCTP chunk. Source: RFC 9260."""

_PROTOCOLS = {Transport.TCP: _TCP, Transport.UDP: UDP, Transport.SCTP: _SCTP}
_PORTS = struct.Struct("!HH")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back to the sender, read when somebody looks.

    ``passage`` is how it came in.
    """

    passage: Passage

    @property
    def kind(self) -> str:
        """What it is, as ``kind_of`` says."""
        return kind_of(self.passage.frame)

    @property
    def source(self) -> IPv4Address | None:
        """Who sent it; with ARP, the address that was asked for."""
        return self.passage.source

    @property
    def is_refusal(self) -> bool:
        """Whether it says that the packet did not reach its destination."""
        protocol, segment = _innermost(self.passage.frame)
        return protocol == ICMP and segment[0] in (_UNREACHABLE, _TIME_EXCEEDED)

    def __str__(self) -> str:
        """``icmp port-unreachable from 172.16.1.15``."""
        return f"{self.kind} from {self.source}"


class Sort(enum.Enum):
    """What a frame with a probe's nonce is.

    The probe itself, an answer to it, or said aside. A redirect answers nothing, for
    the packet goes on. Nor does "host unreachable", which a kernel says three seconds
    late of a neighbour that does not answer ARP: the packet is lost, and nobody refused
    it. Source: arp(7), mcast_solicit and retrans_time_ms.
    """

    PROBE = enum.auto()
    ANSWER = enum.auto()
    ASIDE = enum.auto()


def sort_of(frame: bytes, port: int) -> Sort:
    """What a frame is that carries a probe's nonce.

    Args:
        frame: the frame.
        port: the probe's source port, which no other of its batch has.
    """
    if frame[12:14] == ETHERTYPE_ARP:
        return Sort.PROBE  # the answer to it has no nonce
    if frame[23] == UDP and (carried := tunnelled_frame(frame)):
        return sort_of(carried, port)
    at = segment_at(frame)
    if frame[23] == ICMP:
        if frame[at] == _ECHO_REQUEST:
            return Sort.PROBE
        said = frame[at], frame[at + 1]
        is_aside = said[0] == _REDIRECT or said == _HOST_UNREACHABLE
        return Sort.ASIDE if is_aside else Sort.ANSWER
    sport, dport = _PORTS.unpack_from(frame, at)
    return Sort.ANSWER if dport == port != sport else Sort.PROBE


def kind_of(frame: bytes) -> str:
    """What kind of answer a frame is.

    ``echo reply``, ``is-at``, ``tcp syn-ack``, ``tcp reset``, ``udp reply``, ``sctp
    init-ack``, ``sctp abort``, or an error such as ``icmp port-unreachable``. Empty for
    what is none of these.
    """
    protocol, segment = _innermost(frame)
    if protocol == _ARP:
        return "is-at" if segment[7] == _IS_AT else ""
    if protocol == ICMP:
        return _icmp(segment[0], segment[1])
    if protocol == _TCP:
        flags = segment[13]
        return "tcp reset" if flags & _RST else "tcp syn-ack" if flags & _SYN else ""
    if protocol == _SCTP:
        return _CHUNKS.get(segment[12], "")
    return "udp reply" if protocol == UDP else ""


class Matcher:
    """Finds the probe that an answer without a nonce is for.

    What ARP answers is known by the address that was asked for, what TCP, UDP and SCTP
    answer by the probe's source port.
    """

    def __init__(self) -> None:
        self._asked: dict[tuple[str, bytes], collections.deque[int]] = {}
        self._ports: dict[tuple[str, int, int], int] = {}

    def expect(self, number: int, traffic: Traffic, sender: str, port: int) -> None:
        """Note a probe of that number, sent by a place from a port."""
        protocol = _PROTOCOLS.get(traffic.transport)
        if protocol is not None:
            self._ports[sender, protocol, port] = number
        elif traffic.transport is Transport.ARP:
            asked = sender, traffic.destination.packed
            self._asked.setdefault(asked, collections.deque()).append(number)

    def match(self, receiver: str, frame: bytes) -> int | None:
        """The probe that a frame answers, which came in at a place."""
        protocol, segment = _innermost(frame)
        if protocol == _ARP and segment[7] == _IS_AT:
            waiting = self._asked.get((receiver, segment[14:18]))
            return waiting.popleft() if waiting else None
        if protocol not in _PROTOCOLS.values():
            return None
        port = int.from_bytes(segment[2:4], "big")
        return self._ports.get((receiver, protocol, port))


def _innermost(frame: bytes) -> tuple[int, bytes]:
    """IP's protocol and payload, behind a tunnel if there is one; or ARP."""
    if frame[12:14] == ETHERTYPE_ARP:
        return _ARP, frame[14:]
    if frame[12:14] != ETHERTYPE_IP:
        return _NEITHER, b""
    if carried := tunnelled_frame(frame):
        return _innermost(carried)
    return frame[23], frame[segment_at(frame) :]


def _icmp(kind: int, code: int) -> str:
    if kind == _UNREACHABLE:
        return f"icmp {_CODES.get(code, f'unreachable, code {code}')}"
    kinds = {_ECHO_REPLY: "echo reply", _TIME_EXCEEDED: "icmp time-exceeded"}
    return kinds.get(kind, "")
