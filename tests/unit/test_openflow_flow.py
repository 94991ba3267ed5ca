from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import SwitchError
from testbed.openflow import (
    DEFAULT_PRIORITY,
    DumpedFlow,
    Flow,
    Table,
    parse_dump,
    table_miss,
)

MATCHES = st.sampled_from(
    [
        "ip",
        "arp",
        "ct_state=+rpl-trk",
        "reg0=0x2a",
        "tun_src=172.16.1.15",
        "in_port=3",
        "arp_sha=00:00:0a:83:01:f1/00:00:ff:ff:ff:ff",
        "nw_dst=10.128.0.0/14",
        "nw_frag=later",
    ]
)
ACTIONS = st.sampled_from(
    [
        "drop",
        "output:2",
        "goto_table:30",
        "load:0->NXM_NX_REG1[]",
        "load:0x2->NXM_NX_REG2[]",
        "move:NXM_NX_TUN_ID[0..31]->NXM_NX_REG0[]",
        "set_field:172.16.1.15->tun_dst",
        "ct(commit,table=30)",
        "ct(commit,table=1,nat(src=10.0.0.1,random))",
        "note:00.07.00.00.00.00",
    ]
)
FLOWS = st.builds(
    Flow,
    table=st.integers(0, Table.RULE_VERSION),
    priority=st.integers(0, 65535) | st.just(DEFAULT_PRIORITY),
    match=st.lists(MATCHES, unique=True, max_size=4).map(tuple),
    actions=st.lists(ACTIONS, min_size=1, max_size=5).map(tuple),
    cookie=st.integers(0, 2**64 - 1),
)
DUMPED_FLOWS = st.builds(
    DumpedFlow,
    flow=FLOWS,
    n_packets=st.integers(0, 2**64 - 1),
    n_bytes=st.integers(0, 2**64 - 1),
    duration=st.integers(0, 10**9).map(lambda milliseconds: milliseconds / 1000),
)


def dump(match: str, actions: str) -> str:
    return (
        "cookie=0x0, duration=1.000s, table=30, n_packets=0, n_bytes=0, "
        f"{match} actions={actions}"
    )


@given(st.lists(DUMPED_FLOWS))
def test_what_a_dump_says_is_read_back_whole(flows: list[DumpedFlow]) -> None:
    text = "\n".join(str(flow) for flow in flows)

    assert parse_dump(text) == tuple(flows)


def test_a_flow_is_written_as_add_flow_takes_it() -> None:
    flow = Flow(
        table=Table.ROUTING,
        priority=200,
        match=("arp", "arp_tpa=10.131.0.0/23"),
        actions=("goto_table:40",),
        cookie=0xE771F965,
    )

    assert str(flow) == (
        "cookie=0xe771f965,table=30,priority=200,arp,arp_tpa=10.131.0.0/23 "
        "actions=goto_table:40"
    )


def test_a_cookie_of_zero_is_not_written() -> None:
    assert str(table_miss(Table.POLICY)) == "table=80,priority=0 actions=drop"


def test_the_default_priority_is_not_written() -> None:
    flow = Flow(table=0, priority=DEFAULT_PRIORITY, match=("ip",), actions=("drop",))

    assert flow.selector == "ip"


def test_a_flow_without_priority_has_the_default_one() -> None:
    (dumped,) = parse_dump(dump("ip", "drop"))

    assert dumped.flow.priority == 32768


def test_a_flow_without_match_and_priority_is_read() -> None:
    (dumped,) = parse_dump(
        "cookie=0x0, duration=1.000s, table=253, n_packets=0, n_bytes=0, "
        "actions=note:00.07.00.00.00.00"
    )

    assert dumped.flow == Flow(
        table=Table.RULE_VERSION,
        priority=DEFAULT_PRIORITY,
        actions=("note:00.07.00.00.00.00",),
    )


def test_a_known_table_is_read_by_its_name() -> None:
    (dumped,) = parse_dump(dump("ip", "drop"))

    assert dumped.flow.table is Table.ROUTING


def test_a_dump_through_the_control_socket_reads_the_same() -> None:
    (of_ovs_appctl,) = parse_dump(
        "table_id=30, duration=1s, n_packets=7, n_bytes=42, "
        "priority=300,ip,nw_dst=10.131.0.1,actions=output:2"
    )
    (of_ovs_ofctl,) = parse_dump(
        " cookie=0x0, duration=1.000s, table=30, n_packets=7, n_bytes=42, "
        "idle_age=3, priority=300,ip,nw_dst=10.131.0.1 actions=output:2"
    )

    assert of_ovs_appctl == of_ovs_ofctl


def test_conntrack_with_its_arguments_is_one_action() -> None:
    (dumped,) = parse_dump(dump("ip", "ct(commit,table=30),output:2"))

    assert dumped.flow.actions == ("ct(commit,table=30)", "output:2")


def test_both_spellings_of_a_load_of_zero_are_one() -> None:
    (dumped,) = parse_dump(
        dump("ip", "load:0x0->NXM_NX_REG0[],load:0x2a->NXM_NX_REG1[]")
    )

    assert dumped.flow.actions == ("load:0->NXM_NX_REG0[]", "load:0x2a->NXM_NX_REG1[]")


def test_what_is_no_flow_is_passed_over() -> None:
    text = f"""
> ovs-ofctl -O OpenFlow13 dump-flows br0

OFPST_FLOW reply (OF1.3) (xid=0x2):
# a comment
{dump("ip", "drop")}
"""

    assert len(parse_dump(text)) == 1


def test_the_hidden_tables_of_ovs_are_passed_over() -> None:
    hidden = (
        "table_id=254, duration=9s, n_packets=0, n_bytes=0, "
        "priority=2,recirc_id=0,actions=drop"
    )

    assert parse_dump(hidden) == ()


@pytest.mark.parametrize(
    "line",
    [
        "what is this? actions=drop",
        "priority=0 actions=drop",
        dump("ip", ""),
        dump("ip", "output:2,"),
        dump("ip", "ct(commit,table"),
        dump("priority=high,ip", "drop"),
        dump("ip", "drop").replace("table=30", "table=thirty"),
        dump("ip", "drop").replace("0x0", "none"),
        dump("ip", "drop").replace("n_packets=0, ", ""),
        dump("ip", "drop").replace("1.000s", "long"),
    ],
)
def test_a_line_with_actions_that_is_no_flow_is_an_error(line: str) -> None:
    with pytest.raises(SwitchError, match="cannot read this flow"):
        parse_dump(line)


def test_a_flow_that_drops_and_does_no_more_drops() -> None:
    assert table_miss(Table.POLICY).drops


@pytest.mark.parametrize("action", ["output:2", "goto_table:30"])
def test_a_flow_that_passes_a_packet_on_does_not_drop(action: str) -> None:
    assert not table_miss(Table.POLICY, action).drops
