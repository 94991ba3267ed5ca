"""Flow coverage: added up, judged, told, written and read back."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from testbed.coverage import Kind, kind_of
from testbed.coverage.document import document, read, written
from testbed.coverage.ledger import Coverage, Ledger, Measured, NodeFlow
from testbed.coverage.page import page
from testbed.coverage.summary import problems, summary
from testbed.coverage.unreachable import UNREACHABLE, Unreachable, reason_for
from testbed.errors import SDNError
from testbed.model import Plugin
from testbed.openflow import Flow, Table
from testbed.pipeline import cluster_flows
from testbed.topology import load
from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = ("four-node.yaml", "multitenant.yaml", "networkpolicy.yaml")


def flow(*match: str, node: str = "a", priority: int = 100) -> NodeFlow:
    table = Table.FROM_POD
    entry = Flow(table=table, priority=priority, match=match, actions=("drop",))
    return NodeFlow(node=node, flow=entry)


POD, OTHER_POD, MISS = flow("in_port=3"), flow("in_port=4"), flow(priority=0)
APPLIED = flow("ip", "in_port=5")
NOTE = NodeFlow(
    node="a",
    flow=Flow(table=Table.RULE_VERSION, priority=32768, actions=("note:00.07",)),
)
MEASURED = Measured(
    plugin=Plugin.SUBNET,
    scenario="test_one",
    built=(POD, OTHER_POD, MISS, NOTE),
    hits=((POD, 2),),
)


def coverage(
    *measured: Measured, listed: tuple[Unreachable, ...] = UNREACHABLE
) -> Coverage:
    ledger = Ledger(listed)
    for item in measured:
        ledger.add(item)
    return ledger.coverage()


def hit(found: Coverage) -> dict[str, bool]:
    (plugin,) = found.plugins
    return {kind.kind.selector: kind.is_hit for kind in plugin.countable}


def test_a_kind_is_hit_when_any_of_its_flows_is() -> None:
    found = coverage(MEASURED)

    assert hit(found) == {"priority=100,in_port=…": True, "priority=0": False}
    assert (found.n_kinds_hit, found.n_kinds, found.percent) == (1, 2, 50.0)


def test_hits_add_up_over_scenarios_and_processes() -> None:
    later = replace(MEASURED, scenario="test_two", built=(), hits=((OTHER_POD, 3),))

    (plugin,) = coverage(MEASURED, later, MEASURED).plugins

    assert plugin.kinds[0].scenarios == {"test_one": 4, "test_two": 3}
    assert [item.scenarios for item in plugin.kinds[0].flows] == [
        {"test_one": 4},
        {"test_two": 3},
    ]
    assert plugin.kinds[0].n_flows_hit == 2


def test_the_order_in_which_processes_report_makes_no_difference() -> None:
    one = replace(MEASURED, scenario="test_two", hits=((MISS, 1),))

    assert coverage(MEASURED, one) == coverage(one, MEASURED)


def test_plugins_are_counted_apart() -> None:
    other = replace(MEASURED, plugin=Plugin.MULTITENANT, hits=((MISS, 1), (POD, 1)))

    found = coverage(MEASURED, other)

    assert [len(plugin.missed) for plugin in found.plugins] == [0, 1]
    assert found.percent == 75.0


def test_flows_that_a_scenario_applied_count_whether_they_are_hit_or_not() -> None:
    applied = replace(MEASURED, applied=(APPLIED,), hits=((APPLIED, 1),))

    assert (
        hit(coverage(replace(MEASURED, applied=(APPLIED,))))[
            "priority=100,ip,in_port=…"
        ]
        is False
    )
    assert hit(coverage(applied))["priority=100,ip,in_port=…"] is True


def test_a_kind_is_applied_only_where_no_cluster_was_built_with_it() -> None:
    more = replace(MEASURED, applied=(flow("in_port=9"), APPLIED))

    (plugin,) = coverage(more).plugins

    applied = {kind.kind.selector for kind in plugin.kinds if kind.applied}
    assert applied == {"priority=100,ip,in_port=…"}


def test_what_another_cluster_is_built_with_is_not_only_applied() -> None:
    applied = replace(MEASURED, applied=(APPLIED,))
    built = replace(MEASURED, scenario="test_two", built=(APPLIED,), hits=())

    for order in ((applied, built), (built, applied)):
        (plugin,) = coverage(*order).plugins
        assert not any(kind.applied for kind in plugin.kinds)


def test_a_flow_that_a_scenario_put_in_by_hand_is_none_of_the_pipeline() -> None:
    by_hand = replace(MEASURED, hits=((APPLIED, 1),))

    assert coverage(by_hand).n_kinds == 2
    assert coverage(by_hand).n_kinds_hit == 0


def test_what_nothing_can_hit_is_not_counted_as_missed() -> None:
    found = coverage(replace(MEASURED, hits=((POD, 1), (MISS, 1))))

    assert found.percent == 100.0
    assert not list(problems(found, fail_under=100.0))


def test_a_kind_that_is_hit_though_nothing_can_fails_the_run() -> None:
    wrong = Unreachable(
        kind=kind_of(POD.flow),
        plugins=frozenset({Plugin.SUBNET}),
        reason="so I thought",
    )

    (problem,) = problems(coverage(MEASURED, listed=(wrong,)), fail_under=None)

    assert (
        "table=20,priority=100,in_port=… is listed as one that nothing can hit"
        in problem
    )
    assert "so I thought" in problem
    assert "test_one hit it" in problem


@pytest.mark.parametrize(("fail_under", "fails"), [(50.0, False), (50.1, True)])
def test_less_than_required_fails_the_run(fail_under: float, fails: bool) -> None:  # noqa: FBT001
    told = list(problems(coverage(MEASURED), fail_under=fail_under))

    assert bool(told) is fails
    assert not told or "50.00 % of the kinds of flows were hit; 50.1 % are" in told[0]


@pytest.mark.parametrize("item", UNREACHABLE, ids=lambda item: str(item.kind))
def test_what_is_listed_is_in_every_shipped_cluster_of_its_plugins(
    item: Unreachable,
) -> None:
    for name in SHIPPED:
        cluster = load(shipped(name)).cluster
        if cluster.network.plugin in item.plugins:
            flows = cluster_flows(cluster)
            kinds = {kind_of(f) for node in cluster.nodes for f in flows.of(node)}
            assert item.kind in kinds


def test_under_other_plugins_what_is_listed_counts() -> None:
    policy_miss = Kind(Table.POLICY, 0, "")

    assert reason_for(Plugin.SUBNET, policy_miss)
    assert not reason_for(Plugin.MULTITENANT, policy_miss)


def test_the_summary_names_what_was_missed_and_what_cannot_be_hit() -> None:
    lines = list(summary(coverage(MEASURED)))

    assert re.split(r"  +", lines[1]) == [
        "redhat/openshift-ovs-subnet",
        "1 of 2",
        "50.0 %",
        "1 of 3",
        "33.3 %",
        "0 of 0",
    ]
    assert lines[2:4] == [
        "never hit under redhat/openshift-ovs-subnet:",
        "    table 20 (FROM_POD) priority=0",
    ]
    assert lines[4] == "nothing can hit under redhat/openshift-ovs-subnet:"
    assert lines[5].startswith("    table 253 (RULE_VERSION) priority=32768: it is a")


def test_a_run_without_a_cluster_says_so() -> None:
    assert list(summary(coverage())) == ["no scenario had a cluster"]
    assert coverage().percent == 100.0
    assert "No scenario had a cluster" in page(coverage())


def test_the_document_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    contents = document(coverage(replace(MEASURED, applied=(APPLIED,))))
    path = tmp_path / "coverage.json"
    path.write_text(written(contents))

    assert read(path) == contents
    kind = contents.plugins[0].kinds[0]
    assert (kind.table, kind.table_name, kind.match) == (20, "FROM_POD", "in_port=…")
    assert kind.scenarios == {"test_one": 2}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{}", "is no flow coverage"),
        ("nonsense", "is no flow coverage"),
        (
            '{"version": 9, "kinds_hit": 0, "kinds": 0, "percent": 1, "plugins": []}',
            "is flow coverage of version 9; this testbed reads version 1",
        ),
    ],
)
def test_what_is_no_such_document_is_refused(
    tmp_path: Path, text: str, why: str
) -> None:
    path = tmp_path / "coverage.json"
    path.write_text(text)

    with pytest.raises(SDNError, match=why):
        read(path)
    with pytest.raises(SDNError, match="No such file"):
        read(tmp_path / "none.json")


def test_the_page_has_every_flow_of_every_node_and_marks_what_was_never_hit() -> None:
    text = page(coverage(MEASURED)).replace("<wbr>", "")

    assert "priority=100,in_port=3" in text
    assert "priority=100,in_port=4" in text
    assert text.count("never hit</td>") == 3
    assert 'data-state="partly"' in text
    assert 'data-state="missed"' in text
    assert 'data-state="unreachable"' in text
    assert "nothing can hit it: it is a note" in text


def test_flows_and_scenarios_are_never_markup() -> None:
    evil = flow("<script>")
    name = "</script><b>"

    text = page(
        coverage(replace(MEASURED, scenario=name, built=(evil,), hits=((evil, 1),)))
    )

    assert "<script>," not in text.replace("<wbr>", "")
    assert name not in text
    assert "\\u003c/script>\\u003cb>" in text
