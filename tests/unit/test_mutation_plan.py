"""Which mutants a cluster has, and who could notice them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.mutation.equivalents import JUDGEMENTS, Judgement, judged_equivalent
from testbed.mutation.fault import FlowFault, RuleFault
from testbed.mutation.mutant import Mutant, Operator
from testbed.mutation.plan import Plan, flow_kind, plan
from testbed.mutation.rules import Rule
from testbed.mutation.survey import FlowAt, Observation, RuleAt, Survey, all_rules
from testbed.openflow import Flow, Table
from testbed.pipeline import node_flows
from testbed.topology import load
from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from testbed.model import Cluster

TOPOLOGIES = ("four-node.yaml", "multitenant.yaml", "networkpolicy.yaml")


def survey_of(cluster: Cluster, *observations: Observation) -> Survey:
    survey = Survey(cluster=cluster, datapath="netdev")
    survey.note_programs(cluster)
    survey.observations.update({item.scenario: item for item in observations})
    return survey


def observation(
    scenario: str, *flows: FlowAt, rules: frozenset[RuleAt] = frozenset()
) -> Observation:
    return Observation(
        scenario=scenario, seconds=0.1, flows=frozenset(flows), rules=rules
    )


@pytest.fixture(scope="module", params=TOPOLOGIES)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return load(shipped(request.param)).cluster


@pytest.fixture(scope="module")
def made(cluster: Cluster) -> Plan:
    return plan(survey_of(cluster))


@pytest.fixture(scope="module")
def tenants() -> Cluster:
    return load(shipped("multitenant.yaml")).cluster


def from_pod(cluster: Cluster, node: str, *, nth: int = 0) -> Flow:
    flows = node_flows(cluster, cluster.node(node))
    wanted = [f for f in flows if f.table == Table.FROM_POD and "ip" in f.match]
    return wanted[nth]


def at(node: str, flow: Flow) -> FlowAt:
    return FlowAt(node, int(flow.table), flow.selector)


def kinds_of(made: Plan) -> set[str]:
    return {mutant.kind for mutant in made.mutants} | {
        spared.kind for spared in made.spared
    }


def of_kind(made: Plan, flow: Flow, operator: Operator) -> list[Mutant]:
    return [
        mutant
        for mutant in made.mutants
        if mutant.kind == flow_kind(flow) and mutant.operator is operator
    ]


def test_every_kind_of_flow_is_got_wrong_or_there_is_a_reason_why_not(
    cluster: Cluster, made: Plan
) -> None:
    kinds = {
        flow_kind(flow) for node in cluster.nodes for flow in node_flows(cluster, node)
    }

    assert kinds <= kinds_of(made)
    assert all(spared.reason for spared in made.spared)


def test_every_kind_of_rule_is_got_wrong_or_there_is_a_reason_why_not(
    cluster: Cluster, made: Plan
) -> None:
    kinds = {
        rule.kind
        for node in cluster.nodes
        for rule in all_rules(cluster, node, "netdev").rules
    }

    assert kinds <= kinds_of(made)


def test_a_kind_is_got_wrong_once_in_each_way(made: Plan) -> None:
    ways = [
        (mutant.kind, mutant.operator, mutant.change, mutant.sites[0].original)
        for mutant in made.mutants
    ]

    assert len(ways) == len(set(ways))


def test_every_fault_changes_the_program_of_its_node(
    cluster: Cluster, made: Plan
) -> None:
    for mutant in made.mutants:
        for site in mutant.sites:
            node = cluster.node(site.fault.node)
            if isinstance(site.fault, FlowFault):
                flows = node_flows(cluster, node)
                assert site.fault.flows(flows) != flows
            else:
                text = all_rules(cluster, node, "netdev").text
                assert site.fault.rules(text) != text


def test_what_no_scenario_hits_is_got_wrong_all_the_same(tenants: Cluster) -> None:
    mutants = of_kind(
        plan(survey_of(tenants)), from_pod(tenants, "oc-04"), Operator.DELETED
    )

    assert [mutant.is_covered for mutant in mutants] == [False]


def test_the_flow_that_most_scenarios_hit_is_broken_first(tenants: Cluster) -> None:
    rare, common = from_pod(tenants, "oc-01"), from_pod(tenants, "oc-04", nth=2)
    survey = survey_of(
        tenants,
        observation("one", at("oc-01.test", rare), at("oc-04.test", common)),
        observation("two", at("oc-04.test", common)),
    )

    (mutant,) = of_kind(plan(survey), common, Operator.DELETED)

    assert [site.original for site in mutant.sites] == [str(common), str(rare)]
    assert set(mutant.sites[0].covering) == {"one", "two"}
    assert mutant.sites[1].covering == ("one",)


def test_who_hits_what_a_wider_match_would_take_could_notice_it(
    tenants: Cluster,
) -> None:
    """A forged address is dropped by the table's last flow, not by the pod's own."""
    pod = from_pod(tenants, "oc-04")
    miss = FlowAt("oc-04.test", int(Table.FROM_POD), "priority=0")
    elsewhere = FlowAt("oc-03.test", int(Table.FROM_POD), "priority=0")
    survey = survey_of(
        tenants,
        observation("sends", at("oc-04.test", pod)),
        observation("forges", miss),
        observation("forges elsewhere", elsewhere),
    )
    made = plan(survey)

    wider = of_kind(made, pod, Operator.WIDENED)
    (deleted,) = of_kind(made, pod, Operator.DELETED)

    assert [mutant.sites[0].covering for mutant in wider] == [("forges",)] * 2
    assert deleted.sites[0].covering == ("sends",)


def test_what_a_wider_match_would_take_is_told_of_the_programs_that_have_the_flow(
    tenants: Cluster,
) -> None:
    """Another program may have a flow above, which takes all that is left."""

    def flow(priority: int, *match: str) -> Flow:
        actions = ("output:2",) if match else ("drop",)
        return Flow(table=Table.POLICY, priority=priority, match=match, actions=actions)

    leads = Flow(table=Table.DISPATCH, priority=0, actions=("goto_table:80",))
    allows, last = flow(150, "ip", "reg0=0x2a", "reg1=0x2b"), flow(0)
    opens = flow(50, "reg1=0x2b")
    survey = survey_of(
        tenants,
        observation("denies", at("oc-01.test", last)),
        observation("opens", at("oc-01.test", opens)),
    )
    survey.flows["oc-01.test"] = {
        (leads, opens, last): None,
        (leads, allows, last): None,
    }

    wider = of_kind(plan(survey), allows, Operator.WIDENED)

    coverings = {m.change: m.sites[0].covering for m in wider}
    assert coverings["without reg0=0x2a"] == ("denies",)


def test_the_quickest_and_most_specific_scenario_is_run_first(
    tenants: Cluster,
) -> None:
    pod = from_pod(tenants, "oc-04")
    others = [at("oc-01.test", from_pod(tenants, "oc-01", nth=n)) for n in range(3)]
    here = at("oc-04.test", pod)
    survey = survey_of(
        tenants,
        observation("broad", here, *others),
        observation("specific", here),
    )

    (mutant,) = of_kind(plan(survey), pod, Operator.DELETED)

    assert mutant.sites[0].covering == ("specific", "broad")


def test_a_change_that_is_no_matter_for_one_flow_is_made_of_another(
    tenants: Cluster,
) -> None:
    """Of two rules of an EgressNetworkPolicy one repeats what the next allows."""

    def flow(ip: str) -> Flow:
        return Flow(
            table=Table.EGRESS_NETWORK_POLICY,
            priority=4,
            match=("ip", "reg0=0x2a", f"nw_dst={ip}"),
            actions=("output:2",),
        )

    repeated, needed = flow("198.51.100.1"), flow("203.0.113.1")
    survey = survey_of(
        tenants,
        observation("one", at("oc-01.test", repeated)),
    )
    leads = Flow(table=Table.DISPATCH, priority=0, actions=("goto_table:101",))
    allows = Flow(
        table=Table.EGRESS_NETWORK_POLICY,
        priority=2,
        match=("ip", "reg0=0x2a", "nw_dst=198.51.100.0/28"),
        actions=("output:2",),
    )
    survey.flows["oc-01.test"] = {(leads, repeated, needed, allows): None}

    (mutant,) = of_kind(plan(survey), repeated, Operator.DELETED)

    assert [site.original for site in mutant.sites] == [str(needed)]


def test_who_hits_a_rule_could_notice_that_it_is_wrong(tenants: Cluster) -> None:
    marks = Rule("nat", "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x1/0x1")
    survey = survey_of(
        tenants,
        observation("one", rules=frozenset({RuleAt("oc-02.test", marks)})),
        observation("two"),
    )

    mutants = [m for m in plan(survey).mutants if m.kind == marks.kind]

    assert {mutant.operator for mutant in mutants} == {Operator.DELETED, Operator.MARK}
    for mutant in mutants:
        (site,) = mutant.sites
        assert isinstance(site.fault, RuleFault)
        assert (site.fault.node, site.covering) == ("oc-02.test", ("one",))


@pytest.fixture(scope="module")
def judged() -> set[str]:
    """The reasons of all mutants of the shipped clusters that are held for none."""
    return {
        mutant.judged
        for name in TOPOLOGIES
        for mutant in plan(survey_of(load(shipped(name)).cluster)).mutants
    }


@pytest.mark.parametrize("judgement", JUDGEMENTS, ids=lambda item: item.kind)
def test_what_somebody_holds_for_equivalent_is_there(
    judgement: Judgement, judged: set[str]
) -> None:
    assert judgement.reason in judged


@pytest.mark.parametrize(
    ("plugin", "datapath", "operator", "held"),
    [
        ("subnet", "netdev", Operator.DELETED, True),
        ("subnet", "netdev", Operator.TARGET, True),
        ("subnet", "system", Operator.DELETED, False),
    ],
)
def test_a_judgement_is_about_a_datapath(
    plugin: str, datapath: str, operator: Operator, *, held: bool
) -> None:
    kind = (
        "filter -A OPENSHIFT-FIREWALL-ALLOW -p … -m … --dport … "
        '-m comment --comment "VXLAN incoming" -j ACCEPT'
    )

    reason = judged_equivalent(
        plugin=plugin, datapath=datapath, kind=kind, operator=operator, change=""
    )

    assert bool(reason) is held


@pytest.mark.parametrize(
    ("plugin", "operator", "held"),
    [
        ("subnet", Operator.DELETED, True),
        ("networkpolicy", Operator.DELETED, False),
        ("subnet", Operator.TARGET, False),
    ],
)
def test_a_judgement_is_about_plugins_and_operators(
    plugin: str, operator: Operator, *, held: bool
) -> None:
    kind = 'nat -A KUBE-SEP-… -s … -m comment --comment "…" -j KUBE-MARK-MASQ'

    reason = judged_equivalent(
        plugin=plugin, datapath="netdev", kind=kind, operator=operator, change=""
    )

    assert bool(reason) is held
