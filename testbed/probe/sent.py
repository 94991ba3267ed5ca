"""A packet that was sent, and the claims a scenario makes about it.

A claim that does not hold raises ``AssertionError``; what was sent, seen and counted
is added by the pytest plugin. Absence is never waited out: the flow that dropped the
packet must have counted it, and a positive control sent after it the same way must have
arrived. Where the control does not arrive, nothing is known, and the claim says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scapy.layers.l2 import Ether

from testbed.probe.claims import Claim, ClaimKind
from testbed.probe.controls import control_for
from testbed.probe.drops import ATTEMPTS, COUNTER_TIMEOUT, Drop, dropped_since
from testbed.probe.recorder import Tap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scapy.packet import Packet

    from testbed.openflow import Table
    from testbed.ovs import Counters
    from testbed.probe.drops import Where
    from testbed.probe.live import LiveCluster
    from testbed.probe.places import Node, Place
    from testbed.probe.recorder import Sighting

MISS = "priority=0"
"""The flow that every table ends with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One packet on its way; ``mark`` is the payload added to know it by.

    ``control`` tells one that was sent only to prove the way open.
    """

    cluster: LiveCluster
    sender: Tap
    unmarked: Packet
    mark: bytes
    before: Mapping[str, Counters]
    control: bool = False

    def arrives(self, at: Place | Tap, *, timeout: float | None = None) -> Packet:
        """Claim that the packet comes in at a place; returns it as it came.

        At its own sender's place this is the answer that brings the payload back.
        """
        __tracebackhide__ = True
        tap = _tap(at)
        seen = self.cluster.recorder.wait_for(
            lambda seen: seen.tap is tap and not seen.sent and self.mark in seen.frame,
            timeout=timeout or self.cluster.patience,
        )
        _note(self, ClaimKind.ARRIVES, str(tap), held=seen is not None)
        if seen is None:
            raise AssertionError(f"not delivered to {tap}: {self.unmarked.summary()}")
        return Ether(seen.frame)

    def crosses(self, wire: Tap, *, timeout: float | None = None) -> Packet:
        """Claim that the packet passes a tap, in either direction; returns it."""
        __tracebackhide__ = True
        seen = self.cluster.recorder.wait_for(
            lambda seen: seen.tap is wire and self.mark in seen.frame,
            timeout=timeout or self.cluster.patience,
        )
        _note(self, ClaimKind.CROSSES, str(wire), held=seen is not None)
        if seen is None:
            raise AssertionError(f"never seen on {wire}: {self.unmarked.summary()}")
        return Ether(seen.frame)

    def crossings(self, wire: Tap) -> list[Packet]:
        """Every time the packet has passed a tap so far, in either direction."""
        self.cluster.recorder.settle()
        seen = self.cluster.recorder.sightings(self.mark)
        return [Ether(sighting.frame) for sighting in seen if sighting.tap is wire]

    def is_answered(
        self, matches: Callable[[Packet], bool], *, timeout: float | None = None
    ) -> Packet:
        """Claim that the sender gets a frame that matches; returns it."""
        __tracebackhide__ = True
        seen = self.cluster.recorder.wait_for(
            lambda seen: (
                seen.tap is self.sender and not seen.sent and matches(Ether(seen.frame))
            ),
            timeout=timeout or self.cluster.patience,
        )
        _note(self, ClaimKind.ANSWERED, str(self.sender), held=seen is not None)
        if seen is None:
            raise AssertionError(f"not answered: {self.unmarked.summary()}")
        return Ether(seen.frame)

    def is_dropped(self, on: Node, table: Table, flow: str = MISS) -> None:
        """Claim that exactly this flow dropped the packet, and nobody received it.

        Where something else was dropped in the same moment (a kernel's own ARP, say),
        the packet is sent again, until the counters can be told apart.

        Args:
            on: the node whose br0 dropped it.
            table: the table it died in.
            flow: priority and match of the flow, as ``ovs-ofctl dump-flows`` has them.
        """
        __tracebackhide__ = True
        where = Drop(on.name, table, flow)
        attempt = self
        for _ in range(ATTEMPTS):
            drops = attempt.drops()
            if where not in drops or drops == {where: 1}:
                break
            attempt = self.cluster.send(self.sender, self.unmarked)
        self.cluster.recorder.settle()
        received = ", ".join(str(seen.tap) for seen in attempt.received())
        held = drops == {where: 1} and not received
        _note(attempt, ClaimKind.DROPPED, on.name, held=held, by=(table, flow))
        if not held:
            raise AssertionError(
                f"expected to be dropped on {on} in table {table} by {flow}; "
                f"observed: {_describe(drops)}; received at {received or 'no tap'}"
            )

    def drops(self) -> dict[Where, int]:
        """How many packets each flow has dropped since, by node, table and selector.

        A positive control is sent first; counters that lag behind it are waited for.

        Raises:
            AssertionError: the control did not arrive; nothing is known.
        """
        __tracebackhide__ = True
        control, at = control_for(self.cluster.places, self.sender, self.unmarked)
        try:
            self.cluster.send(self.sender, control, control=True).arrives(at)
        except AssertionError as error:
            raise AssertionError(
                f"inconclusive: the positive control, too, was {error}"
            ) from error
        return dropped_since(self.cluster, self.before, timeout=COUNTER_TIMEOUT)

    def received(self) -> list[Sighting]:
        """Where the packet came in, wires on the underlay aside."""
        wires = [node.wire for node in self.cluster.nodes]
        return [
            seen
            for seen in self.cluster.recorder.sightings(self.mark)
            if not seen.sent and seen.tap not in wires
        ]


def _note(
    sent: Sent,
    kind: ClaimKind,
    place: str,
    *,
    held: bool,
    by: tuple[Table | None, str] = (None, ""),
) -> None:
    table, flow = by
    sent.cluster.claims.append(
        Claim(
            kind=kind,
            mark=sent.mark,
            place=place,
            held=held,
            table=table,
            flow=flow,
            control=sent.control,
        )
    )


def _tap(at: Place | Tap) -> Tap:
    return at if isinstance(at, Tap) else at.tap


def _describe(drops: Mapping[Where, int]) -> str:
    return (
        "; ".join(
            f"{n_packets} dropped on {node} in table {table} by {flow}"
            for (node, table, flow), n_packets in drops.items()
        )
        or "no flow dropped anything"
    )
