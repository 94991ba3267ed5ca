"""Captures: what a reader of pcapng finds in them."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scapy.utils import PcapNgReader

from testbed.probe import pcapng
from testbed.probe.capture import blocks, capture_name, write_capture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scapy.packet import Packet

    from tests.unit.report.conftest import Stage

SECTION, INTERFACE, STATISTICS = 0x0A0D0D0A, 1, 5
BODIES = {SECTION: 16, INTERFACE: 8, STATISTICS: 12}


def options(data: bytes, kind: int) -> Iterator[dict[int, bytes]]:
    """Yield the options of each block of a kind; also checks the lengths."""
    while data:
        found, length = struct.unpack_from("<II", data)
        block, data = data[:length], data[length:]
        assert length % 4 == 0
        assert struct.unpack_from("<I", block, length - 4) == (length,)
        if found != kind:
            continue
        values = {}
        rest = block[8 + BODIES[kind] : -4]
        while rest:
            code, size = struct.unpack_from("<HH", rest)
            values[code] = rest[4 : 4 + size]
            rest = rest[4 + size + -size % 4 :]
        assert values.pop(0) == b""
        yield values


def read(stage: Stage, directory: Path) -> list[Packet]:
    path = directory / "new" / "it.pcapng"
    write_capture(stage.evidence(), path)
    with PcapNgReader(str(path)) as reader:
        return list(reader)


def test_every_frame_is_there_at_its_tap(delivered: Stage, tmp_path: Path) -> None:
    packets = read(delivered, tmp_path)

    assert [bytes(packet) for packet in packets] == [
        seen.frame for seen in delivered.sightings
    ]
    assert [packet.sniffed_on for packet in packets] == [
        "lab/client-1",
        "node-1.test uplink0",
        "node-2.test uplink0",
        "lab/hello-2",
    ]


def test_times_are_kept_to_the_nanosecond(delivered: Stage, tmp_path: Path) -> None:
    times = [int(packet.time * 1_000_000_000) for packet in read(delivered, tmp_path)]

    assert times == [seen.nanoseconds for seen in delivered.sightings]


def test_what_came_in_is_told_from_what_went_out(
    delivered: Stage, tmp_path: Path
) -> None:
    flags = [packet.direction or 0 for packet in read(delivered, tmp_path)]

    assert [flag & 3 for flag in flags] == [2, 2, 1, 1]


def test_a_sent_frame_says_who_sent_it_and_a_copy_where_it_came_in(
    delivered: Stage, tmp_path: Path
) -> None:
    comments = [packet.comments for packet in read(delivered, tmp_path)]

    assert comments == [
        [b"packet 1 of scenarios/test_it.py::test_it[subnet], sent by lab/client-1"],
        None,
        [b"packet 1 comes in at node-2.test uplink0"],
        [b"packet 1 comes in at lab/hello-2"],
    ]


def test_the_last_frame_of_a_dropped_packet_says_which_flow_dropped_it(
    dropped: Stage, tmp_path: Path
) -> None:
    client, server = dropped.client, dropped.server
    late = dropped.tunnelled(dropped.datagram(client, server), client.node, server.node)
    dropped.see(client.node.wire, late, sent=True)

    comments = [packet.comments or [] for packet in read(dropped, tmp_path)]

    assert len(comments[0]) == 1
    assert comments[1:] == [
        [b"packet 2, a positive control, sent by lab/client-1"],
        [b"packet 2 comes in at node-1.test tun0"],
        [b"packet 1 is dropped on node-1.test in table 20 (FROM_POD) by priority=0"],
    ]


def test_a_drop_that_did_not_hold_is_not_told(dropped: Stage, tmp_path: Path) -> None:
    dropped.claims = [replace(claim, held=False) for claim in dropped.claims]

    comments = [packet.comments for packet in read(dropped, tmp_path)]

    assert not any(b"dropped" in line for lines in comments for line in lines or [])


def test_the_file_says_what_it_is_about(delivered: Stage) -> None:
    (about,) = options(joined(delivered), SECTION)

    comment = about[1].decode()
    assert "scenario: scenarios/test_it.py::test_it[subnet]\n" in comment
    assert "plugin: redhat/openshift-ovs-subnet\n" in comment
    assert "datapath: netdev\n" in comment
    assert "topology: topologies/two-node.yaml\n" in comment
    assert "Open vSwitch 3.1.0" in comment
    assert "not complete" not in comment


def test_every_tap_is_an_interface_that_says_what_it_is(delivered: Stage) -> None:
    found = {
        item[2].decode(): item[3].decode()
        for item in options(joined(delivered), INTERFACE)
    }

    assert set(found) == {str(tap) for tap in delivered.places.taps}
    client, node = delivered.client, delivered.client.node
    assert found["lab/client-1"] == (
        f"eth0 of pod lab/client-1, {client.ip}, on node node-1.test"
    )
    assert found["node-1.test uplink0"] == (
        f"uplink0 of node node-1.test, {node.ip}: the wire"
    )
    assert "tun0 of node node-1.test" in found["node-1.test tun0"]
    assert all(item[9] == b"\x09" for item in options(joined(delivered), INTERFACE))


def test_what_was_lost_is_told_by_tap_and_in_all(delivered: Stage) -> None:
    evidence = delivered.evidence(lost={delivered.client.tap: 7})
    data = b"".join(blocks(evidence))

    lost = [struct.unpack("<Q", item[5])[0] for item in options(data, STATISTICS)]

    assert sum(lost) == 7
    assert lost[evidence.taps.index(delivered.client.tap)] == 7
    (about,) = options(data, SECTION)
    assert "not complete: 7 frames were not kept" in about[1].decode()


def joined(stage: Stage) -> bytes:
    return b"".join(blocks(stage.evidence()))


@given(st.text(max_size=50))
@example("ä" * 40_000)
@example("a" * 65_535)
def test_comments_of_any_length_leave_a_file_that_can_be_read(comment: str) -> None:
    data = pcapng.section(comment, system="", application="")

    (found,) = options(data, SECTION)
    assert comment.startswith(found[1].decode())
    assert len(found[1]) >= min(len(comment.encode()), 65_000)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a/test_x.py::test[1]", "b/test_x.py::test[1]"),
        ("test_x.py::test[a/b]", "test_x.py::test[a_b]"),
        ("test_x.py::test[a b]", "test_x.py::test[a:b]"),
        (f"test_x.py::test[{'a' * 300}1]", f"test_x.py::test[{'a' * 300}2]"),
    ],
)
def test_no_two_scenarios_share_a_file(one: str, other: str) -> None:
    assert capture_name(one) != capture_name(other)


def test_a_file_is_named_after_its_scenario() -> None:
    name = capture_name("scenarios/test_arp.py::test_it[subnet-lab/client-a]")

    assert name.startswith("test_arp.py-test_it-subnet-lab-client-a-")
    assert name.endswith(".pcapng")
    assert len(capture_name("x" * 1000)) < 200
