"""A packet as a kernel sees it, and its passage through one."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from testbed.model import Transport

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from testbed.model import Outcome

_ECHO_REPLY, _ECHO_REQUEST = 0, 8
_PORTS = {Transport.TCP, Transport.UDP, Transport.SCTP}


class CtState(enum.StrEnum):
    """What connection tracking says of a packet, as ``--ctstate`` spells it."""

    NEW = "NEW"
    ESTABLISHED = "ESTABLISHED"
    RELATED = "RELATED"
    INVALID = "INVALID"
    UNTRACKED = "UNTRACKED"


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelPacket:
    """What routing and iptables look at in a packet.

    An ICMP packet that is ``NEW`` is an echo request, any other an echo reply; a TCP
    segment that is ``NEW`` has the flag SYN, one that is ``ESTABLISHED`` SYN and ACK:
    the first packet of a conversation, and the answer to it.

    Attributes:
        source: where it comes from.
        destination: whom it is for.
        transport: anything but ARP, which no rule of iptables sees.
        sport: the source port; ``None`` for one that the sender's kernel chose, from
            32768 to 60999 as Linux does unless it is told otherwise.
        dport: the port it is for; ``None`` where that is not known, or in ICMP.
        mark: the kernel's own label on it, 32 bits; 0 as it comes off a wire.
        ct_state: what connection tracking says of it.
    """

    source: IPv4Address
    destination: IPv4Address
    transport: Transport
    sport: int | None = None
    dport: int | None = None
    mark: int = 0
    ct_state: CtState = CtState.NEW

    def __post_init__(self) -> None:
        if self.transport is Transport.ARP:
            raise ValueError("iptables and routing see no ARP")

    @property
    def icmp_type(self) -> int:
        """8 asks, 0 answers."""
        return _ECHO_REQUEST if self.ct_state is CtState.NEW else _ECHO_REPLY

    @property
    def tcp_flags(self) -> frozenset[str] | None:
        """The flags of a TCP segment; ``None`` where its state does not tell."""
        match self.ct_state:
            case CtState.NEW | CtState.RELATED:
                return frozenset({"SYN"})
            case CtState.ESTABLISHED:
                return frozenset({"SYN", "ACK"})
            case _:
                return None

    def __str__(self) -> str:
        """``udp 10.128.0.2:* > 172.30.0.10:53``; a star is a port that is not known."""
        if self.transport not in _PORTS:
            return f"{self.transport} {self.source} > {self.destination}"
        sport, dport = ("*" if p is None else p for p in (self.sport, self.dport))
        return f"{self.transport} {self.source}:{sport} > {self.destination}:{dport}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleHit:
    """A rule that a packet came to, and what it did.

    Attributes:
        table: of iptables; ``routing`` for what routing decided.
        chain: the chain, or the routing table.
        rule: its text as in the ruleset; ``policy DROP`` at the end of a chain; the
            route in the words of ``ip route``; empty where the kernel decided itself.
        line: where it stands in the ruleset's text, from 1; ``None`` for routing.
        effect: what it did: ``jump to KUBE-MARK-MASQ``, ``dnat to 10.128.0.2:53``.
        matched: false for a rule that is only mentioned: one that asks for a history
            nobody knows, or of which it cannot be told whether it matches.
    """

    table: str
    chain: str
    rule: str
    line: int | None
    effect: str
    matched: bool = True

    def __str__(self) -> str:
        # A rule's own text names its chain.
        chain = "" if self.rule.startswith("-") else f" {self.chain}"
        line = "" if self.line is None else f", line {self.line}"
        place = f"{self.table}{chain.rstrip()}{line}"
        return ": ".join(part for part in (place, self.rule, self.effect) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One of the ways that a packet may take through a kernel.

    Attributes:
        outcome: how it ends here, ``DELIVERED`` where the machine takes it itself;
            ``None`` where it is sent on.
        original: the packet as it came.
        packet: the packet as it ends, or leaves.
        hits: the rules, policies and routes that decided about it, in order.
        reason: why it ends as it does, in words.
        probability: of this way among all that chance may choose.
        out_interface: where it leaves by, if it does.
        next_hop: the gateway it is handed to; ``None`` where its destination is on the
            link.
        reject_with: how it is refused, as ``--reject-with`` spells it; also what
            routing answers. ``None`` for all but rejected packets.
        connmark: the mark of its connection; ``None`` where that is not known.
    """

    outcome: Outcome | None
    original: KernelPacket
    packet: KernelPacket
    hits: tuple[RuleHit, ...]
    reason: str
    probability: float = 1.0
    out_interface: str | None = None
    next_hop: IPv4Address | None = None
    reject_with: str | None = None
    connmark: int | None = 0

    def is_answered_by(self, answer: KernelPacket) -> bool:
        """Whether a packet comes back the way this one went; unknown ports may be any.

        What connection tracking did not remember, nothing answers.
        """
        sent = self.packet
        return (
            sent.ct_state not in (CtState.UNTRACKED, CtState.INVALID)
            and answer.transport is sent.transport
            and answer.source == sent.destination
            and answer.destination == sent.source
            and _may_be(answer.sport, sent.dport)
            and _may_be(answer.dport, sent.sport)
        )

    def reply(self, answer: KernelPacket) -> KernelPacket:
        """Undo in an answer what was translated in the question.

        It comes from where the question was sent to, and goes to who asked. A packet
        that is no answer to this one is returned as it is.
        """
        if not self.is_answered_by(answer):
            return answer
        asked = self.original
        return replace(
            answer,
            source=asked.destination,
            destination=asked.source,
            sport=answer.sport if asked.dport is None else asked.dport,
            dport=answer.dport if asked.sport is None else asked.sport,
            ct_state=CtState.ESTABLISHED,
        )


def _may_be(port: int | None, other: int | None) -> bool:
    return port is None or other is None or port == other
