"""From what was seen of a batch to what became of each of its packets."""

from __future__ import annotations

import errno
from operator import attrgetter
from typing import TYPE_CHECKING

from testbed.model import Outcome, Pod, Transport
from testbed.probe.answers import Answer, Matcher, Sort, sort_of
from testbed.probe.observed import Observation
from testbed.probe.passage import ETHERTYPE_ARP
from testbed.probe.watches import Role
from testbed.probe.whereabouts import Zone

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from testbed.model import Traffic
    from testbed.probe.passage import Passage
    from testbed.probe.paths import Path
    from testbed.probe.pump import Pump
    from testbed.probe.recorder import Tap
    from testbed.probe.watches import Watch

_BY_TIME = attrgetter("nanoseconds")


class Judge:
    """Says what of one batch is still open, and in the end what became of each packet.

    Args:
        pump: what has sent the probes, and sees what becomes of them.
        traffics: the questions, in the order of the probes.
        ports: the probes' source ports.
        watches: whose the taps are.
        vxlan_port: where nodes take tunnels, of which their kernels say nothing.
        is_ordered: whether bridges handle the frames of a port in order.
    """

    def __init__(  # noqa: PLR0913 - each is another thing
        self,
        pump: Pump,
        traffics: Sequence[Traffic],
        ports: Sequence[int],
        *,
        watches: Iterable[Watch],
        vxlan_port: int,
        is_ordered: bool,
    ) -> None:
        self._pump = pump
        self._traffics = traffics
        self._ports = ports
        self._watches: dict[Tap, Watch] = {watch.tap: watch for watch in watches}
        self._vxlan_port = vxlan_port
        self._ordered = bytearray(
            is_ordered and probe.route.is_switched for probe in pump.probes
        )
        self._coming = list(range(len(traffics)))
        self._asking = list(range(len(traffics)))
        self._answers: dict[int, Passage] = {}
        self._matched = 0
        self._matcher = Matcher()
        for number, (traffic, probe) in enumerate(
            zip(traffics, pump.probes, strict=True)
        ):
            name = probe.door.place.name
            self._matcher.expect(number, traffic, name, ports[number])

    def unproven(self) -> list[Path]:
        """The ways on which bridges may still be about to deliver something."""
        return list(
            dict.fromkeys(
                path
                for number, probe in enumerate(self._pump.probes)
                if self._ordered[number]
                and (not self._pump.arrived[number] or probe.route.has_many_ends)
                for path in probe.paths
            )
        )

    def has_arrived(self) -> bool:
        """Whether nothing more can come in, but for answers."""
        self._match()
        self._coming = [number for number in self._coming if self._may_come(number)]
        return not self._coming

    def is_answered(self) -> bool:
        """Whether no answer may still be on its way."""
        self._match()
        self._asking = [number for number in self._asking if self._may_answer(number)]
        return not self._asking

    def observations(self, doubt: str) -> list[Observation]:
        """What became of each packet; what is missing may be so for this reason."""
        self._match()
        return [
            self._observation(number, doubt) for number in range(len(self._traffics))
        ]

    def _may_come(self, number: int) -> bool:
        pump = self._pump
        if pump.arrived[number] or pump.answered[number] or self._ordered[number]:
            return False
        paths = pump.probes[number].paths
        return number not in pump.failures and not any(path.broken for path in paths)

    def _may_answer(self, number: int) -> bool:
        if self._pump.answered[number] or not self._pump.arrived[number]:
            return False
        route = self._pump.probes[number].route
        to, host = route.destination, route.destination.host
        is_for_ghost = to.zone is Zone.PODS and host is not None and not host.is_node
        if route.has_many_ends or is_for_ghost:
            return False  # a ghost answers nothing that comes through a tunnel
        # Nor is it found by who would answer, but where it asked for them itself.
        return route.tunnel is None or route.is_arp

    def _match(self) -> None:
        """Find whose answers those without nonce are that have come in since."""
        unmarked = self._pump.unmarked
        while self._matched < len(unmarked):
            name, passage = unmarked[self._matched]
            self._matched += 1
            number = self._matcher.match(name, passage.frame)
            if number is not None:
                self._answers.setdefault(number, passage)
                self._pump.answered[number] = 1

    def _observation(self, number: int, missed: str) -> Observation:
        probe = self._pump.probes[number]
        passages, answers = self._sorted_out(number)
        receivers = self._receivers(number, passages)
        answer = Answer(answers[0]) if answers else None
        reason = missed
        if receivers:
            outcome = Outcome.DELIVERED
        elif missed:
            outcome = Outcome.INCONCLUSIVE
        elif answer is not None:
            outcome = Outcome.REJECTED if answer.is_refusal else Outcome.DELIVERED
        else:
            reason = self._doubt(number)
            outcome = Outcome.INCONCLUSIVE if reason else Outcome.DROPPED
        return Observation(
            traffic=self._traffics[number],
            outcome=outcome,
            passages=tuple(passages),
            receivers=receivers,
            answer=answer,
            control=bool(probe.paths) and not any(path.broken for path in probe.paths),
            reason=reason,
        )

    def _doubt(self, number: int) -> str:
        """Why it cannot be told that a packet was dropped which was not seen again."""
        probe, traffic = self._pump.probes[number], self._traffics[number]
        failure = self._pump.failures.get(number)
        if failure is not None and failure.errno != errno.EPERM:
            return f"{probe.door.place} could not send it: {failure.strerror}"
        if not probe.paths:
            return f"no control can prove the way from {probe.door.place}"
        if (
            traffic.transport is Transport.UDP
            and traffic.dport == self._vxlan_port
            and not isinstance(traffic.sender, Pod)
            and probe.route.destination.zone is Zone.WORLD
        ):
            return (
                "what is sent to the port of VXLAN is Open vSwitch's, which is silent"
            )
        return next((path.broken for path in probe.paths if path.broken), "")

    def _sorted_out(self, number: int) -> tuple[list[Passage], list[Passage]]:
        """Where the packet itself was seen, and what came back to its sender."""
        seen = self._pump.seen[number]
        if len(seen) > 1:
            seen.sort(key=_BY_TIME)
        probe = self._pump.probes[number]
        sender, port, sent = probe.door.place.name, self._ports[number], probe.data
        passages, answers = [], []
        for passage in seen:
            # Between pods nothing changes, and to compare takes less than to read.
            sort = Sort.PROBE if passage.frame == sent else sort_of(passage.frame, port)
            if sort is Sort.PROBE:
                passages.append(passage)
            elif (
                sort is Sort.ANSWER
                and not passage.sent
                and self._watches[passage.tap].name == sender
            ):
                answers.append(passage)
        for name, passage in self._pump.taken.get(number, ()):
            if name == sender and sort_of(passage.frame, port) is Sort.ANSWER:
                answers.append(passage)
        if number in self._answers:
            answers.append(self._answers[number])
        return passages, answers

    def _receivers(self, number: int, passages: Sequence[Passage]) -> tuple[str, ...]:
        names = [
            watch.name
            for passage in passages
            if not passage.sent
            and _has_it(watch := self._watches[passage.tap], passage.frame)
        ]
        for name, passage in self._pump.taken.get(number, ()):
            if sort_of(passage.frame, self._ports[number]) is Sort.PROBE:
                names.append(name)
        return tuple(dict.fromkeys(names)) if len(names) > 1 else tuple(names)


def _has_it(watch: Watch, frame: bytes) -> bool:
    """Whether a machine has what comes in at a tap of it."""
    if watch.role is Role.POD:
        return True
    if frame[12:14] == ETHERTYPE_ARP:
        return frame[38:42] in watch.own
    return watch.role is Role.HOST and frame[30:34] in watch.own
