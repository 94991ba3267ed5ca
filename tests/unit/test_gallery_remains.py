"""What stays on a node although its objects have changed."""

from __future__ import annotations

import pytest

from testbed.errors import NotFoundError
from testbed.gallery.remains import FlowsStale, OlderFlow, RulesStale
from testbed.host.iptables import node_rules
from testbed.openflow import Table
from testbed.pipeline import node_flows
from testbed.topology import load
from testbed.topology.shipped import shipped

NODE = "oc-01.test"
BEFORE = load(shipped("networkpolicy.yaml"))
OPEN = "{kind: NetworkPolicy, metadata: {namespace: vault, name: default-deny}}"
OPENED = BEFORE.deleted(OPEN, "test")
TO_VAULT = f"reg1={BEFORE.cluster.vnid('vault'):#x}"


def test_the_flows_of_one_namespace_stay_and_all_others_change() -> None:
    before = node_flows(BEFORE.cluster, BEFORE.cluster.node(NODE))
    after = node_flows(OPENED.cluster, OPENED.cluster.node(NODE))
    kept = FlowsStale.of(BEFORE.cluster, NODE, Table.POLICY, TO_VAULT)

    assert set(before) != set(after)
    assert set(kept.flows(after)) == set(before)


def test_flows_that_there_were_none_of_do_not_come() -> None:
    kept = FlowsStale.of(BEFORE.cluster, NODE, Table.POLICY, TO_VAULT)

    assert kept.left == ()
    assert (
        kept.told
        == f"oc-01 still has what it had in table 80 (POLICY) for {TO_VAULT}: no flow"
    )


def test_an_older_flow_matches_otherwise_and_does_the_same() -> None:
    computed = node_flows(BEFORE.cluster, BEFORE.cluster.node(NODE))
    older = OlderFlow(
        node=NODE,
        table=Table.ROUTING,
        selector="priority=25,ip,nw_dst=224.0.0.0/4",
        older="priority=25,ip,nw_dst=224.0.0.0/3",
    )
    older.check(BEFORE.cluster)

    differ = [
        (old, new)
        for old, new in zip(computed, older.flows(computed), strict=True)
        if old != new
    ]

    ((old, new),) = differ
    assert new.selector == "priority=25,ip,nw_dst=224.0.0.0/3"
    assert new.actions == old.actions


def test_an_older_flow_takes_the_place_of_one_that_is_there() -> None:
    older = OlderFlow(node=NODE, table=30, selector="priority=1", older="priority=2")

    with pytest.raises(NotFoundError, match="has no flow priority=1 in table 30"):
        older.check(BEFORE.cluster)


def test_rules_stay_as_they_were() -> None:
    kept = RulesStale.of(BEFORE.cluster, NODE)

    assert kept.rules("") == node_rules(BEFORE.cluster, BEFORE.cluster.node(NODE))
