"""Hits of flows, whatever takes their counters away."""

from __future__ import annotations

import pytest

from testbed.errors import NotFoundError
from testbed.openflow import Table
from testbed.ovs import Counters
from testbed.probe.tally import Tally

NODE = "oc-01.test"


class Switch:
    """What a node's flows have counted: the miss of table 70, or nothing at all."""

    def __init__(self) -> None:
        self.n_packets: int | None = 5

    def read(self) -> dict[str, Counters]:
        counted = f"n_packets={self.n_packets}, n_bytes=0"
        line = f"table_id=70, duration=9s, {counted}, priority=0,actions=drop"
        return {NODE: Counters("" if self.n_packets is None else line)}


@pytest.fixture
def switch() -> Switch:
    return Switch()


@pytest.fixture
def tally(switch: Switch) -> Tally:
    return Tally(switch.read, switch.read())


def hits(tally: Tally) -> list[int]:
    return list(tally.hits().values())


def test_what_was_counted_before_the_scenario_is_no_hit(
    switch: Switch, tally: Tally
) -> None:
    assert hits(tally) == []

    switch.n_packets = 7

    assert hits(tally) == [2]


def test_a_hit_is_kept_when_its_flow_is_taken_away(
    switch: Switch, tally: Tally
) -> None:
    switch.n_packets = 7
    tally.before_change()
    switch.n_packets = None
    tally.after_change()

    assert hits(tally) == [2]


def test_hits_before_and_after_a_change_are_added(switch: Switch, tally: Tally) -> None:
    switch.n_packets = 7
    tally.before_change()
    switch.n_packets = 0
    tally.after_change()
    switch.n_packets = 1

    assert hits(tally) == [3]


def test_a_change_that_fails_has_nothing_counted_twice(
    switch: Switch, tally: Tally
) -> None:
    switch.n_packets = 7
    tally.before_change()
    switch.n_packets = 8

    assert hits(tally) == [3]


def test_a_scenario_begins_with_no_hits(switch: Switch, tally: Tally) -> None:
    switch.n_packets = 7
    tally.before_change()
    tally.after_change()

    tally.begin()

    assert hits(tally) == []


def test_one_flow_is_counted_since_the_latest_change(
    switch: Switch, tally: Tally
) -> None:
    switch.n_packets = 7
    tally.before_change()
    tally.after_change()
    switch.n_packets = 8

    assert tally.hits_of(NODE, Table.IP_TO_LOCAL_POD, "priority=0") == 1


def test_a_flow_that_the_node_has_not_is_not_counted(tally: Tally) -> None:
    with pytest.raises(NotFoundError, match=r"oc-01\.test has no flow priority=1 in"):
        tally.hits_of(NODE, Table.IP_TO_LOCAL_POD, "priority=1")
