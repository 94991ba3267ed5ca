"""Flows that differ in addresses, ofports and VNIDs only are one kind."""

from __future__ import annotations

import pytest

from testbed.coverage import kind_of
from testbed.openflow import Flow, Table


def flow(*match: str, table: Table = Table.FROM_POD, priority: int = 100) -> Flow:
    return Flow(table=table, priority=priority, match=match, actions=("drop",))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            ("ip", "in_port=3", "nw_src=10.128.0.2"),
            ("ip", "in_port=28", "nw_src=10.1.1.1"),
        ),
        (("reg0=0x2a", "reg1=0x2a"), ("reg0=0x493", "reg1=0x493")),
        (
            ("arp", "arp_sha=00:00:0a:83:01:f1/ff"),
            ("arp", "arp_sha=00:00:0a:80:00:02/ff"),
        ),
    ],
)
def test_flows_of_two_pods_are_one_kind(
    one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    assert kind_of(flow(*one)) == kind_of(flow(*other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("in_port=1",), ("in_port=2",)),
        (("reg0=0",), ("reg0=0x2a",)),
        (("ct_state=+rpl", "ip"), ("ct_state=-trk", "ip")),
        (("udp", "tp_dst=53"), ("udp", "tp_dst=4789")),
        (("ip", "nw_dst=224.0.0.0/4"), ("ip", "nw_dst=10.128.0.0/14")),
        (("ip", "nw_src=10.128.0.2"), ("ip", "nw_dst=10.128.0.2")),
    ],
)
def test_flows_that_mean_another_thing_are_another_kind(
    one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    assert kind_of(flow(*one)) != kind_of(flow(*other))


def test_priority_and_table_make_a_kind() -> None:
    kinds = {
        kind_of(flow("ip")),
        kind_of(flow("ip", priority=200)),
        kind_of(flow("ip", table=Table.ROUTING)),
    }

    assert len(kinds) == 3
