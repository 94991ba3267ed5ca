"""Sightings are put together to packets, whoever sent them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether

from testbed.probe import evidence
from testbed.probe.trails import Origin

if TYPE_CHECKING:
    import pytest

    from tests.unit.report.conftest import Stage


def test_a_packet_is_known_again_by_its_mark_behind_vxlan(delivered: Stage) -> None:
    trails, left_out = delivered.evidence().trails()

    (trail,) = trails
    assert trail.origin is Origin.SCENARIO
    assert trail.sender is delivered.client.tap
    assert [glimpse.sighting.tap for glimpse in trail.glimpses] == [
        delivered.client.tap,
        delivered.client.node.wire,
        delivered.server.node.wire,
        delivered.server.tap,
    ]
    assert left_out == 0


def test_an_answer_that_brings_the_mark_back_belongs_to_the_packet(
    delivered: Stage,
) -> None:
    client, server = delivered.client, delivered.server
    answer = delivered.datagram(server, client)
    answer[IP].id = 77
    delivered.see(server.tap, answer, sent=True)

    (trail,) = delivered.evidence().trails()[0]

    assert trail.glimpses[-1].sighting.tap is server.tap
    assert trail.glimpses[-1].frame.source == str(server.ip)


def test_a_positive_control_is_told_from_the_packet_under_test(dropped: Stage) -> None:
    trails, _ = dropped.evidence().trails()

    assert [trail.origin for trail in trails] == [Origin.SCENARIO, Origin.CONTROL]


def test_a_kernels_packet_is_known_again_by_its_contents(stage: Stage) -> None:
    client, server = stage.client, stage.server
    pings = [
        Ether() / IP(src=str(client.ip), dst=str(server.ip), id=n) / ICMP(seq=n)
        for n in (1, 2)
    ]
    for ping in pings:
        stage.see(client.tap, ping, sent=True)
    for ping in pings:
        stage.see(server.tap, ping)

    trails, _ = stage.evidence().trails()

    assert [trail.origin for trail in trails] == [Origin.KERNEL] * 2
    assert [len(trail.glimpses) for trail in trails] == [2, 2]
    assert not any(trail.is_noise for trail in trails)


def test_arp_of_kernels_is_noise_unless_it_answers_the_scenario(stage: Stage) -> None:
    client, server = stage.client, stage.server
    asks = Ether() / ARP(op="who-has", psrc=str(client.ip), pdst=str(server.ip))
    stage.send(client, asks, stage.mark)
    answer = Ether() / ARP(op="is-at", psrc=str(server.ip), pdst=str(client.ip))
    stage.see(client.tap, answer)
    stage.see(client.tap, Ether() / ARP(op="who-has", psrc="10.1.1.1", pdst="10.1.1.2"))

    trails, _ = stage.evidence().trails()

    assert [(trail.origin, trail.is_noise) for trail in trails] == [
        (Origin.SCENARIO, False),
        (Origin.ANSWER, False),
        (Origin.KERNEL, True),
    ]


def test_of_kernels_only_so_many_frames_are_looked_at_and_the_rest_is_counted(
    delivered: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "MOST_FRAMES", 2)
    for number in range(5):
        ping = Ether() / IP(src="10.1.1.1", dst="10.1.1.2", id=number) / ICMP()
        delivered.see(delivered.client.tap, ping)

    trails, left_out = delivered.evidence().trails()

    assert len(trails) == 1 + 2
    assert left_out == 3
