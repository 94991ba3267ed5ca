"""Packets are cut into batches that the machine's ARP table has room for."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from testbed.model import Traffic, Transport
from testbed.probe.batches import batches
from testbed.topology import load
from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from testbed.model import Cluster


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return load(shipped("ten-node.yaml")).cluster


def everyone(cluster: Cluster) -> list[Traffic]:
    pods = [pod for pod in cluster.pods if not pod.host_network]
    return [
        Traffic(sender=one, destination=other.ip, transport=Transport.ICMP)
        for one, other in itertools.permutations(pods, 2)
    ]


def pairs(traffics: list[Traffic], batch: list[int]) -> set[frozenset[IPv4Address]]:
    return {
        frozenset([traffics[number].sender.ip, traffics[number].destination])  # type: ignore[union-attr]
        for number in batch
    }


def test_what_fits_goes_in_one_batch_and_in_order(cluster: Cluster) -> None:
    traffics = everyone(cluster)[::-1]

    assert batches(traffics, most=10_000, room=10_000) == [list(range(len(traffics)))]


def test_every_packet_is_in_just_one_batch(cluster: Cluster) -> None:
    traffics = everyone(cluster)

    cut = batches(traffics, most=100, room=200)

    assert sorted(itertools.chain(*cut)) == list(range(len(traffics)))


def test_a_batch_has_no_more_pairs_than_neighbours_fit(cluster: Cluster) -> None:
    traffics = everyone(cluster)

    cut = batches(traffics, most=10_000, room=200)

    assert len(cut) > 1
    assert max(len(pairs(traffics, batch)) for batch in cut) == 100


def test_both_ways_of_a_pair_go_in_one_batch(cluster: Cluster) -> None:
    traffics = everyone(cluster)

    cut = batches(traffics, most=10_000, room=200)

    of_batches = [pairs(traffics, batch) for batch in cut]
    assert not any(a & b for a, b in itertools.combinations(of_batches, 2))


def test_a_pair_asked_about_often_takes_room_once(cluster: Cluster) -> None:
    (first, *_) = everyone(cluster)

    assert len(batches([first] * 5_000, most=10_000, room=0)) == 1


def test_a_batch_has_no_more_packets_than_allowed(cluster: Cluster) -> None:
    (first, *_) = everyone(cluster)

    cut = batches([first] * 5_000, most=2_000, room=1_000)

    assert [len(batch) for batch in cut] == [2_000, 2_000, 1_000]


def test_where_there_is_no_room_a_few_pairs_are_sent_all_the_same(
    cluster: Cluster,
) -> None:
    traffics = everyone(cluster)

    (first, *_) = batches(traffics, most=10_000, room=0)

    assert len(pairs(traffics, first)) == 32


def test_nothing_makes_no_batch() -> None:
    assert batches([], most=1, room=1) == []
