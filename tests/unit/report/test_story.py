"""The section of a failure: short, and nothing is left out without a word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether

from testbed.openflow import Flow, Table
from testbed.ovs.postmortem import DeadDaemon
from testbed.probe.evidence import Hit
from testbed.probe.story import tell

if TYPE_CHECKING:
    from tests.unit.report.conftest import Stage


DELIVERED = """\
sent:
   1 lab/client-1: UDP 10.128.0.2:40009 > 10.129.0.3:9
claimed:
  held:   1 arrives at lab/hello-2
seen, in milliseconds since the first frame:
     0.000  1 lab/client-1         sends UDP 10.128.0.2:40009 > 10.129.0.3:9
     0.100  1 node-1.test uplink0  sends VXLAN 192.168.10.11 > 192.168.10.12
                                           VNID 42: UDP 10.128.0.2:40009 >
                                           10.129.0.3:9
     0.200  1 node-2.test uplink0  gets  the same
     0.300  1 lab/hello-2          gets  UDP 10.128.0.2:40009 > 10.129.0.3:9
flows hit on node-1.test:
  table 20 (FROM_POD): 1 hit priority=100,ip,in_port=3,nw_src=10.128.0.2 → load…
"""


def test_a_delivered_packet_is_told_from_tap_to_tap(delivered: Stage) -> None:
    assert f"{tell(delivered.evidence(), width=80)}\n" == DELIVERED


def test_a_claim_that_does_not_hold_stands_out(dropped: Stage) -> None:
    dropped.claims = [replace(claim, held=False) for claim in dropped.claims]

    story = tell(dropped.evidence())

    assert (
        "  NOT SO: 1 is dropped on node-1.test in table 20 (FROM_POD) by priority=0"
        in story
    )
    assert "  NOT SO: 2 arrives at node-1.test tun0" in story


def test_witnesses_that_disagree_are_told_and_those_that_agree_are_not(
    stage: Stage,
) -> None:
    for number in range(10):
        stage.judge(f"verdict {number}", agrees=number < 3)

    story = tell(stage.evidence())

    _, _, told = story.partition("witnesses disagree:\n")
    assert told.splitlines()[:7] == [
        *(f"  verdict {number}" for number in range(3, 9)),
        "  … and 1 more",
    ]
    assert "verdict 2" not in story


@pytest.mark.parametrize(("columns", "widest"), [(20, 80), (80, 80), (300, 120)])
def test_no_line_is_wider_than_a_terminal_of_80_to_120_columns(
    delivered: Stage, columns: int, widest: int
) -> None:
    log = Path("/run/testbed/node-1.test/ovs-vswitchd.log")
    dead = DeadDaemon(
        program="ovs-vswitchd", pid=7, end="ended", log=log, last_lines=("word " * 99,)
    )
    flow = Flow(table=Table.POLICY, priority=1, match=("x" * 200,), actions=("drop",))
    delivered.hits.append(Hit(node="node-1.test", flow=flow, n_packets=1))
    evidence = delivered.evidence(
        dead=(("node-1.test", dead),), unread=f"no answer on {'/run' * 50}"
    )

    lines = tell(evidence, width=columns).splitlines()

    assert max(map(len, lines)) <= widest
    assert max(map(len, lines)) > widest - 25


def test_arp_of_kernels_is_not_told_but_counted(delivered: Stage) -> None:
    arp = Ether() / ARP(op="who-has", psrc="10.1.1.1", pdst="10.1.1.2")
    delivered.see(delivered.client.tap, arp)
    delivered.see(delivered.server.tap, arp)

    story = tell(delivered.evidence())

    assert "who has 10.1.1.2" not in story
    assert "and 2 frames of other ARP, which are not told" in story


def test_what_is_too_much_is_counted(stage: Stage) -> None:
    for number in range(50):
        ping = Ether() / IP(src="10.1.1.1", dst="10.1.1.2", id=number) / ICMP()
        stage.see(stage.client.tap, ping)
        unmarked = stage.datagram(stage.client, stage.server, marked=False)
        stage.send(stage.client, unmarked, number.to_bytes(16))
        flow = Flow(table=Table.POLICY, priority=number, actions=("drop",))
        stage.hits.append(Hit(node="node-1.test", flow=flow, n_packets=1))

    lines = tell(stage.evidence()).splitlines()

    more = [line.strip() for line in lines if "more" in line]
    assert more == ["… and 38 more", "… and 60 more", "… and 20 more"]


def test_frames_that_were_lost_are_told(delivered: Stage) -> None:
    story = tell(delivered.evidence(lost={delivered.client.tap: 7}))

    assert "lost to the recording:\n  7 frames at lab/client-1" in story


def test_a_dead_daemon_is_told_with_its_last_words(stage: Stage) -> None:
    dead = DeadDaemon(
        program="ovs-vswitchd",
        pid=7,
        end="killed by SIGKILL",
        log=Path("/run/testbed/node-1.test/ovs-vswitchd.log"),
        last_lines=("00001|bridge|INFO|one", "00002|bridge|EMER|two"),
    )

    story = tell(
        stage.evidence(dead=(("node-1.test", dead),), unread="the socket is closed")
    )

    assert story.splitlines() == [
        "sent:",
        "  nothing",
        "flows hit:",
        "  cannot be read: the socket is closed",
        ("ovs-vswitchd of node-1.test is dead: killed by SIGKILL; its last words:"),
        "  00001|bridge|INFO|one",
        "  00002|bridge|EMER|two",
    ]


def test_a_scenario_that_hit_nothing_says_so(stage: Stage) -> None:
    assert tell(stage.evidence()) == "sent:\n  nothing\nflows hit:\n  none"
