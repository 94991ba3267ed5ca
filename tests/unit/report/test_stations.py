"""What a frame comes out of and goes into, wherever it is seen."""

from __future__ import annotations

import pytest

from testbed.report.records import ClusterRecord, NodeRecord, PlaceRecord
from testbed.report.stations import GATEWAY, Stations

STATIONS = Stations.of(
    ClusterRecord(
        nodes=(
            NodeRecord(
                name="a",
                ip="192.168.10.1",
                gateway="10.128.0.1",
                tun0="a tun0",
                wire="a eth0",
                pods=(PlaceRecord(tap="lab/web", name="lab/web", ip="10.128.0.2"),),
            ),
        ),
        externals=(PlaceRecord(tap="external:x", name="x", ip="198.51.100.1"),),
        rogues=(PlaceRecord(tap="rogue:r", name="r", ip="192.168.10.66"),),
        ghosts=(),
        gateway="192.168.10.254",
    )
)
BR0, KERNEL, OUTSIDE = ("br0", "a"), ("kernel", "a"), (GATEWAY, "")


@pytest.mark.parametrize(
    ("tap", "tunnelled", "peer", "near", "far"),
    [
        ("lab/web", False, "", ("end", "lab/web"), BR0),
        ("a tun0", False, "", KERNEL, BR0),
        ("a eth0", True, "b", BR0, ("switch", "b")),
        ("a eth0", False, "b", KERNEL, ("switch", "b")),
        ("a eth0", False, GATEWAY, KERNEL, OUTSIDE),
        ("rogue:r", True, "a", ("end", "rogue:r"), ("switch", "a")),
        ("rogue:r", False, GATEWAY, ("end", "rogue:r"), OUTSIDE),
        ("external:x", False, "", ("end", "external:x"), OUTSIDE),
    ],
)
def test_what_is_sent_goes_from_its_machine_to_what_it_is_wired_to(
    tap: str,
    tunnelled: bool,  # noqa: FBT001
    peer: str,
    near: tuple[str, str],
    far: tuple[str, str],
) -> None:
    between = STATIONS.between(tap, sent=True, tunnelled=tunnelled, peer=peer)

    assert between == (near, far)


@pytest.mark.parametrize(
    ("tap", "tunnelled", "peer", "near", "far"),
    [
        ("lab/web", False, "", ("end", "lab/web"), BR0),
        ("a tun0", False, "", KERNEL, BR0),
        ("a eth0", True, "b", BR0, ("switch", "a")),
        ("a eth0", False, GATEWAY, KERNEL, OUTSIDE),
        ("rogue:r", True, "a", ("end", "rogue:r"), ("switch", "r")),
        ("external:x", False, "", ("end", "external:x"), OUTSIDE),
    ],
)
def test_what_comes_in_goes_the_other_way(
    tap: str,
    tunnelled: bool,  # noqa: FBT001
    peer: str,
    near: tuple[str, str],
    far: tuple[str, str],
) -> None:
    between = STATIONS.between(tap, sent=False, tunnelled=tunnelled, peer=peer)

    assert between == (far, near)


def test_a_frame_leaves_the_switch_for_whom_it_was_sent_to() -> None:
    _, entered = STATIONS.between("rogue:r", sent=True, tunnelled=True, peer="a")
    left, _ = STATIONS.between("a eth0", sent=False, tunnelled=True, peer="b")

    assert entered == left


def test_a_tap_that_nobody_knows_joins_nothing() -> None:
    leaves, enters = STATIONS.between("gone", sent=True, tunnelled=False, peer="")

    assert BR0 not in (leaves, enters)
    assert leaves != enters
