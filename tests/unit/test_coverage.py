"""Flows that differ only in what objects say are one kind."""

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


def test_the_ports_that_flows_of_dns_and_vxlan_are_about_make_a_kind() -> None:
    dns, vxlan = (
        kind_of(flow("udp", f"tp_dst={port}", table=Table.EGRESS_ROUTING))
        for port in (53, 4789)
    )

    assert dns != vxlan


@pytest.mark.parametrize("table", [Table.IP_TO_SERVICE, Table.POLICY])
def test_the_ports_of_services_and_policies_make_none(table: Table) -> None:
    one, other = (
        kind_of(flow("tcp", f"tp_dst={port}", table=table)) for port in (80, 443)
    )

    assert one == other


def test_the_place_of_an_egress_rule_makes_none() -> None:
    rule = ("ip", "reg0=0x2a", "nw_dst=192.0.2.0/24")
    first, second, rest = (
        kind_of(flow(*rule, table=Table.EGRESS_NETWORK_POLICY, priority=priority))
        for priority in (2, 1, 0)
    )

    assert first == second != rest
