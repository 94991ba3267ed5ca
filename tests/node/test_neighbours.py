"""The machine's ARP table is one for all: when full, it makes nothing lost."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import pytest

from testbed.emulation.machines import Kind, load
from testbed.emulation.neighbours import (
    NeighbourTable,
    forget_neighbours,
    neighbour_table,
    wait_for_room,
)
from testbed.model import Outcome, Traffic, Transport
from testbed.probe import observation
from testbed.probe.batches import batches
from testbed.probe.observation import observe
from testbed.process import run

if TYPE_CHECKING:
    from testbed.probe import LiveCluster, Pod

pytestmark = pytest.mark.plugins("subnet")


@pytest.fixture
def overflowing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that was full once more whenever it is looked at."""
    times = itertools.count()
    monkeypatch.setattr(
        observation,
        "neighbour_table",
        lambda: NeighbourTable(entries=9, limit=1024, overflows=next(times)),
    )


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that others have filled, as far as batches know."""
    monkeypatch.setattr(
        observation,
        "neighbour_table",
        lambda: NeighbourTable(entries=1024, limit=1024, overflows=0),
    )


def two_pods(cluster: LiveCluster) -> tuple[Pod, Pod]:
    one, other = cluster.pods_on(cluster.nodes[-1])[:2]
    return one, other


def neighbours(pod: Pod) -> list[object]:
    found: list[object] = json.loads(pod.run("ip", "-json", "neigh"))
    return found


def test_the_table_is_what_ip_says_it_is() -> None:
    before = neighbour_table()
    (told, *_) = json.loads(
        run(["ip", "-j", "-s", "ntable", "show", "name", "arp_cache"])
    )
    after = neighbour_table()

    assert before.limit == told["thresh3"]
    assert before.overflows <= told["table_fulls"] <= after.overflows
    assert before.entries >= 0


def test_the_world_outside_needs_no_room(cluster: LiveCluster) -> None:
    gateway = next(item for item in load() if item.kind is Kind.GATEWAY)
    known = json.loads(gateway.run("ip", "-json", "neigh", "show", "dev", "external0"))
    knows = json.loads(cluster.external.run("ip", "-json", "neigh"))

    assert {entry["dst"] for entry in known} >= {
        str(host.ip) for host in cluster.external_hosts
    }
    assert {tuple(entry["state"]) for entry in known + knows} == {("PERMANENT",)}


def test_a_pod_that_is_made_to_forget_knows_nobody_and_asks_again(
    cluster: LiveCluster,
) -> None:
    one, other = two_pods(cluster)
    one.run("ping", "-c1", "-W3", str(other.ip))
    assert neighbours(one)

    forget_neighbours(one.tap.socket, one.tap.interface)

    assert neighbours(one) == []
    one.run("ping", "-c1", "-W3", str(other.ip))


def test_a_table_with_room_is_not_waited_for(cluster: LiveCluster) -> None:
    assert cluster.nodes

    wait_for_room()

    assert run(["ip", "neigh", "show", "dev", "lo"]) == ""


@pytest.mark.usefixtures("overflowing")
def test_what_is_missing_while_the_table_is_full_is_inconclusive(
    cluster: LiveCluster,
) -> None:
    sender, _ = two_pods(cluster)
    nobody = cluster.unused_ip(sender.node)
    traffic = Traffic(sender=sender.pod, destination=nobody, transport=Transport.ICMP)

    (seen,) = observe(cluster, [traffic])

    assert seen.outcome is Outcome.INCONCLUSIVE
    assert "ARP table, 1024 entries for all that runs on it, was full" in seen.reason


@pytest.mark.usefixtures("overflowing")
def test_what_arrives_while_the_table_is_full_has_arrived(
    cluster: LiveCluster,
) -> None:
    sender, receiver = two_pods(cluster)
    traffic = Traffic(
        sender=sender.pod, destination=receiver.ip, transport=Transport.ICMP
    )

    (seen,) = observe(cluster, [traffic])

    assert seen.outcome is Outcome.DELIVERED


def test_many_probes_leave_no_pod_with_neighbours(cluster: LiveCluster) -> None:
    pods = cluster.pods
    traffics = [
        Traffic(sender=one.pod, destination=other.ip, transport=Transport.ICMP)
        for one, other in itertools.permutations(pods, 2)
    ]

    observe(cluster, traffics)

    assert len(traffics) > 64
    assert [pod.name for pod in pods if neighbours(pod)] == []


@pytest.mark.usefixtures("crowded")
def test_answers_come_in_the_order_asked_in_however_many_batches(
    cluster: LiveCluster,
) -> None:
    traffics = [
        Traffic(sender=one.pod, destination=other.ip, transport=Transport.ICMP)
        for one, other in itertools.permutations(cluster.pods, 2)
    ]

    seen = observe(cluster, traffics)

    assert len(batches(traffics, most=len(traffics), room=0)) > 1
    assert [item.traffic for item in seen] == traffics
    assert {item.outcome for item in seen} == {Outcome.DELIVERED}
