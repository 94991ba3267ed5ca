"""Packets, each with everything that was seen of it. Pure.

A packet that a scenario sent is known again by its mark. One that a kernel sent (a
``ping``, a TCP connection, ARP) is known by what no router, NAT or tunnel changes: its
IP id and contents.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from testbed.probe.dissect import read_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from testbed.probe.dissect import Frame
    from testbed.probe.recorder import Sighting, Tap


class Origin(enum.StrEnum):
    """Who sent a packet, and why.

    An answer is a kernel's, to ARP of the scenario; other answers bring its mark back.
    """

    SCENARIO = "scenario"
    CONTROL = "control"
    ANSWER = "answer"
    KERNEL = "kernel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """One sighting, and what the frame says."""

    sighting: Sighting
    frame: Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """One packet, and where it was seen, by time.

    ``mark`` is empty for a kernel's packet.
    """

    origin: Origin
    mark: bytes
    glimpses: tuple[Glimpse, ...]

    @property
    def first(self) -> Glimpse:
        """Where it was seen first: where it was sent, if nothing was lost."""
        return self.glimpses[0]

    @property
    def sender(self) -> Tap:
        """The tap of whoever sent it."""
        return self.first.sighting.tap

    @property
    def is_noise(self) -> bool:
        """Whether it is ARP of a kernel, which comes and goes as it likes."""
        return self.origin is Origin.KERNEL and self.first.frame.is_arp


@dataclass(slots=True)
class _Open:
    origin: Origin
    mark: bytes = b""
    glimpses: list[Glimpse] = field(default_factory=list)


def trails(
    sightings: Iterable[Sighting], marks: Mapping[bytes, Origin], *, vxlan_port: int
) -> list[Trail]:
    """Put sightings together to packets, in the order these were first seen.

    Args:
        sightings: what was seen, by time.
        marks: those of the packets that were sent on purpose.
        vxlan_port: the UDP port that tunnels use.
    """
    by_identity: dict[bytes, _Open] = {}
    for seen in sightings:
        frame = read_frame(seen.frame, vxlan_port=vxlan_port)
        mark = next((mark for mark in marks if mark in seen.frame), b"")
        trail = by_identity.setdefault(
            mark or frame.identity, _Open(marks.get(mark, Origin.KERNEL), mark)
        )
        trail.glimpses.append(Glimpse(sighting=seen, frame=frame))
    asked = {
        (first.source, first.destination)
        for item in by_identity.values()
        for first in [item.glimpses[0].frame]
        if item.origin is Origin.SCENARIO and first.is_arp
    }
    for item in by_identity.values():
        first = item.glimpses[0].frame
        answers = (first.destination, first.source) in asked
        if item.origin is Origin.KERNEL and first.is_arp and answers:
            item.origin = Origin.ANSWER
    return [
        Trail(origin=item.origin, mark=item.mark, glimpses=tuple(item.glimpses))
        for item in by_identity.values()
    ]
