"""A fault changes one flow or one rule, whatever is around it."""

from __future__ import annotations

import pytest

from testbed.mutation.fault import (
    Deletion,
    Demotion,
    FlowFault,
    OtherAction,
    OtherActions,
    OtherMatch,
    RuleFault,
)
from testbed.openflow import Flow, Table

POD = Flow(
    table=Table.FROM_POD,
    priority=100,
    match=("ip", "in_port=3", "nw_src=10.128.0.2"),
    actions=("load:0x2a->NXM_NX_REG0[]", "goto_table:21"),
)
MISS = Flow(table=Table.FROM_POD, priority=0, actions=("drop",))
SAME_ELSEWHERE = Flow(table=Table.ROUTING, priority=0, actions=("drop",))
FLOWS = (POD, MISS, SAME_ELSEWHERE)

RULES = """\
*filter
:KUBE-SERVICES - [0:0]
-A KUBE-SERVICES -j RETURN
COMMIT
*nat
:KUBE-SERVICES - [0:0]
-A KUBE-SERVICES -j RETURN
-A KUBE-SERVICES -j KUBE-NODEPORTS
COMMIT
"""


def test_a_deleted_flow_is_missing_and_no_other() -> None:
    fault = FlowFault.of("oc-01", POD, Deletion())

    assert fault.flows(FLOWS) == (MISS, SAME_ELSEWHERE)


def test_a_flow_is_known_by_its_table_too() -> None:
    fault = FlowFault.of("oc-01", MISS, OtherActions(actions=("goto_table:21",)))

    assert fault.flows(FLOWS)[2] == SAME_ELSEWHERE
    assert fault.flows(FLOWS)[1].actions == ("goto_table:21",)


def test_a_demoted_flow_has_another_priority() -> None:
    (flow, *_) = FlowFault.of("oc-01", POD, Demotion(priority=7)).flows(FLOWS)

    assert (flow.priority, flow.match, flow.actions) == (7, POD.match, POD.actions)


def test_a_wider_match_lacks_one_item() -> None:
    edit = OtherMatch(old="nw_src=10.128.0.2")

    (flow, *_) = FlowFault.of("oc-01", POD, edit).flows(FLOWS)

    assert flow.match == ("ip", "in_port=3")


def test_a_flow_with_other_actions_than_it_had_keeps_them() -> None:
    """A scenario has given its namespace another VNID."""
    edit = OtherAction(old="load:0x2a->NXM_NX_REG0[]", new="load:0->NXM_NX_REG0[]")
    fault = FlowFault.of("oc-01", POD, edit)
    changed = Flow(
        table=POD.table,
        priority=POD.priority,
        match=POD.match,
        actions=("load:0x2b->NXM_NX_REG0[]", "goto_table:21"),
    )

    assert fault.flows([changed]) == (changed,)
    (flow,) = fault.flows([POD])
    assert flow.actions == ("load:0->NXM_NX_REG0[]", "goto_table:21")


def test_of_two_actions_that_are_alike_the_first_is_changed() -> None:
    copies = Flow(table=111, priority=100, actions=("output:1", "output:1"))
    edit = OtherAction(old="output:1", new="output:2")

    (flow,) = FlowFault.of("oc-01", copies, edit).flows([copies])

    assert flow.actions == ("output:2", "output:1")


@pytest.mark.parametrize("new", ["", "-A KUBE-SERVICES -j ACCEPT"])
def test_a_rule_is_changed_in_its_table_only(new: str) -> None:
    fault = RuleFault(
        node="oc-01", table="nat", old="-A KUBE-SERVICES -j RETURN", new=new
    )

    filter_table, _, nat = fault.rules(RULES).partition("*nat")

    assert "-A KUBE-SERVICES -j RETURN" in filter_table
    assert "-A KUBE-SERVICES -j RETURN" not in nat
    assert "-A KUBE-SERVICES -j KUBE-NODEPORTS" in nat
    assert (new in nat) if new else ("ACCEPT" not in nat)


def test_flows_and_rules_are_left_alone_by_each_others_faults() -> None:
    rule = RuleFault(node="oc-01", table="nat", old="-A KUBE-SERVICES -j RETURN")
    flow = FlowFault.of("oc-01", POD, Deletion())

    assert rule.flows(FLOWS) == FLOWS
    assert flow.rules(RULES) == RULES


WIDER = FlowFault.of("oc-01", MISS, Demotion(priority=7))


def test_a_failure_to_find_a_flow_by_its_old_name_tells_nothing_else() -> None:
    assert WIDER.renames("oc-01 has no flow priority=0 in table 20 (FROM_POD)")
    assert not WIDER.renames("oc-01 has no flow priority=1 in table 20 (FROM_POD)")


def test_a_drop_by_the_same_flow_under_its_new_name_tells_nothing_else() -> None:
    expected = "expected to be dropped on oc-01 in table 20 (FROM_POD) by priority=0"
    observed = "observed: 1 dropped on oc-01 in table 20 (FROM_POD) by"

    assert WIDER.renames(f"{expected}; {observed} priority=7; received at no tap")
    for failure in (
        f"{expected}; {observed} priority=8; received at no tap",
        f"{expected}; {observed} priority=7; received at shop/web",
        f"{expected}; observed: no flow dropped anything; received at no tap",
        f"{expected[:-1]}5; {observed} priority=7; received at no tap",
    ):
        assert not WIDER.renames(failure)


def test_a_flow_that_keeps_its_name_is_not_renamed() -> None:
    lost = "oc-01 has no flow priority=0 in table 20 (FROM_POD)"

    assert not FlowFault.of("oc-01", MISS, Deletion()).renames(lost)
    edit = OtherActions(actions=("goto_table:21",))
    assert not FlowFault.of("oc-01", MISS, edit).renames(lost)
