"""A cluster as a drawing: where everything is, and the SVG of what never moves. Pure.

The picture has a fixed shape, so places are computed and not searched for::

    rogues, ghosts                     gateway ── external hosts
      │                                   │
    ╔═╧═══════════╤═══════════╤═══════════╧══   the underlay switch
    ║ ┌────┴────┐ ┌────┴────┐ ┌────┴────┐
    ║ │ node    │ │ node    │ │ node    │
    ║ │ ║─ tun0 │ │ ║─ tun0 │ │ ║─ tun0 │       the double line is br0
    ║ │ ║─ pod  │ │ ║─ pod  │ │ ║─ pod  │
    ║ └─────────┘ └─────────┘ └─────────┘
    ╚═══════ … and once more for every four nodes
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from testbed.report.stations import GATEWAY, Role
from testbed.report.svg import Box, Point, line, rect, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.report.records import ClusterRecord, NodeRecord, PlaceRecord

NODES_PER_ROW = 4

_MARGIN = 14
_NODE_WIDTH, _NODE_GAP = 214, 20
_HEADER, _ROW = 40, 19
_BR0 = 16
"""From a node's left edge to the middle of its br0."""
_ROWS = 30
"""From a node's left edge to its tun0 and pods."""
_DROP = 30
"""From the switch down to the nodes, and up to what is above it."""
_BOX_WIDTH, _BOX_HEIGHT, _BOX_GAP = 150, 36, 14

BEND = 14
"""From the gateway's edge outwards, where wires to external hosts bend; and inwards,
where its wire to the switch begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A wire that has a tap.

    ``near`` is its end at the machine; ``far`` the one at br0, at the switch or, of an
    external host, at the gateway. ``node`` is whose br0.
    """

    role: Role
    near: Point
    far: Point
    node: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagram:
    """Where things are; ``links`` and ``boxes`` go by the taps' labels.

    ``nodes`` are the nodes' boxes. ``exit`` is where the gateway's wire comes down to
    the switch, from left to right. ``switch`` are the heights of its bars, one for each
    row of nodes, which are joined at ``trunk``. ``svg`` is the drawing without a path.
    """

    width: float
    height: float
    links: dict[str, Link]
    boxes: dict[str, Box]
    nodes: dict[str, Box]
    gateway: Box
    exit: float
    switch: tuple[float, ...]
    trunk: float
    svg: str


@dataclass(slots=True)
class _Draft:
    links: dict[str, Link] = field(default_factory=dict)
    boxes: dict[str, Box] = field(default_factory=dict)
    nodes: dict[str, Box] = field(default_factory=dict)
    svg: list[str] = field(default_factory=list)


def diagram(cluster: ClusterRecord) -> Diagram:
    """Lay a cluster out, and draw it."""
    draft = _Draft()
    trunk = _MARGIN + 4
    left = trunk + 12
    rows = list(_rows(cluster))
    strangers = (*cluster.rogues, *cluster.ghosts)
    outside = max(len(cluster.externals), 1)
    widest = max((len(row) for row in rows), default=1)
    above = (len(strangers) + 1 + bool(cluster.externals)) * (_BOX_WIDTH + _BOX_GAP)
    inner = max(widest * (_NODE_WIDTH + _NODE_GAP) - _NODE_GAP, above + 2 * _BOX_GAP)
    right = left + inner
    first = _MARGIN + outside * (_BOX_HEIGHT + 6) - 6 + _DROP
    bars: list[float] = [first]
    for row in rows:
        bottom = top = bars[-1] + _DROP
        for position, node in enumerate(row):
            x = left + position * (_NODE_WIDTH + _NODE_GAP)
            bottom = max(bottom, _node(draft, node, Point(x, top), bars[-1]).bottom)
        bars.append(bottom + 18)
    end = bars.pop()
    for position, stranger in enumerate(strangers):
        kind = "rogue" if stranger in cluster.rogues else "no SDN"
        x = left + position * (_BOX_WIDTH + _BOX_GAP)
        box = Box(x, first - _DROP - _BOX_HEIGHT, _BOX_WIDTH, _BOX_HEIGHT)
        middle = box.middle.x
        _stranger(draft, stranger, box, kind)
        draft.links[stranger.tap] = Link(
            role=Role.HOST, near=Point(middle, box.bottom), far=Point(middle, first)
        )
    gateway = _outside(draft, cluster, right, first)
    label = Point(left + len(strangers) * (_BOX_WIDTH + _BOX_GAP), first - 8)
    switch = _switch(bars, trunk, right)
    return Diagram(
        width=right + _MARGIN,
        height=end,
        links=draft.links,
        boxes=draft.boxes,
        nodes=draft.nodes,
        gateway=gateway,
        exit=gateway.right - BEND,
        switch=tuple(bars),
        trunk=trunk,
        svg="".join(
            [switch, text(label, "underlay switch", right, "label"), *draft.svg]
        ),
    )


def _rows(cluster: ClusterRecord) -> Iterator[tuple[NodeRecord, ...]]:
    """Yield the nodes, as evenly as rows of at most four allow."""
    count = len(cluster.nodes)
    n_rows = max(-(-count // NODES_PER_ROW), 1)
    per_row = max(-(-count // n_rows), 1)
    for start in range(0, count, per_row):
        yield cluster.nodes[start : start + per_row]


def _node(draft: _Draft, node: NodeRecord, corner: Point, bar: float) -> Box:
    height = _HEADER + _ROW * (1 + len(node.pods)) + 16
    box = Box(*corner, _NODE_WIDTH, height)
    draft.nodes[node.name] = box
    br0 = box.x + _BR0
    draft.links[node.wire] = Link(
        role=Role.WIRE, near=Point(br0, box.y), far=Point(br0, bar), node=node.name
    )
    draft.svg += [
        line("wire", Point(br0, bar), Point(br0, box.y)),
        rect(box, "node"),
        text(Point(box.x + _ROWS, box.y + 19), node.name, box.right - 6, "name"),
        text(Point(box.x + _ROWS, box.y + 32), node.ip, box.right - 6, "ip"),
        rect(Box(br0 - 4, box.y + _HEADER - 4, 8, height - _HEADER - 14), "br0"),
        text(Point(br0 - 8, box.bottom - 6), "br0", box.right, "label"),
    ]
    tun0 = (node.tun0, "tun0", node.gateway)
    rows = [tun0, *((pod.tap, pod.name, pod.ip) for pod in node.pods)]
    for position, (tap, name, ip) in enumerate(rows):
        row = Box(
            box.x + _ROWS,
            box.y + _HEADER + position * _ROW,
            box.right - 6 - box.x - _ROWS,
            _ROW - 2,
        )
        middle = row.middle.y
        draft.boxes[tap] = row
        near, far = Point(row.x, middle), Point(br0, middle)
        role = Role.POD if position else Role.TUN0
        draft.links[tap] = Link(role=role, near=near, far=far, node=node.name)
        shown = name if position else f"tun0 {ip}"
        draft.svg += [
            line("wire", far, near),
            rect(row, "pod" if position else "tun0"),
            text(Point(row.x + 5, middle + 4), shown, row.right - 2, "row", ip),
        ]
    return box


def _stranger(draft: _Draft, place: PlaceRecord, box: Box, kind: str) -> None:
    draft.boxes[place.tap] = box
    middle = box.middle.x
    draft.svg += [
        line("wire", Point(middle, box.bottom), Point(middle, box.bottom + _DROP)),
        *_titled(box, f"{place.name} ({kind})", place.ip, "stranger"),
    ]


def _outside(draft: _Draft, cluster: ClusterRecord, right: float, bar: float) -> Box:
    """The gateway, and behind it the external hosts, one below the other."""
    hosts = cluster.externals
    x = right - _BOX_WIDTH - (_BOX_WIDTH + 28 if hosts else 0)
    gateway = Box(x, bar - _DROP - _BOX_HEIGHT, _BOX_WIDTH, _BOX_HEIGHT)
    middle, port = gateway.middle, gateway.right - BEND
    draft.svg += [
        line("wire", Point(port, gateway.bottom), Point(port, bar)),
        *_titled(gateway, GATEWAY, cluster.gateway, "gateway"),
    ]
    for position, host in enumerate(reversed(hosts)):
        y = gateway.y - position * (_BOX_HEIGHT + 6)
        box = Box(right - _BOX_WIDTH, y, _BOX_WIDTH, _BOX_HEIGHT)
        near, start = Point(box.x, box.middle.y), Point(gateway.right, middle.y)
        bend = start.x + BEND
        draft.boxes[host.tap] = box
        draft.links[host.tap] = Link(role=Role.EXTERNAL, near=near, far=start)
        draft.svg += [
            line("wire", start, Point(bend, start.y), Point(bend, near.y), near),
            *_titled(box, host.name, host.ip, "external"),
        ]
    return gateway


def _switch(bars: list[float], trunk: float, right: float) -> str:
    parts = [
        rect(Box(trunk - 4, bar - 4, right - trunk + 4, 8), "switch") for bar in bars
    ]
    if len(bars) > 1:
        parts.append(rect(Box(trunk - 4, bars[0], 8, bars[-1] - bars[0]), "switch"))
    return "".join(parts)


def _titled(box: Box, name: str, ip: str, kind: str) -> Iterator[str]:
    yield rect(box, kind)
    yield text(Point(box.x + 8, box.y + 15), name, box.right - 4, "name")
    yield text(Point(box.x + 8, box.y + 29), ip, box.right - 4, "ip")
