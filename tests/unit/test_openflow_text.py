"""Matches and actions, one by one, as Open vSwitch 3.1 prints them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from testbed.openflow import OFPort, Register, Table, actions, matches

POD = IPv4Address("10.131.1.241")
SUBNET = IPv4Network("10.131.0.0/23")


@pytest.mark.parametrize(
    ("match", "text"),
    [
        (matches.register(Register.SOURCE_VNID, 0), "reg0=0"),
        (matches.register(Register.DESTINATION_VNID, 42), "reg1=0x2a"),
        (matches.tun_src(POD), "tun_src=10.131.1.241"),
        (matches.in_port(OFPort.VXLAN0), "in_port=1"),
        (matches.in_port(28), "in_port=28"),
        (matches.nw_src(SUBNET), "nw_src=10.131.0.0/23"),
        (matches.nw_dst(POD), "nw_dst=10.131.1.241"),
        (matches.nw_dst(IPv4Network("10.131.1.241/32")), "nw_dst=10.131.1.241"),
        (matches.arp_spa(POD), "arp_spa=10.131.1.241"),
        (matches.arp_tpa(SUBNET), "arp_tpa=10.131.0.0/23"),
        (
            matches.arp_sha(POD),
            "arp_sha=00:00:0a:83:01:f1/00:00:ff:ff:ff:ff",
        ),
        (matches.tp_dst(53), "tp_dst=53"),
        (matches.UNTRACKED, "ct_state=-trk"),
        (matches.REPLY, "ct_state=+rpl"),
    ],
)
def test_a_match_reads_as_ovs_prints_it(match: str, text: str) -> None:
    assert match == text


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (actions.goto(Table.ROUTING), "goto_table:30"),
        (actions.output(OFPort.TUN0), "output:2"),
        (
            actions.output_register(Register.DESTINATION_OFPORT),
            "output:NXM_NX_REG2[]",
        ),
        (actions.load(0, Register.SOURCE_VNID), "load:0->NXM_NX_REG0[]"),
        (
            actions.load(OFPort.TUN0, Register.DESTINATION_OFPORT),
            "load:0x2->NXM_NX_REG2[]",
        ),
        (
            actions.vnid_from_tunnel(Register.SOURCE_VNID),
            "move:NXM_NX_TUN_ID[0..31]->NXM_NX_REG0[]",
        ),
        (
            actions.vnid_to_tunnel(Register.SOURCE_VNID),
            "move:NXM_NX_REG0[]->NXM_NX_TUN_ID[0..31]",
        ),
        (actions.set_tunnel_vnid(42), "load:0x2a->NXM_NX_TUN_ID[0..31]"),
        (actions.set_tunnel_vnid(0), "load:0->NXM_NX_TUN_ID[0..31]"),
        (actions.set_tunnel_destination(POD), "set_field:10.131.1.241->tun_dst"),
        (
            actions.set_destination_mac("0e:58:0a:83:00:01"),
            "set_field:0e:58:0a:83:00:01->eth_dst",
        ),
        (actions.set_packet_mark(42), "set_field:0x2a->pkt_mark"),
        (actions.track(Table.DISPATCH), "ct(table=0)"),
        (actions.track_and_restore(Table.IP_TO_LOCAL_POD), "ct(table=70,nat)"),
        (actions.commit(), "ct(commit)"),
        (actions.commit(Table.ROUTING), "ct(commit,table=30)"),
        (
            actions.commit(Table.ROUTING, may_change_source_port=True),
            "ct(commit,table=30,nat(src))",
        ),
        (actions.note(2, 7), "note:02.07.00.00.00.00"),
    ],
)
def test_an_action_reads_as_ovs_prints_it(action: str, text: str) -> None:
    assert action == text


def test_a_table_is_printed_with_number_and_name() -> None:
    assert str(Table.FROM_VXLAN) == "10 (FROM_VXLAN)"
