"""The drawing of a cluster, and the way of packets over it."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from testbed.openflow import Table
from testbed.report.diagram import Diagram, diagram
from testbed.report.paths import path
from testbed.report.records import (
    ClusterRecord,
    DropRecord,
    NodeRecord,
    PacketRecord,
    PlaceRecord,
    SightingRecord,
)
from testbed.report.stations import GATEWAY, Role
from testbed.report.svg import Box, Point

if TYPE_CHECKING:
    from collections.abc import Iterator


def cluster(n_nodes: int = 2, n_pods: int = 2, n_outside: int = 1) -> ClusterRecord:
    return ClusterRecord(
        nodes=tuple(
            NodeRecord(
                name=f"node-{n}",
                ip=f"192.168.10.{n}",
                gateway=f"10.{n}.0.1",
                tun0=f"node-{n} tun0",
                wire=f"node-{n} eth0",
                pods=tuple(
                    PlaceRecord(tap=f"lab/{n}-{p}", name=f"lab/{n}-{p}", ip="10.0.0.1")
                    for p in range(n_pods)
                ),
            )
            for n in range(n_nodes)
        ),
        externals=tuple(
            PlaceRecord(tap=f"external:{n}", name=f"{n}", ip="198.51.100.1")
            for n in range(n_outside)
        ),
        rogues=(PlaceRecord(tap="rogue:r", name="r", ip="192.168.10.66"),),
        ghosts=(),
        gateway="192.168.10.254",
    )


def seen(
    tap: str, *, sent: bool, tunnelled: bool = False, peer: str = ""
) -> SightingRecord:
    return SightingRecord(
        microseconds=0,
        tap=tap,
        sent=sent,
        tunnelled=tunnelled,
        peer=peer,
        text="",
        changes=(),
    )


def packet(
    *sightings: SightingRecord, drops: tuple[DropRecord, ...] = ()
) -> PacketRecord:
    return PacketRecord(
        origin="scenario", sender="", text="", sightings=sightings, drops=drops
    )


REMOTE = packet(
    seen("lab/0-0", sent=True),
    seen("node-0 eth0", sent=True, tunnelled=True, peer="node-1"),
    seen("node-1 eth0", sent=False, tunnelled=True, peer="node-0"),
    seen("lab/1-1", sent=False),
)
OUT = packet(
    seen("lab/0-0", sent=True),
    seen("node-0 tun0", sent=False),
    seen("node-0 eth0", sent=True, peer=GATEWAY),
    seen("external:0", sent=False),
    seen("external:0", sent=True),
    seen("node-0 eth0", sent=False, peer=GATEWAY),
    seen("node-0 tun0", sent=True),
    seen("lab/0-0", sent=False),
)


def points(data: str) -> list[Point]:
    """The points of a path."""
    x = y = 0.0
    found = []
    for letter, numbers in re.findall(r"([MLHV])([-\d. ]+)", data):
        values = [float(number) for number in numbers.split()]
        x = values[0] if letter in "MLH" else x
        y = values[-1] if letter in "MLV" else y
        found.append(Point(x, y))
    return found


def inside(point: Point, box: Box, slack: float = 3) -> bool:
    return (
        box.x - slack <= point.x <= box.right + slack
        and box.y - slack <= point.y <= box.bottom + slack
    )


def boxes(drawing: Diagram) -> Iterator[Box]:
    yield drawing.gateway
    yield from drawing.nodes.values()
    for tap, box in drawing.boxes.items():
        if drawing.links[tap].role in (Role.HOST, Role.EXTERNAL):
            yield box


def overlap(one: Box, other: Box) -> bool:
    return (
        one.x < other.right
        and other.x < one.right
        and one.y < other.bottom
        and other.y < one.bottom
    )


SIZES = [(1, 0, 0), (2, 2, 1), (4, 7, 3), (5, 1, 1), (10, 5, 2), (48, 1, 1)]


@pytest.mark.parametrize("size", SIZES)
def test_everything_is_on_the_drawing_and_nothing_covers_another(
    size: tuple[int, int, int],
) -> None:
    drawing = diagram(cluster(*size))

    whole = Box(0, 0, drawing.width, drawing.height)
    placed = list(boxes(drawing))
    assert all(inside(Point(*box[:2]), whole, slack=0) for box in placed)
    assert all(inside(Point(box.right, box.bottom), whole, slack=0) for box in placed)
    assert not any(overlap(*pair) for pair in itertools.combinations(placed, 2))
    rows = [
        (drawing.nodes[link.node], drawing.boxes[tap])
        for tap, link in drawing.links.items()
        if link.role in (Role.POD, Role.TUN0)
    ]
    assert all(inside(Point(*row[:2]), node, slack=0) for node, row in rows)
    alone = [row for _, row in rows]
    assert not any(overlap(*pair) for pair in itertools.combinations(alone, 2))


@pytest.mark.parametrize("size", SIZES)
def test_every_tap_has_a_wire(size: tuple[int, int, int]) -> None:
    n_nodes, n_pods, n_outside = size

    drawing = diagram(cluster(*size))

    assert len(drawing.links) == n_nodes * (2 + n_pods) + n_outside + 1


def test_ten_nodes_with_48_pods_need_no_more_width_than_four() -> None:
    assert diagram(cluster(10, 5)).width == diagram(cluster(4, 5)).width < 1000


def test_the_drawing_is_well_formed_and_text_is_text() -> None:
    odd = cluster(1, 0)
    odd = ClusterRecord(
        nodes=odd.nodes,
        externals=odd.externals,
        rogues=(PlaceRecord(tap="x", name="<b>&", ip='"'),),
        ghosts=(),
        gateway="<script>",
    )

    root = ET.fromstring(f"<svg>{diagram(odd).svg}</svg>")  # noqa: S314 - our own

    texts = [element.text or "" for element in root.iter("text")]
    assert "<b>& (rogue)" in texts
    assert "<script>" in texts
    assert not list(root.iter("script"))


def test_a_name_that_is_too_long_is_cut_and_shows_in_full_on_a_pointer() -> None:
    name = "kube-service-catalog/apiserver-with-a-long-name-x5nq4"
    pod = PlaceRecord(tap=name, name=name, ip="10.128.0.9")
    one = cluster(1, 0)
    node = NodeRecord(
        name="n", ip="i", gateway="g", tun0="tun0", wire="eth0", pods=(pod,)
    )

    drawing = diagram(
        ClusterRecord(
            nodes=(node,), externals=(), rogues=(), ghosts=(), gateway=one.gateway
        )
    )

    assert f"<title>{name} 10.128.0.9</title>" in drawing.svg
    assert "…" in drawing.svg


def test_the_way_of_a_packet_has_no_gap_from_its_sender_to_its_receiver() -> None:
    drawing = diagram(cluster())

    way = [points(data) for data in path(REMOTE, drawing).segments]

    assert inside(way[0][0], drawing.boxes["lab/0-0"])
    assert inside(way[-1][-1], drawing.boxes["lab/1-1"])
    for before, after in itertools.pairwise(way):
        assert abs(before[-1].x - after[0].x) <= 4
        assert abs(before[-1].y - after[0].y) <= 4


def test_tunnelled_packets_go_over_the_switch_from_br0_to_br0() -> None:
    drawing = diagram(cluster())

    way = [points(data) for data in path(REMOTE, drawing).segments]

    assert any(abs(point.y - drawing.switch[0]) <= 2 for point in way[1])
    assert way[1][0].x == pytest.approx(drawing.nodes["node-0"].x + 16, abs=2)
    assert way[2][-1].x == pytest.approx(drawing.nodes["node-1"].x + 16, abs=2)


def test_what_leaves_the_cluster_goes_through_tun0_and_the_gateway_and_back() -> None:
    drawing = diagram(cluster())

    found = path(OUT, drawing)

    way = [points(data) for data in found.segments]
    assert inside(way[1][-1], drawing.boxes["node-0 tun0"])
    assert inside(way[2][-1], drawing.gateway)
    assert inside(way[3][-1], drawing.boxes["external:0"])
    assert inside(way[5][0], drawing.gateway)
    assert inside(way[-1][-1], drawing.boxes["lab/0-0"])
    for before, after in itertools.pairwise(way):
        assert abs(before[-1].x - after[0].x) <= 4
        assert abs(before[-1].y - after[0].y) <= 4
    assert found.turn == 4


def test_a_packet_that_nobody_answers_never_turns() -> None:
    assert path(REMOTE, diagram(cluster())).turn == len(REMOTE.sightings)


def test_copies_for_several_pods_all_come_from_the_same_br0() -> None:
    drawing = diagram(cluster(1, 3))
    copies = packet(
        seen("lab/0-0", sent=True),
        seen("lab/0-1", sent=False),
        seen("lab/0-2", sent=False),
    )

    _, *way = [points(data) for data in path(copies, drawing).segments]

    assert way[0][0] == way[1][0]
    assert inside(way[0][-1], drawing.boxes["lab/0-1"])
    assert inside(way[1][-1], drawing.boxes["lab/0-2"])


def test_nodes_of_two_rows_are_joined_over_the_trunk() -> None:
    drawing = diagram(cluster(10, 1))
    far = packet(
        seen("node-0 eth0", sent=True, tunnelled=True, peer="node-9"),
        seen("node-9 eth0", sent=False, tunnelled=True, peer="node-0"),
    )

    _, way = [points(data) for data in path(far, drawing).segments]

    assert len(drawing.switch) == 3
    assert any(abs(point.x - drawing.trunk) <= 2 for point in way)
    assert abs(way[-3].y - drawing.switch[2]) <= 2


def test_a_dropped_packet_is_crossed_out_where_it_went_into_br0() -> None:
    drawing = diagram(cluster())
    drop = DropRecord(
        node="node-0",
        table=int(Table.FROM_POD),
        table_name="FROM_POD",
        flow="priority=0",
    )
    lost = packet(seen("lab/0-1", sent=True), drops=(drop,))

    (death,) = path(lost, drawing).deaths

    assert death.text == "dropped in table 20"
    assert inside(death.at, drawing.nodes["node-0"])
    assert death.at.y == drawing.boxes["lab/0-1"].middle.y


def test_a_tap_that_is_not_on_the_drawing_has_no_path() -> None:
    gone = packet(seen("lab/gone", sent=True), seen("lab/0-0", sent=False))

    segments = path(gone, diagram(cluster())).segments

    assert segments[0] == ""
    assert segments[1]
