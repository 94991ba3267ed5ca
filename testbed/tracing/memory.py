"""What connection tracking remembers of a conversation, to lead a reply back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from testbed.netfilter import CtState, KernelPacket

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbed.netfilter import Passage
    from testbed.ovs.trace import Trace
    from testbed.tracing.packet import Packet

_IS_REPLY = ("trk,est,rpl",) * 4
"""What conntrack says each time a flow asks; no packet asks more often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What br0s and kernels know of the conversation that a packet may belong to.

    Attributes:
        committed: the nodes whose br0 knows the conversation.
        translated: what kernels did to the packet that began it.
        is_shared: br0 and iptables have one table, so that br0 translates, too.
    """

    committed: frozenset[str] = frozenset()
    translated: Mapping[str, Passage] = field(default_factory=dict)
    is_shared: bool = True

    def ct_states(self, node: str, packet: Packet) -> tuple[str, ...]:
        """What a node's br0 is told of a packet, for ``ofproto/trace --ct-next``."""
        return _IS_REPLY if packet.is_reply and node in self.committed else ()

    def question(self, machine: str, packet: Packet) -> Passage | None:
        """What a reply answers, as the machine's connection tracking knows it."""
        return self.translated.get(machine) if packet.is_reply else None

    def restored(self, node: str, packet: Packet, trace: Trace) -> Packet:
        """A reply as br0 lets it out: what iptables translated may be undone."""
        question = self.question(node, packet)
        if question is None or not self.is_shared or not _restores(trace):
            return packet
        back = question.reply(for_kernel(packet, 0))
        return replace(
            packet,
            source=back.source,
            destination=back.destination,
            sport=back.sport,
            dport=back.dport,
        )


def for_kernel(packet: Packet, mark: int) -> KernelPacket:
    """The packet as a kernel gets it."""
    return KernelPacket(
        source=packet.source,
        destination=packet.destination,
        transport=packet.transport,
        sport=packet.sport,
        dport=packet.dport,
        mark=mark,
        ct_state=CtState.ESTABLISHED if packet.is_reply else CtState.NEW,
    )


def _restores(trace: Trace) -> bool:
    """Whether br0 has conntrack undo what was translated (``ct(…,nat)``)."""
    return any(
        action.text.startswith("ct(") and "nat" in action.text
        for step in trace.steps
        for action in step.actions
    )


def commits(trace: Trace) -> bool:
    """Whether br0 has conntrack remember the conversation (``ct(commit,…)``)."""
    return any(
        action.text.startswith("ct(commit")
        for step in trace.steps
        for action in step.actions
    )
