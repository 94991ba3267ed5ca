"""What a switch would do with a packet: ``ofproto/trace`` as a value.

Nothing is sent, and no counter moves. The same few flows come in trace after trace, so
a ``TracedSwitch`` reads the text of each once. What it answers is what ``parse_trace``
reads, which remembers nothing.

Source: ovs-vswitchd(8), "OFPROTO COMMANDS"
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from testbed.errors import SwitchError
from testbed.ovs.trace_text import TraceReader, parse_trace
from testbed.ovs.trace_tree import (
    Trace,
    TraceAction,
    TraceBridge,
    TraceOutput,
    TraceStep,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from testbed.ovs.appctl import Appctl

__all__ = [
    "Question",
    "Trace",
    "TraceAction",
    "TraceBridge",
    "TraceOutput",
    "TraceStep",
    "TracedSwitch",
    "parse_trace",
]

_REMEMBERED = 4096
"""Texts of steps that a switch remembers: the flows of a large node, and 4 MB."""


@dataclass(frozen=True, slots=True)
class Question:
    """A packet to trace: all of it as text, or its bytes and how it came.

    Attributes:
        packet: the packet as in ovs-fields(7), ``in_port=3,icmp,nw_src=…``. Where there
            is a ``frame``, OVS takes from here only what is in no frame: ``in_port``,
            ``pkt_mark``, ``ct_*``, and the tunnel's ``tun_src``, ``tun_id`` and
            ``tun_dst``; the last may not be left out, or it forgets the others.
        ct_states: what conntrack finds, each time it is asked, as ``trk,est``; when
            they are used up, ``trk,new``.
        frame: the packet from its Ethernet header on. Where flows commit it, the
            switch's conntrack remembers it then, as if it had been sent: a switch
            that carries traffic is better asked without.

    Raises:
        SwitchError: a frame from a tunnel without ``tun_dst``.

    Source: ovs-vswitchd(8), "Side effects"; ofproto/ofproto-dpif-trace.c, lib/flow.c
    """

    packet: str
    ct_states: tuple[str, ...] = ()
    frame: bytes = b""

    def __post_init__(self) -> None:
        if self.frame and "tun_" in self.packet and "tun_dst=" not in self.packet:
            raise SwitchError(
                f"a frame from a tunnel needs its tun_dst, too: {self.packet}"
            )


@dataclass(frozen=True, slots=True)
class TracedSwitch:
    """A bridge to ask what it would do with packets."""

    appctl: Appctl
    bridge: str = "br0"
    _read: TraceReader = field(
        default_factory=lambda: TraceReader(_REMEMBERED),
        init=False,
        repr=False,
        compare=False,
    )

    def __call__(self, packet: str, *, ct_states: Sequence[str] = ()) -> Trace:
        """Trace one packet, given as ``Question`` has it.

        Raises:
            SwitchError: the packet's text is wrong, or there is no such bridge.
        """
        (answer,) = self.ask([Question(packet, tuple(ct_states))])
        if isinstance(answer, SwitchError):
            raise answer
        return answer

    def ask(self, questions: Iterable[Question]) -> Iterator[Trace | SwitchError]:
        """Trace many packets, which the switch works on while answers are read.

        The first are asked when this returns; several switches so asked work at the
        same time.

        Returns:
            The traces, in order; where a question cannot be answered, as its text is
            wrong, the error that says so.

        Raises:
            SwitchError: the daemon hangs or died.
        """
        replies = self.appctl.pipelined(
            "ofproto/trace", (self._arguments(question) for question in questions)
        )
        return map(self._answer, replies)

    def _arguments(self, question: Question) -> list[str]:
        arguments = [self.bridge, question.packet]
        if question.frame:
            arguments.append(question.frame.hex())
        for state in question.ct_states:
            arguments += ("--ct-next", state)
        return arguments

    def _answer(self, reply: str | SwitchError) -> Trace | SwitchError:
        if isinstance(reply, SwitchError):
            return reply
        try:
            return self._read(reply)
        except SwitchError as error:
            return error
