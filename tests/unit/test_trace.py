"""Reading what ``ofproto/trace`` prints; the texts are recorded from OVS 3.1."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from testbed.errors import SwitchError
from testbed.ovs.trace import Question, Trace, TraceAction, TraceStep, parse_trace
from testbed.ovs.trace_text import TraceReader

TRACES = Path(__file__).parents[1] / "golden" / "traces"
NAMES = sorted(path.stem for path in TRACES.glob("*.txt"))


def recorded(name: str) -> str:
    return (TRACES / f"{name}.txt").read_text()


def read(name: str) -> Trace:
    return parse_trace(recorded(name))


def test_a_step_has_table_flow_cookie_and_actions() -> None:
    steps = read("policy-drops").steps

    assert TraceStep(
        table=10,
        priority=100,
        match=("tun_src=192.168.10.12",),
        cookie=0xB6BF0ED8,
        actions=(TraceAction(text="goto_table:30"),),
    ) in steps  # fmt: skip


def test_a_tracked_packet_goes_on_where_conntrack_resumes_it() -> None:
    trace = read("local-pod-tracked")

    assert [step.table for step in trace.steps] == [0, 0, 20, 21, 30, 70, 80]
    assert [bridge.recirculation for bridge in trace.bridges] == [0, 1, 2]
    assert [set(bridge.ct_state) for bridge in trace.bridges] == [
        set(),
        {"trk", "new"},
        {"trk", "new"},
    ]


def test_what_conntrack_does_itself_is_no_action_of_the_flow() -> None:
    first, *_ = read("local-pod-tracked").steps

    (action,) = first.actions
    assert (action.text, action.nested) == ("ct(table=0)", "drop")
    assert not read("local-pod-tracked").dropped_by


def test_a_reply_is_resumed_as_one_each_time_it_is_asked_for() -> None:
    trace = read("reply-restored")

    assert all("rpl" in bridge.ct_state for bridge in trace.bridges[1:])
    assert trace.steps[-1].selector == "priority=200,ct_state=+rpl,ip"


def test_the_flow_that_drops_is_the_last_one() -> None:
    dropped_by = read("policy-drops").dropped_by

    assert str(dropped_by) == (
        "table=80,priority=100,ip,reg1=0x1267,nw_dst=10.128.0.3 actions=drop"
    )


def test_a_packet_that_no_flow_matches_is_dropped_in_that_table() -> None:
    dropped_by = read("no-match").dropped_by

    assert dropped_by
    assert (dropped_by.table, dropped_by.priority) == (20, None)
    assert str(dropped_by) == "table=20,no match actions=drop"


def test_an_output_knows_the_port_in_a_register_and_the_vnid() -> None:
    (output,) = read("local-pod-tracked").outputs

    assert (output.ofport, output.vnid, output.step.table) == (4, 4711, 80)


def test_each_copy_of_multicast_knows_its_own_tunnel() -> None:
    to_peer, to_pod = read("multicast").outputs

    assert (to_peer.ofport, to_peer.tun_id) == (1, 4711)
    assert to_peer.tun_dst == IPv4Address("192.168.10.12")
    assert to_pod.ofport == 4


def test_an_output_to_where_the_packet_came_from_is_none() -> None:
    trace = read("multicast")

    (action,) = (a for s in trace.steps for a in s.actions if a.text == "output:3")
    assert action.warnings == ("skipping output to input port",)
    assert 3 not in [output.ofport for output in trace.outputs]


def test_an_output_to_a_port_that_is_not_there_drops() -> None:
    trace = read("no-such-port")

    assert not trace.outputs
    assert trace.dropped_by
    assert trace.dropped_by.actions[-1].warnings == ("Nonexistent output port",)


def test_a_marked_packet_keeps_mark_and_mac_to_its_output() -> None:
    (output,) = read("local-egress-marked").outputs

    assert output.pkt_mark == 0x01001266
    assert output.eth_dst == "0e:58:0a:80:00:01"


def test_a_committed_packet_goes_on_with_the_flows_next_action() -> None:
    (output,) = read("remote-egress-committed").outputs

    assert (output.ofport, output.tun_id) == (1, 4711)
    assert [action.text for action in output.step.actions][:2] == [
        "ct(commit)",
        "move:NXM_NX_REG0[]->NXM_NX_TUN_ID[0..31]",
    ]


def test_the_default_priority_is_left_out_as_in_a_dump() -> None:
    (step,) = (step for step in read("multicast").steps if step.table == 110)

    assert step.priority == 32768
    assert str(step) == "table=110,reg0=0x1267 actions=goto_table:111"


@pytest.mark.parametrize("name", NAMES)
def test_a_packet_was_dropped_where_the_datapath_drops_it(name: str) -> None:
    trace = read(name)

    drops = trace.bridges[-1].datapath_actions == "drop"
    assert drops == (trace.dropped_by is not None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_trace_that_was_cut_off_is_an_error(name: str, share: float) -> None:
    lines = recorded(name).splitlines()

    with pytest.raises(SwitchError):
        parse_trace("\n".join(lines[: round(len(lines) * share)]))


def test_a_trace_that_conntrack_does_not_resume_is_an_error() -> None:
    before, *_ = recorded("policy-drops").split("\n\n===")

    with pytest.raises(SwitchError, match="cut off"):
        parse_trace(before)


def test_what_is_no_trace_is_an_error_that_shows_it() -> None:
    with pytest.raises(SwitchError, match="no trace: no such thing"):
        parse_trace("no such thing")


def test_an_action_that_cannot_be_played_is_an_error() -> None:
    text = recorded("no-match").replace("    drop\n", "    dec_ttl\n")

    with pytest.raises(SwitchError, match="dec_ttl"):
        _ = parse_trace(text).outputs


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_reads_the_same_whatever_it_remembers(name: str) -> None:
    reader = TraceReader(remembered=100)
    for other in NAMES:
        reader(recorded(other))

    remembered = reader(recorded(name))

    assert remembered == read(name)
    assert remembered.outputs == read(name).outputs
    assert remembered.dropped_by == read(name).dropped_by


def test_a_table_that_was_read_before_is_not_read_again() -> None:
    reader = TraceReader(remembered=100)
    unicast = reader(recorded("native-tunnel")).steps

    multicast = reader(recorded("native-tunnel-multicast")).steps

    assert multicast[1] is unicast[1]


def test_a_reader_remembers_no_more_than_it_may() -> None:
    reader = TraceReader(remembered=1)
    first = reader(recorded("multicast")).steps
    reader(recorded("native-tunnel"))

    again = reader(recorded("multicast")).steps

    assert again == first
    assert not any(one is other for one, other in zip(again, first, strict=True))


def test_what_the_underlays_bridge_does_with_a_tunnel_is_left_out() -> None:
    trace = read("native-tunnel")

    (bridge,) = trace.bridges
    assert bridge.name == "br0"
    assert [step.table for step in trace.steps] == [0, 20, 21, 30, 90]
    assert [output.ofport for output in trace.outputs] == [1]


def test_copies_that_leave_by_tunnels_are_followed_by_those_to_pods() -> None:
    trace = read("native-tunnel-multicast")

    assert [step.table for step in trace.steps] == [0, 20, 21, 30, 110, 111, 120]
    assert [(output.ofport, str(output.tun_dst)) for output in trace.outputs[:3]] == [
        (1, "172.16.1.16"),
        (1, "172.16.1.22"),
        (1, "172.16.1.25"),
    ]
    assert trace.outputs[3].ofport == 5


def test_a_move_tells_of_both_its_fields() -> None:
    (step,) = (step for step in read("policy-drops").steps if step.priority == 200
               and step.table == 0)  # fmt: skip

    assert step.effects == (("tun_id", "0x1267"), ("reg0", "0x1267"))


def test_a_packet_that_ovs_gave_up_on_is_an_error() -> None:
    text = f"{recorded('no-match')}Translation failed (Recursion too deep), …\n"

    with pytest.raises(SwitchError, match="Recursion too deep"):
        parse_trace(text)


@pytest.mark.parametrize("line", ["        what is this", "what is this"])
def test_a_line_that_no_flow_of_the_sdn_leads_to_is_an_error(line: str) -> None:
    text = recorded("no-match").replace("    goto_table:20\n", f"{line}\n")

    with pytest.raises(SwitchError, match="what is this"):
        parse_trace(text)


def test_a_frame_from_a_tunnel_is_refused_where_ovs_would_forget_the_tunnel() -> None:
    origin = "in_port=1,tun_src=172.16.1.16,tun_id=4711"

    with pytest.raises(SwitchError, match="tun_dst"):
        Question(origin, frame=b"frame")

    assert Question(f"{origin},tun_dst=172.16.1.15", frame=b"frame").frame
    assert Question(f"{origin},ip").packet
