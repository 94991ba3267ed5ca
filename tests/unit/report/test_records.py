"""What is told of a scenario, as plain data that passes between processes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from testbed.report import records
from testbed.report.records import DropRecord, VerdictRecord, dumped, loaded, record
from testbed.report.stations import GATEWAY

if TYPE_CHECKING:
    import pytest

    from tests.unit.report.conftest import Stage


def test_a_record_passes_unchanged_from_process_to_process(dropped: Stage) -> None:
    made = record(dropped.evidence())

    assert loaded(dumped(made)) == made


def test_each_sighting_tells_what_changed_since_the_packet_was_seen_before(
    delivered: Stage,
) -> None:
    (packet,) = record(delivered.evidence()).packets

    assert [seen.changes for seen in packet.sightings] == [
        (),
        ("into VXLAN 192.168.10.11 > 192.168.10.12 VNID 42",),
        (),
        ("out of VXLAN",),
    ]
    assert [seen.microseconds for seen in packet.sightings] == [0, 100, 200, 300]
    assert [seen.peer for seen in packet.sightings[1:3]] == [
        "node-2.test",
        "node-1.test",
    ]


def test_a_copy_for_a_pod_on_the_same_node_was_never_in_a_tunnel(stage: Stage) -> None:
    client, server = stage.client, stage.server
    packet = stage.datagram(client, server)
    stage.send(client, stage.datagram(client, server, marked=False), stage.mark)
    over = stage.tunnelled(packet, client.node, server.node)
    stage.see(client.node.wire, over, sent=True)
    stage.see(stage.neighbour.tap, packet)
    stage.see(server.node.wire, over)
    stage.see(server.tap, packet)

    (told,) = record(stage.evidence()).packets

    assert [(seen.tap, seen.changes) for seen in told.sightings[2:]] == [
        ("lab/hello-1", ()),
        ("node-2.test uplink0", ()),
        ("lab/hello-2", ("out of VXLAN",)),
    ]


def test_what_nat_did_at_the_nodes_edge_is_told_where_it_shows(stage: Stage) -> None:
    node, outside = stage.client.node, "198.51.100.1"
    gateway = stage.topology.cluster.underlay.gateway
    inner = Ether() / IP(src=str(stage.client.ip), dst=outside) / UDP(sport=7, dport=9)
    outer = (
        Ether(dst=f"52:54:{gateway.packed.hex(':')}")
        / IP(src=str(node.ip), dst=outside)
        / UDP(sport=7, dport=9)
    )
    stage.send(stage.client, inner, stage.mark)
    stage.see(node.tap, inner / Raw(stage.mark))
    stage.see(node.wire, outer / Raw(stage.mark), sent=True)

    (packet,) = record(stage.evidence()).packets

    *_, left = packet.sightings
    assert left.peer == GATEWAY
    assert f"source {stage.client.ip}:7 → {node.ip}:7" in left.changes


def test_a_proven_drop_is_told_of_the_packet_it_is_about(dropped: Stage) -> None:
    packet, control = record(dropped.evidence()).packets

    assert packet.drops == (
        DropRecord(
            node="node-1.test", table=20, table_name="FROM_POD", flow="priority=0"
        ),
    )
    assert control.origin == "control"
    assert control.drops == ()


def test_a_drop_that_did_not_hold_is_no_drop(dropped: Stage) -> None:
    dropped.claims = [replace(claim, held=False) for claim in dropped.claims]

    made = record(dropped.evidence())

    assert not any(packet.drops for packet in made.packets)
    assert not any(claim.held for claim in made.claims)


def test_claims_are_about_packets_by_their_numbers(dropped: Stage) -> None:
    claims = record(dropped.evidence()).claims

    assert [(claim.packet, claim.kind, claim.control) for claim in claims] == [
        (2, "arrives at", True),
        (1, "is dropped on", False),
    ]
    assert claims[1].object == "node-1.test in table 20 (FROM_POD) by priority=0"


def test_verdicts_are_told_in_a_line_and_in_full(stage: Stage) -> None:
    stage.judge("delivered", agrees=True)

    made = record(stage.evidence())

    assert made.verdicts == (
        VerdictRecord(agrees=True, line="delivered", paragraph="delivered, because."),
    )
    assert made.verdicts_left_out == 0


def test_of_many_verdicts_those_that_disagree_are_told_first(stage: Stage) -> None:
    for number in range(100):
        stage.judge(str(number), agrees=number != 77)

    made = record(stage.evidence())

    assert [verdict.line for verdict in made.verdicts[:3]] == ["77", "0", "1"]
    assert len(made.verdicts) + made.verdicts_left_out == 100
    assert made.verdicts_left_out > 80


def test_of_kernels_so_many_packets_are_told_and_the_rest_is_counted(
    delivered: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MOST_PACKETS", 2)
    for number in range(5):
        ping = Ether() / IP(src="10.1.1.1", dst="10.1.1.2", id=number) / ICMP()
        delivered.see(delivered.client.tap, ping)

    made = record(delivered.evidence())

    assert [packet.origin for packet in made.packets] == ["scenario"] + ["kernel"] * 2
    assert made.left_out == 3


def test_clusters_that_look_alike_are_drawn_once(stage: Stage) -> None:
    one, other = record(stage.evidence()), record(stage.evidence())
    fewer = replace(stage.places, pods=stage.places.pods[1:])

    assert one.cluster.key == other.cluster.key
    assert record(stage.evidence(places=fewer)).cluster.key != one.cluster.key


def test_a_pod_that_is_gone_is_drawn_where_it_was_seen(delivered: Stage) -> None:
    left = replace(delivered.places, pods=delivered.places.pods[:-1])

    made = record(delivered.evidence(places=left, taps=delivered.places.taps))

    assert [pod.name for pod in made.cluster.nodes[1].pods] == [
        "lab/client-2",
        "lab/hello-2",
    ]
