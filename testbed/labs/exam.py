"""What a task is judged by: packets that are sent, and what becomes of them.

Never by what a student typed, and never by what flows or objects say: whoever makes
the packets go as they should has solved the task.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from testbed.errors import CommandError, NotFoundError, SwitchError
from testbed.labs.findings import Finding
from testbed.labs.model import Packet
from testbed.labs.whereabouts import place_of
from testbed.model import Outcome, Traffic
from testbed.parties import address, name_of, party, told
from testbed.patience import patience
from testbed.probe.conversation import ask, echoing, impatient
from testbed.probe.observation import observe, observe_alone
from testbed.selection import protocols
from testbed.verdict.explain import observed_text

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Iterable, Sequence
    from ipaddress import IPv4Address

    from testbed.model import Cluster
    from testbed.probe import LiveCluster, Place
    from testbed.probe.observed import Observation

_NUMBER = re.compile(r"0x[0-9a-f]+|[0-9]+")
_PATIENCE = 2.0
"""Seconds after which a kernel's silence is an answer."""

_LONGEST = 200
"""Characters of an answer; what is longer is none."""


class Exam:
    """Somebody's cluster, looked at for one task; checks note what they find.

    Args:
        live: the cluster.
        answer: what was typed in.
        tells_where: whether to send again alone whatever was dropped, to tell by which
            flow; where that is no matter, it saves time.

    Attributes:
        live: the cluster, with all that a scenario can do to it.
        answer: what was typed in; empty where nothing was asked.
        findings: what was found up to now.
    """

    def __init__(
        self, live: LiveCluster, answer: str = "", *, tells_where: bool = True
    ) -> None:
        self.live = live
        self._tells_where = tells_where
        self.answer = answer.strip()[:_LONGEST]
        self.findings: list[Finding] = []

    @property
    def objects(self) -> Cluster:
        """The objects that the cluster consists of now."""
        return self.live.objects

    def place(self, name: str) -> Place:
        """A machine as ``testbed exec`` calls it.

        Raises:
            NotFoundError: there is none.
        """
        return place_of(self.live, name)

    def note(self, passed: bool | None, text: str) -> None:  # noqa: FBT001 - the finding
        """Note a finding: what was looked at, and what was seen."""
        self.findings.append(Finding(passed=passed, text=text))

    def packet(  # noqa: PLR0913 - a packet has as many sides
        self,
        sender: str,
        receiver: str,
        send: str = "icmp",
        *,
        ends: Outcome | Iterable[Outcome] = Outcome.DELIVERED,
        at: str = "",
        table: int | None = None,
    ) -> None:
        """Send a packet; it must end in one of these ways.

        Args:
            sender: who sends it, as ``testbed probe`` has it.
            receiver: for whom.
            send: what: ``arp``, ``icmp``, ``tcp:80``, ``udp:53``.
            ends: how it must end.
            at: the node that must drop it.
            table: the table of its br0 that must.
        """
        ((transport, dport),) = protocols(send)
        outcomes = frozenset({ends} if isinstance(ends, Outcome) else ends)
        wanted = Packet(
            sender=sender,
            receiver=receiver,
            transport=transport,
            dport=dport,
            outcomes=outcomes,
            at=at,
            table=table,
        )
        self.packets([wanted])

    def packets(self, wanted: Sequence[Packet]) -> None:
        """Send packets, all at once, and note how each ends.

        Raises:
            NotFoundError: one of those who are to send or receive is not there.
        """
        traffics = [self._traffic(packet) for packet in wanted]
        for packet, seen in zip(wanted, observe(self.live, traffics), strict=True):
            self._judge(packet, seen)

    def pings(
        self, sender: str, receiver: str, *options: str, should: bool = True
    ) -> None:
        """Ping through the sender's own kernel: its routes, its ARP, its MTU.

        Args:
            sender: who pings, as ``testbed exec`` has it.
            receiver: whom: a party, or an address.
            options: more for ping(8).
            should: whether it must be answered.
        """
        ip = address(self.objects, receiver)
        answered = self.is_answered(sender, ip, *options)
        words = " ".join(("ping", *options, str(ip)))
        told_of = "answered" if answered else "no answer"
        self.note(answered == should, f"{sender}: {words}: {told_of}")

    def is_answered(self, sender: str, ip: IPv4Address, *options: str) -> bool:
        """Whether one ping through the sender's own kernel is answered."""
        seconds = f"-W{patience(_PATIENCE):g}"
        try:
            self.place(sender).run("ping", "-n", "-c1", seconds, *options, str(ip))
        except CommandError:
            return False
        return True

    def serving(
        self, places: Iterable[str], port: int
    ) -> contextlib.AbstractContextManager[None]:
        """Have echo servers at a TCP and UDP port of machines for a ``with`` block.

        Raises:
            OSError: a student serves there already.
        """
        return echoing([self.place(name) for name in places], [port])

    def asked(
        self, sender: str, receiver: str, port: int, question: str, *, udp: bool = False
    ) -> str:
        """What an echo server answers a machine: ``whoami``, ``hostname``.

        Empty where nobody answers, or somebody refuses.
        """
        ip = address(self.objects, receiver)
        try:
            with impatient(_PATIENCE):
                return ask(self.place(sender), ip, port, question, udp=udp)
        except OSError:
            return ""

    def is_number(self, value: int) -> None:
        """The answer must be this number, decimal or hexadecimal."""
        self._answered(self._numbers() == [value])

    def are_numbers(self, values: Iterable[int]) -> None:
        """The answer must be these numbers, in this order."""
        self._answered(self._numbers() == list(values))

    def is_word(self, *values: object) -> None:
        """The answer must be one of these words, in whatever case."""
        words = {str(value).lower() for value in values}
        self._answered(self.answer.lower() in words)

    def _answered(self, passed: bool) -> None:  # noqa: FBT001 - the finding
        is_it = "is" if passed else "is not"
        self.note(
            passed, f"{self.answer or '(nothing)'}: {is_it} what the cluster says"
        )

    def _numbers(self) -> list[int]:
        return [int(word, 0) for word in _NUMBER.findall(self._plain_answer())]

    def _plain_answer(self) -> str:
        # 020 is twenty to a person and nothing at all to int(…, 0).
        return re.sub(r"\b0+(?=[0-9])", "", self.answer.lower())

    def _traffic(self, packet: Packet) -> Traffic:
        return Traffic(
            sender=party(self.objects, packet.sender),
            destination=address(self.objects, packet.receiver),
            transport=packet.transport,
            dport=packet.dport,
        )

    def _judge(self, packet: Packet, seen: Observation) -> None:
        question = told(self.objects, seen.traffic)
        is_lost = seen.outcome in (Outcome.DROPPED, Outcome.INCONCLUSIVE)
        is_asked = self._tells_where or packet.at or packet.table is not None
        # What a flow changed by hand leaves in caches may have met the first.
        if is_lost and (is_asked or seen.outcome not in packet.outcomes):
            seen = self._again(seen)
        is_it = f"{question}: {observed_text(seen, None)}"
        if seen.outcome is Outcome.INCONCLUSIVE:
            could_be = not packet.outcomes & {Outcome.DELIVERED}
            passed = None if could_be else False
        else:
            passed = seen.outcome in packet.outcomes and self._is_there(packet, seen)
        self.note(passed, is_it if passed else f"{is_it}; wanted: {packet.wanted}")

    def _again(self, seen: Observation) -> Observation:
        """Sent alone, with the flow that drops it.

        Where the controls behind it are dropped, too, flows that counted drops tell.
        """
        try:
            again = observe_alone(self.live, seen.traffic)
        except SwitchError:
            return seen
        if again.outcome is Outcome.INCONCLUSIVE and len(again.dropped_by) == 1:
            return replace(again, outcome=Outcome.DROPPED)
        return again

    def _is_there(self, packet: Packet, seen: Observation) -> bool:
        """Whether it ended at the place where it must."""
        if seen.outcome is Outcome.DELIVERED and not packet.receiver.startswith("svc:"):
            return self._has_it(packet, seen)
        if packet.at or packet.table is not None:
            node = self.objects.node(packet.at).name if packet.at else None
            return any(
                node in (None, drop.node) and packet.table in (None, drop.table)
                for drop in seen.dropped_by
            )
        return True

    def _has_it(self, packet: Packet, seen: Observation) -> bool:
        if not seen.receivers:
            return True  # only the answer tells: the gateway, say
        try:
            receiver = party(self.objects, packet.receiver)
        except NotFoundError:
            return True
        return name_of(receiver) in seen.receivers
