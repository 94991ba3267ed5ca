"""The ways to get a flow wrong, and which of them nobody could tell."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from testbed.mutation.equivalence import why_equivalent, why_the_same_as_deleted
from testbed.mutation.flows import Choices, FlowChange, flow_changes
from testbed.mutation.mutant import Operator
from testbed.mutation.pipeline import Pipeline
from testbed.openflow import Flow

ALWAYS = "what comes to the table with its other fields always has"
CHOICES = Choices(
    ofports=(3, 28),
    vnids=(0, 0x2A, 0x2B),
    nodes=(IPv4Address("172.16.1.15"), IPv4Address("172.16.1.16")),
)


def flow(table: int, priority: int, match: str, actions: str) -> Flow:
    return Flow(
        table=table,
        priority=priority,
        match=tuple(match.split(",")) if match else (),
        actions=tuple(actions.split(" ")),
    )


DISPATCH_IP = flow(0, 100, "ip", "goto_table:20")
FROM_POD = flow(
    20, 100, "ip,in_port=3,nw_src=10.128.0.2", "load:0x2a->NXM_NX_REG0[] goto_table:21"
)
FROM_POD_MISS = flow(20, 0, "", "drop")
CONNTRACK_MISS = flow(21, 0, "", "goto_table:30")
GATEWAY = flow(30, 300, "ip,nw_dst=10.128.0.1", "output:2")
TO_POD = flow(30, 200, "ip,nw_dst=10.128.0.0/23", "goto_table:70")
TO_WORLD = flow(30, 0, "ip", "goto_table:100")
POD = flow(
    70,
    100,
    "ip,nw_dst=10.128.0.2",
    "load:0x2a->NXM_NX_REG1[] load:0x3->NXM_NX_REG2[] goto_table:80",
)
OTHER_POD = flow(
    70,
    100,
    "ip,nw_dst=10.128.0.3",
    "load:0x2b->NXM_NX_REG1[] load:0x1c->NXM_NX_REG2[] goto_table:80",
)
POD_MISS = flow(70, 0, "", "drop")
WITHIN = flow(80, 100, "reg0=0x2a,reg1=0x2a", "output:NXM_NX_REG2[]")
POLICY_MISS = flow(80, 0, "", "drop")
WORLD = flow(100, 0, "", "output:2")
FLOWS = (
    DISPATCH_IP,
    FROM_POD,
    FROM_POD_MISS,
    CONNTRACK_MISS,
    GATEWAY,
    TO_POD,
    TO_WORLD,
    POD,
    OTHER_POD,
    POD_MISS,
    WITHIN,
    POLICY_MISS,
    WORLD,
)
PIPELINE = Pipeline(FLOWS)


def changes(
    wanted: Flow, operator: Operator, pipeline: Pipeline = PIPELINE
) -> list[FlowChange]:
    return [
        change
        for change in flow_changes(wanted, pipeline, CHOICES)
        if change.operator is operator
    ]


def results(
    wanted: Flow, operator: Operator, pipeline: Pipeline = PIPELINE
) -> set[tuple[int, str, str]]:
    changed = [change.edit(wanted) for change in changes(wanted, operator, pipeline)]
    return {
        (item.priority, ",".join(item.match), " ".join(item.actions))
        for item in changed
        if item is not None
    }


@pytest.mark.parametrize("wanted", FLOWS, ids=str)
def test_every_change_makes_another_flow_of_the_same_table(wanted: Flow) -> None:
    for change in flow_changes(wanted, PIPELINE, CHOICES):
        changed = change.edit(wanted)

        assert changed != wanted
        assert changed is None or changed.table == wanted.table


def test_every_flow_can_be_deleted() -> None:
    (change,) = changes(FROM_POD, Operator.DELETED)

    assert change.edit(FROM_POD) is None


def test_a_match_is_widened_by_each_field_that_nothing_else_needs() -> None:
    actions = " ".join(FROM_POD.actions)

    assert results(FROM_POD, Operator.WIDENED) == {
        (100, "ip,nw_src=10.128.0.2", actions),
        (100, "ip,in_port=3", actions),
    }


def test_a_transport_is_widened_to_ip_where_no_port_needs_it() -> None:
    udp = flow(100, 200, "udp,nw_dst=172.16.1.15", "output:2")
    dns = flow(100, 200, "udp,nw_dst=172.16.1.15,tp_dst=53", "output:2")

    assert (200, "ip,nw_dst=172.16.1.15", "output:2") in results(
        udp, Operator.WIDENED, Pipeline((udp,))
    )
    assert results(dns, Operator.WIDENED, Pipeline((dns,))) == {
        (200, "udp,tp_dst=53", "output:2"),
        (200, "udp,nw_dst=172.16.1.15", "output:2"),
    }


def test_conntrack_needs_ip() -> None:
    tracks = flow(0, 300, "ct_state=-trk,ip", "ct(table=0)")

    assert results(tracks, Operator.WIDENED, Pipeline((tracks,))) == {
        (300, "ip", "ct(table=0)")
    }


def test_a_match_is_not_widened_to_that_of_another_flow() -> None:
    pipeline = Pipeline((FROM_POD, flow(20, 100, "ip,in_port=3", "drop")))

    assert {match for _, match, _ in results(FROM_POD, Operator.WIDENED, pipeline)} == {
        "ip,nw_src=10.128.0.2"
    }


def test_a_flow_falls_below_the_next_that_would_do_otherwise() -> None:
    multicast = flow(30, 250, "ip,in_port=1,nw_dst=224.0.0.0/4", "goto_table:120")
    reply = flow(30, 300, "ct_state=+rpl,ip", "ct(table=70,nat)")
    pipeline = Pipeline((multicast, reply, TO_WORLD))

    assert {
        priority for priority, *_ in results(reply, Operator.DEMOTED, pipeline)
    } == {249}


def test_a_flow_whose_packets_nobody_else_takes_does_not_fall() -> None:
    assert changes(WORLD, Operator.DEMOTED) == []


def test_a_loaded_vnid_becomes_anothers_and_everybodys() -> None:
    assert {actions for *_, actions in results(FROM_POD, Operator.VNID)} == {
        "load:0x2b->NXM_NX_REG0[] goto_table:21",
        "load:0->NXM_NX_REG0[] goto_table:21",
    }


def test_a_vnid_that_is_matched_becomes_anothers_on_each_side() -> None:
    assert {match for _, match, _ in results(WITHIN, Operator.VNID)} == {
        "reg0=0x2b,reg1=0x2a",
        "reg0=0x2a,reg1=0x2b",
    }


@pytest.mark.parametrize(
    ("action", "new"),
    [
        (
            "move:NXM_NX_TUN_ID[0..31]->NXM_NX_REG0[]",
            {"load:0x2a->NXM_NX_REG0[]", "load:0->NXM_NX_REG0[]"},
        ),
        (
            "move:NXM_NX_REG0[]->NXM_NX_TUN_ID[0..31]",
            {"load:0x2a->NXM_NX_TUN_ID[0..31]", "load:0->NXM_NX_TUN_ID[0..31]"},
        ),
        ("load:0->NXM_NX_TUN_ID[0..31]", {"load:0x2a->NXM_NX_TUN_ID[0..31]"}),
    ],
)
def test_a_vnid_that_is_copied_becomes_a_certain_one(
    action: str, new: set[str]
) -> None:
    copies = flow(90, 100, "ip", action)

    found = results(copies, Operator.VNID, Pipeline((copies,)))

    assert {actions for *_, actions in found} == new


@pytest.mark.parametrize(
    ("action", "new"),
    [
        ("output:3", "output:28"),
        ("output:2", "output:3"),
        ("output:1", "output:2"),
        ("output:NXM_NX_REG2[]", "output:2"),
        ("load:0x3->NXM_NX_REG2[]", "load:0x1c->NXM_NX_REG2[]"),
    ],
)
def test_a_packet_leaves_by_another_port(action: str, new: str) -> None:
    sends = flow(40, 100, "arp", action)

    found = results(sends, Operator.OUTPUT, Pipeline((sends,)))

    assert {actions for *_, actions in found} == {new}


def test_a_tunnel_leads_to_another_node() -> None:
    sends = flow(90, 100, "ip", "set_field:172.16.1.15->tun_dst output:1")

    found = results(sends, Operator.TUNNEL, Pipeline((sends,)))

    assert {actions for *_, actions in found} == {
        "set_field:172.16.1.16->tun_dst output:1"
    }


def test_a_packet_goes_on_where_its_neighbours_do_or_a_table_further() -> None:
    assert {actions for *_, actions in results(TO_POD, Operator.GOTO)} == {
        "goto_table:100",
        "goto_table:80",
    }


@pytest.mark.parametrize(
    ("action", "operator", "new"),
    [
        ("ct(commit,table=30)", Operator.COMMIT, "ct(table=30)"),
        ("ct(commit,table=30,nat(src))", Operator.COMMIT, "ct(table=30)"),
        ("ct(commit)", Operator.COMMIT, ""),
        ("ct(table=70,nat)", Operator.NAT, "ct(table=70)"),
        ("ct(commit,table=30,nat(src))", Operator.NAT, "ct(commit,table=30)"),
        ("set_field:0x2a->pkt_mark", Operator.MARK, "set_field:0x28->pkt_mark"),
        ("set_field:0e:58:0a:80:00:01->eth_dst", Operator.MAC, ""),
    ],
)
def test_conntrack_and_the_host_are_told_something_else(
    action: str, operator: Operator, new: str
) -> None:
    tells = flow(100, 100, "ip", f"{action} output:2")

    found = results(tells, operator, Pipeline((tells,)))

    assert {actions for *_, actions in found} == {f"{new} output:2".strip()}


def test_what_drops_lets_through_as_the_most_similar_flow_does() -> None:
    similar = flow(0, 200, "ip,in_port=2", "goto_table:30")
    other = flow(0, 200, "ip,in_port=1", "goto_table:10")
    drops = flow(0, 150, "in_port=2", "drop")
    pipeline = Pipeline((other, similar, drops))

    found = results(drops, Operator.LET_THROUGH, pipeline)

    assert {actions for *_, actions in found} == {"goto_table:30"}


def reasons(wanted: Flow, operator: Operator, pipeline: Pipeline) -> set[str]:
    return {
        why_equivalent(change, wanted, pipeline)
        for change in changes(wanted, operator, pipeline)
    }


def test_in_a_sound_pipeline_hardly_anything_is_equivalent() -> None:
    told = {
        (str(wanted), change.operator, change.text): reason
        for wanted in FLOWS
        for change in flow_changes(wanted, PIPELINE, CHOICES)
        if (reason := why_equivalent(change, wanted, PIPELINE))
    }

    assert {(operator, reason) for (_, operator, _), reason in told.items()} == {
        (Operator.GOTO, "table 21 only passes on"),
        (Operator.WIDENED, f"{ALWAYS} ip"),
    }


def test_a_table_that_nothing_leads_to_is_no_loss() -> None:
    note = flow(253, 32768, "", "note:00.07.00.00.00.00")
    pipeline = Pipeline((*FLOWS, note))

    assert reasons(note, Operator.DELETED, pipeline) == {"no packet comes to table 253"}


def test_a_table_that_only_conntrack_leads_to_is_one() -> None:
    tracks = flow(0, 300, "ct_state=-trk,ip", "ct(table=25)")
    behind = flow(25, 0, "", "drop")
    pipeline = Pipeline((tracks, behind))

    assert reasons(behind, Operator.DELETED, pipeline) == {""}


def test_a_flow_below_one_that_takes_everything_is_no_loss() -> None:
    pipeline = Pipeline(
        (DISPATCH_IP, flow(20, 200, "", "goto_table:21"), FROM_POD_MISS)
    )

    assert reasons(FROM_POD_MISS, Operator.LET_THROUGH, pipeline) == {
        "priority=200 takes all packets that it could"
    }


def test_a_flow_that_is_followed_by_one_that_does_the_same_is_no_loss() -> None:
    gateway = flow(80, 300, "ip,nw_src=10.128.0.1", "output:NXM_NX_REG2[]")
    open_to_all = flow(80, 200, "", "output:NXM_NX_REG2[]")
    closed = flow(80, 200, "", "drop")
    leads = flow(0, 0, "", "goto_table:80")

    followed = reasons(
        gateway, Operator.DELETED, Pipeline((leads, gateway, open_to_all))
    )
    missed = reasons(gateway, Operator.DELETED, Pipeline((leads, gateway, closed)))

    assert followed == {"priority=200 does the same with them"}
    assert missed == {""}


def test_what_the_next_flow_passes_on_to_counts_too() -> None:
    """DNS goes straight out of tun0; under ovs-subnet all else does, a table later."""
    leads = flow(0, 0, "", "goto_table:100")
    dns = flow(100, 200, "udp,nw_dst=172.16.1.15,tp_dst=53", "output:2")
    passes_on = flow(100, 0, "", "goto_table:101")
    out = flow(101, 0, "", "output:2")
    denied = flow(101, 1, "ip,reg0=0x2a", "drop")

    assert reasons(dns, Operator.DELETED, Pipeline((leads, dns, passes_on, out))) == {
        "priority=0 does the same with them"
    }
    assert reasons(
        dns, Operator.DELETED, Pipeline((leads, dns, passes_on, denied, out))
    ) == {""}


def test_a_field_that_was_asked_for_two_tables_before_need_not_be_again() -> None:
    leads = flow(0, 100, "ip", "goto_table:20")
    others = flow(0, 100, "arp", "goto_table:20")
    on = flow(20, 0, "", "goto_table:101")
    denied = flow(101, 1, "ip,reg0=0x2a", "drop")

    without_arp = reasons(denied, Operator.WIDENED, Pipeline((leads, on, denied)))
    with_arp = reasons(denied, Operator.WIDENED, Pipeline((leads, others, on, denied)))

    assert without_arp == {f"{ALWAYS} ip", ""}
    assert with_arp == {""}


def test_another_vnid_is_no_matter_where_both_are_treated_alike() -> None:
    leads = flow(0, 0, "", "goto_table:101")
    allowed = flow(101, 2, "ip,reg0=0x2a,nw_dst=198.51.100.1", "output:2")
    out = flow(101, 0, "", "output:2")
    denied = flow(101, 1, "ip,reg0=0x2a", "drop")

    assert reasons(allowed, Operator.VNID, Pipeline((leads, allowed, out))) == {
        "priority=0 does the same with them"
    }
    assert reasons(allowed, Operator.VNID, Pipeline((leads, allowed, denied, out))) == {
        ""
    }


def test_a_flow_that_drops_is_missed_since_it_counts() -> None:
    leads = flow(0, 0, "", "goto_table:101")
    denied = flow(101, 2, "ip,reg0=0x2a,nw_dst=192.0.2.7", "drop")
    denied_all = flow(101, 1, "ip,reg0=0x2a", "drop")

    assert reasons(denied, Operator.DELETED, Pipeline((leads, denied, denied_all))) == {
        ""
    }


def test_a_wider_match_is_no_matter_where_the_rest_is_treated_alike() -> None:
    leads = flow(0, 0, "", "goto_table:20")
    fields = "arp,in_port=3,arp_spa=10.128.0.2"
    checked = flow(20, 100, fields, "goto_table:21")
    lets_all = flow(20, 0, "", "goto_table:21")

    assert reasons(checked, Operator.WIDENED, Pipeline((leads, checked, lets_all))) == {
        "priority=0 does the same with them"
    }
    assert reasons(
        checked, Operator.WIDENED, Pipeline((leads, checked, FROM_POD_MISS))
    ) == {""}


def test_a_register_that_all_such_packets_have_need_not_be_asked_for() -> None:
    """The address of a pod says which namespace it is in."""
    allowed = flow(80, 150, "ip,reg1=0x2a,nw_dst=10.128.0.2", "output:NXM_NX_REG2[]")
    pipeline = Pipeline((*FLOWS, allowed))

    found = {
        change.text: why_equivalent(change, allowed, pipeline)
        for change in changes(allowed, Operator.WIDENED, pipeline)
    }

    assert found == {
        "without reg1=0x2a": f"{ALWAYS} reg1=0x2a",
        "without nw_dst=10.128.0.2": "",
    }


def test_a_flow_for_pods_of_other_nodes_is_never_hit() -> None:
    """A node with pods of a namespace has flows for all that its policies select."""
    elsewhere = flow(80, 150, "ip,reg1=0x2a,nw_dst=10.131.0.9", "output:NXM_NX_REG2[]")
    pipeline = Pipeline((*FLOWS, elsewhere))

    never = "nothing that it could take comes to the table"
    for operator in (Operator.DELETED, Operator.OUTPUT):
        assert reasons(elsewhere, operator, pipeline) == {never}
    assert reasons(elsewhere, Operator.WIDENED, pipeline) == {never, ""}


def test_a_vnid_that_nothing_reads_is_no_matter() -> None:
    """Under ovs-subnet table 80 asks nobody for one."""
    open_to_all = flow(80, 200, "", "output:NXM_NX_REG2[]")
    asks_nobody = Pipeline((*FLOWS[:-3], open_to_all))

    assert reasons(POD, Operator.VNID, asks_nobody) == {
        "nothing reads reg1 of such a packet"
    }
    assert reasons(POD, Operator.VNID, PIPELINE) == {""}


def test_a_vnid_that_only_other_packets_are_asked_for_is_no_matter() -> None:
    leads = flow(0, 0, "", "goto_table:10")
    arp = flow(10, 200, "arp,in_port=1", "load:0x2a->NXM_NX_REG0[] goto_table:20")
    asks_ip = flow(20, 100, "ip,reg0=0x2a", "drop")
    back = flow(20, 50, "arp", "move:NXM_NX_REG0[]->NXM_NX_TUN_ID[0..31] output:1")
    on = flow(20, 50, "arp", "move:NXM_NX_REG0[]->NXM_NX_TUN_ID[0..31] output:2")

    assert reasons(arp, Operator.VNID, Pipeline((leads, arp, asks_ip, back))) == {
        "nothing reads reg0 of such a packet"
    }
    assert reasons(arp, Operator.VNID, Pipeline((leads, arp, asks_ip, on))) == {""}


def test_a_table_that_only_passes_on_such_packets_may_be_left_out() -> None:
    """ovs-networkpolicy tracks IP in table 21, not ARP."""
    leads = flow(0, 0, "", "goto_table:20")
    arp = flow(20, 100, "arp,in_port=3", "goto_table:21")
    ip = flow(20, 100, "ip,in_port=3", "goto_table:21")
    tracks = flow(21, 200, "ip", "ct(commit,table=30)")
    pipeline = Pipeline((leads, arp, ip, tracks, CONNTRACK_MISS))

    assert reasons(arp, Operator.GOTO, pipeline) == {"table 21 only passes on"}
    assert reasons(ip, Operator.GOTO, pipeline) == {""}


@pytest.mark.parametrize(
    ("wanted", "operator"),
    [
        (GATEWAY, Operator.DEMOTED),
        (FROM_POD, Operator.DROPPED),
        (FROM_POD, Operator.DEMOTED),
        (WITHIN, Operator.DROPPED),
    ],
)
def test_what_a_deletion_does_is_not_done_again(
    wanted: Flow, operator: Operator
) -> None:
    for change in changes(wanted, operator):
        reason = why_the_same_as_deleted(change, wanted, PIPELINE)

        assert reason.startswith("as deleted: ")


@pytest.mark.parametrize(
    ("wanted", "operator"),
    [
        (GATEWAY, Operator.DROPPED),
        (GATEWAY, Operator.OUTPUT),
        (WITHIN, Operator.WIDENED),
        (FROM_POD_MISS, Operator.LET_THROUGH),
        (WORLD, Operator.DROPPED),
    ],
)
def test_what_a_deletion_does_not_do_is(wanted: Flow, operator: Operator) -> None:
    found = changes(wanted, operator)

    assert found
    assert {why_the_same_as_deleted(c, wanted, PIPELINE) for c in found} == {""}
