"""What flows have counted between two dumps of a bridge."""

from __future__ import annotations

from testbed.openflow import Table
from testbed.ovs import Counters


def line(
    n_packets: int,
    *,
    age: int = 0,
    table: int = 20,
    selector: str = "priority=100,ip",
) -> str:
    return (
        f"duration={age}s, table={table}, n_packets={n_packets}, "
        f"n_bytes={n_packets * 60}, {selector},actions=drop"
    )


def test_a_flow_that_only_grew_older_was_not_hit() -> None:
    before, after = Counters(line(7, age=1)), Counters(line(7, age=9))

    assert after.since(before) == ()


def test_a_flow_that_was_hit_tells_by_how_many_packets() -> None:
    before, after = Counters(line(7, age=1)), Counters(line(10, age=9))

    ((flow, n_packets),) = after.since(before)

    assert flow.table is Table.FROM_POD
    assert flow.selector == "priority=100,ip"
    assert n_packets == 3


def test_a_flow_that_is_new_counts_from_nothing() -> None:
    new = line(2, selector="priority=200,arp")
    before, after = Counters(line(7)), Counters(f"{line(7)}\n{new}")

    ((flow, n_packets),) = after.since(before)

    assert (flow.priority, n_packets) == (200, 2)


def test_a_flow_that_is_gone_and_one_that_was_never_hit_are_not_told() -> None:
    new = line(0, selector="priority=200,arp")

    assert Counters(new).since(Counters(line(7))) == ()


def test_flows_are_told_as_packets_meet_them() -> None:
    lines = [
        line(1, table=table, selector=f"priority={priority},ip")
        for table in (80, 0, 20)
        for priority in (50, 200, 100)
    ]

    hits = Counters("\n".join(lines)).since(Counters(""))

    assert [(flow.table, flow.priority) for flow, _ in hits] == [
        (table, priority) for table in (0, 20, 80) for priority in (200, 100, 50)
    ]
