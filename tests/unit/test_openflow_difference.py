"""Flows that are not what they should be: missing, changed, extra."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbed.openflow import (
    Deviation,
    Flow,
    Table,
    could_match,
    flow_differences,
)

FROM_PEER = Flow(
    table=Table.FROM_VXLAN,
    priority=100,
    match=("tun_src=172.16.1.15",),
    actions=("goto_table:30",),
    cookie=0x1234,
    made_by="HostSubnet oc-01.test",
)
MISS = Flow(table=Table.FROM_VXLAN, priority=0, actions=("drop",))


def test_equal_flows_do_not_deviate() -> None:
    assert not list(flow_differences([FROM_PEER, MISS], [MISS, FROM_PEER]))


def test_a_missing_flow_names_who_made_it() -> None:
    (found,) = flow_differences([FROM_PEER, MISS], [MISS])

    assert found.deviation is Deviation.MISSING
    assert found.made_by == "HostSubnet oc-01.test"
    assert str(found) == (
        "missing: cookie=0x1234,table=10,priority=100,tun_src=172.16.1.15 "
        "actions=goto_table:30 (HostSubnet oc-01.test)"
    )


def test_a_flow_with_other_actions_is_changed() -> None:
    other = replace(FROM_PEER, actions=("drop",))

    (found,) = flow_differences([FROM_PEER], [other])

    assert found.deviation is Deviation.CHANGED
    assert str(found).endswith("(HostSubnet oc-01.test), but has actions=drop")


def test_a_flow_that_nothing_made_is_extra() -> None:
    (found,) = flow_differences([MISS], [MISS, FROM_PEER])

    assert (found.deviation, found.flow) == (Deviation.EXTRA, FROM_PEER)


def test_a_cookie_counts_unless_it_was_not_read() -> None:
    other = replace(FROM_PEER, cookie=0)

    assert [d.deviation for d in flow_differences([FROM_PEER], [other])] == [
        Deviation.CHANGED
    ]
    assert not list(flow_differences([FROM_PEER], [other], cookies=False))


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ((), True),
        (("ip",), True),
        (("arp",), False),
        (("udp",), False),
        (("tcp", "nw_dst=10.128.0.0/14"), True),
        (("ip", "nw_dst=10.132.0.0/14"), False),
        (("ip", "nw_dst=10.128.0.5"), True),
        (("reg0=0x1267", "nw_dst=10.128.0.5"), True),
        (("tun_src=172.16.1.15",), True),
        (("in_port=1",), True),
        (("in_port=2",), False),
    ],
)
def test_a_flow_could_match_what_contradicts_no_item(
    match: tuple[str, ...], *, fits: bool
) -> None:
    packet = {"in_port": "1", "tcp": "tcp", "nw_dst": "10.128.0.5"}

    assert could_match(replace(MISS, match=match), packet) is fits
