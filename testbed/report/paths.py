"""The way of a packet over the drawing of its cluster, sighting by sighting. Pure.

A sighting is a frame on one wire in one direction, and the wire has one place on the
drawing. What lies between two wires is a device: br0, a node's kernel, the switch, the
gateway. There the packet comes out of where it last went in; how a device joins two
wires is all that is inferred.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from testbed.report.diagram import BEND
from testbed.report.stations import GATEWAY, Role
from testbed.report.svg import Point, path_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbed.report.diagram import Diagram, Link
    from testbed.report.records import PacketRecord, SightingRecord
    from testbed.report.svg import Box

_LANE = 2
"""Pixels that each direction keeps from the middle of a wire."""

_Device: TypeAlias = tuple[str, str]

_SWITCH: _Device = ("switch", "")
_GATEWAY: _Device = ("gateway", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """Where a packet was dropped, on a br0; ``label`` is where its text ends."""

    at: Point
    label: Point
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A packet's way: SVG path data for each of its sightings, and where it died.

    A sighting at a place that is not drawn has no path. From the sighting ``turn`` on,
    the packet is on its way back: who received it has sent it again.
    """

    segments: tuple[str, ...]
    turn: int
    deaths: tuple[Death, ...]


@dataclass(slots=True)
class _Walk:
    drawing: Diagram
    inside: dict[_Device, Point] = field(default_factory=dict)

    def segment(self, seen: SightingRecord) -> str:
        link = self.drawing.links.get(seen.tap)
        if link is None:
            return ""
        match link.role:
            case Role.POD | Role.TUN0:
                points = self._at_br0(link, seen)
            case Role.WIRE:
                points = self._at_wire(link, seen)
            case Role.HOST:
                points = self._at_host(link, seen)
            case Role.EXTERNAL:
                points = self._at_external(link, seen)
        return _data(points, _LANE if seen.sent else -_LANE)

    def _at_br0(self, link: Link, seen: SightingRecord) -> list[Point]:
        br0, kernel = ("br0", link.node), ("kernel", link.node)
        if seen.sent:
            self.inside[br0] = link.far
            return [link.near, link.far]
        if link.role is Role.TUN0:
            self.inside[kernel] = link.near
        return [self.inside.get(br0, link.far), link.far, link.near]

    def _at_wire(self, link: Link, seen: SightingRecord) -> list[Point]:
        """Tunnelled frames go to and from br0, others to and from the node's kernel."""
        br0, kernel = ("br0", link.node), ("kernel", link.node)
        box = self.drawing.nodes[link.node]
        if seen.tunnelled:
            top = Point(link.near.x, box.y + 30)
            if seen.sent:
                return [self.inside.get(br0, top), *self._out(link, seen.peer)]
            self.inside[br0] = top
            return [*self._in(link, seen.peer), top]
        around = self._around(box, link)
        if seen.sent:
            if kernel not in self.inside:
                around = around[-2:]
            return [*around, *self._out(link, seen.peer)]
        self.inside[kernel] = around[0]
        return [*self._in(link, seen.peer), *reversed(around)]

    def _around(self, box: Box, wire: Link) -> list[Point]:
        """From tun0, which is the kernel's, round the node's name to the uplink."""
        tun0 = next(
            self.drawing.boxes[tap]
            for tap, link in self.drawing.links.items()
            if link.role is Role.TUN0 and link.node == wire.node
        )
        right, height = box.right - 3, box.y + 5
        return [
            Point(tun0.x, tun0.middle.y),
            Point(tun0.x, tun0.bottom - 2),
            Point(right, tun0.bottom - 2),
            Point(right, height),
            Point(wire.near.x, height),
        ]

    def _at_host(self, link: Link, seen: SightingRecord) -> list[Point]:
        if seen.sent:
            return self._out(link, seen.peer)
        return self._in(link, seen.peer)

    def _at_external(self, link: Link, seen: SightingRecord) -> list[Point]:
        bend = link.far.x + BEND
        way = [link.near, Point(bend, link.near.y), Point(bend, link.far.y), link.far]
        if seen.sent:
            self.inside[_GATEWAY] = link.far
            return way
        entered = self.inside.get(_GATEWAY, link.far)
        return [entered, Point(entered.x, link.far.y), *reversed(way)]

    def _out(self, link: Link, peer: str) -> list[Point]:
        """Onto the switch, and on to the gateway where that is the receiver."""
        self.inside[_SWITCH] = link.far
        way = [link.near, link.far]
        if peer == GATEWAY:
            port = Point(self.drawing.exit, self.drawing.switch[0])
            self.inside[_GATEWAY] = Point(port.x, self.drawing.gateway.bottom)
            way += [*self._over_switch(link.far, port), self.inside[_GATEWAY]]
        return way

    def _in(self, link: Link, peer: str) -> list[Point]:
        """From the switch, or all the way from the gateway."""
        way: list[Point] = []
        start = self.inside.get(_SWITCH)
        if peer == GATEWAY:
            bottom = Point(self.drawing.exit, self.drawing.gateway.bottom)
            entered = self.inside.get(_GATEWAY, bottom)
            start = Point(bottom.x, self.drawing.switch[0])
            way = [entered, Point(bottom.x, entered.y), bottom]
        return [*way, *self._over_switch(start or link.far, link.far), link.near]

    def _over_switch(self, start: Point, end: Point) -> list[Point]:
        """Along the bars, and over the trunk where they are two."""
        if start.y == end.y:
            return [start, end]
        trunk = self.drawing.trunk
        return [start, Point(trunk, start.y), Point(trunk, end.y), end]

    def last_in(self, node: str) -> Point:
        """Where a packet is that went into a node's br0 and did not come out."""
        box = self.drawing.nodes[node]
        return self.inside.get(("br0", node), Point(box.x + 16, box.y + 40))


def path(packet: PacketRecord, drawing: Diagram) -> Path:
    """The way of a packet over a drawing."""
    walk = _Walk(drawing)
    segments = tuple(walk.segment(seen) for seen in packet.sightings)
    deaths = tuple(
        Death(
            at=walk.last_in(drop.node),
            label=Point(
                drawing.nodes[drop.node].right - 6, drawing.nodes[drop.node].bottom - 6
            ),
            text=f"dropped in table {drop.table}",
        )
        for drop in packet.drops
        if drop.node in drawing.nodes
    )
    return Path(segments=segments, turn=_turn(packet, drawing), deaths=deaths)


def _turn(packet: PacketRecord, drawing: Diagram) -> int:
    """The first sighting on the way back; all there are, if there is none."""
    for position, seen in enumerate(packet.sightings):
        link = drawing.links.get(seen.tap)
        ends = link and link.role in (Role.POD, Role.HOST, Role.EXTERNAL)
        if position and seen.sent and ends:
            return position
    return len(packet.sightings)


def _data(points: Sequence[Point], lane: float) -> str:
    """SVG path data through points, each direction on its own side."""
    return path_data([Point(round(x + lane, 1), round(y + lane, 1)) for x, y in points])
