"""A packet on its way through one kernel, as rules see and change it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from testbed.netfilter.packet import CtState, KernelPacket, Passage

if TYPE_CHECKING:
    from testbed.model import Outcome, Transport
    from testbed.netfilter.links import NextHop
    from testbed.netfilter.packet import RuleHit
    from testbed.netfilter.routes import Routes


@dataclass(slots=True, kw_only=True)
class Branch:
    """One of the ways a packet may go, as far as it has come.

    Rules are matched thousands of times a packet, so addresses are plain integers.

    Attributes:
        original: the packet as it came.
        routes: the machine's, for matches that ask whose an address is.
        in_interface: where it came in; empty for the machine's own, and in POSTROUTING.
        out_interface: where it will leave; empty before that is decided, and in INPUT.
        hop: the way it will leave by.
        answers: the passage of the question that this is the answer to.
        is_seen: connection tracking has seen it, as it came round by ``lo``: its mind
            is not changed (Linux net/netfilter/xt_CT.c).
        source_done: the source will not be translated any more, ``destination_done``
            the same of the destination: a connection is looked up once for each.
        outcome: how it ended; ``None`` as long as it goes on.
    """

    original: KernelPacket
    routes: Routes
    source: int
    destination: int
    transport: Transport
    sport: int | None
    dport: int | None
    icmp_type: int
    tcp_flags: frozenset[str] | None
    mark: int
    connmark: int | None
    ct_state: CtState
    in_interface: str = ""
    out_interface: str = ""
    hop: NextHop | None = None
    answers: Passage | None = None
    is_seen: bool = False
    source_done: bool = False
    destination_done: bool = False
    hits: list[RuleHit] = field(default_factory=list)
    probability: float = 1.0
    outcome: Outcome | None = None
    reason: str = ""
    reject_with: str | None = None

    @classmethod
    def of(
        cls, packet: KernelPacket, routes: Routes, *, answers: Passage | None = None
    ) -> Branch:
        """A packet that nothing has happened to yet."""
        if answers is not None and not answers.is_answered_by(packet):
            answers = None
        is_later = packet.ct_state in (CtState.ESTABLISHED, CtState.RELATED)
        connmark = None if is_later else 0
        return cls(
            original=packet,
            routes=routes,
            source=int(packet.source),
            destination=int(packet.destination),
            transport=packet.transport,
            sport=packet.sport,
            dport=packet.dport,
            icmp_type=packet.icmp_type,
            tcp_flags=packet.tcp_flags,
            mark=packet.mark,
            connmark=connmark if answers is None else answers.connmark,
            ct_state=packet.ct_state,
            answers=answers,
        )

    @property
    def has_connection(self) -> bool:
        """Whether connection tracking has an entry that it belongs to."""
        return self.ct_state not in (CtState.UNTRACKED, CtState.INVALID)

    @property
    def is_source_translated(self) -> bool:
        """Whether its connection has another source, or source port, than it began."""
        if self.answers is not None:
            asked, sent = self.answers.original, self.answers.packet
            return (asked.source, asked.sport) != (sent.source, sent.sport)
        began = int(self.original.source), self.original.sport
        return began != (self.source, self.sport)

    @property
    def is_destination_translated(self) -> bool:
        """The same of the destination."""
        if self.answers is not None:
            asked, sent = self.answers.original, self.answers.packet
            return (asked.destination, asked.dport) != (sent.destination, sent.dport)
        began = int(self.original.destination), self.original.dport
        return began != (self.destination, self.dport)

    def fork(self) -> Branch:
        """The same packet once more, for chance to treat otherwise."""
        other = copy.copy(self)
        other.hits = list(self.hits)
        return other

    def end(
        self, outcome: Outcome, reason: str, reject_with: str | None = None
    ) -> None:
        """It goes no further."""
        self.outcome = outcome
        self.reason = reason
        self.reject_with = reject_with

    def passage(self) -> Passage:
        """What became of it."""
        leaves = self.outcome is None
        return Passage(
            outcome=self.outcome,
            original=self.original,
            packet=self._packet(),
            hits=tuple(self.hits),
            reason=f"goes out of {self.out_interface}" if leaves else self.reason,
            probability=self.probability,
            out_interface=self.out_interface if leaves else None,
            next_hop=self.hop.gateway if leaves and self.hop else None,
            reject_with=self.reject_with,
            connmark=self.connmark,
        )

    def _packet(self) -> KernelPacket:
        came = self.original
        same_source = int(came.source) == self.source
        same_destination = int(came.destination) == self.destination
        return KernelPacket(
            source=came.source if same_source else IPv4Address(self.source),
            destination=(
                came.destination if same_destination else IPv4Address(self.destination)
            ),
            transport=self.transport,
            sport=self.sport,
            dport=self.dport,
            mark=self.mark,
            ct_state=self.ct_state,
        )
