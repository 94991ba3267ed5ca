"""Three accounts of one packet: do they agree, and how is it told where they do not?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.cli.answers import status_of
from testbed.cli.matrix_table import grids, key, summary
from testbed.model import Delivery, Outcome, Pod, Traffic, Transport
from testbed.openflow import Flow, FlowDifference, Table
from testbed.oracle import Expectation
from testbed.ovs.trace import TraceStep
from testbed.probe.drops import Drop
from testbed.probe.observed import Observation
from testbed.topology import load
from testbed.tracing import Arrival, Journey, Loss, Origins
from testbed.verdict import Fact, Kind, Verdict

if TYPE_CHECKING:
    from testbed.model import Cluster

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
AGREED, DISAGREED, COULD_NOT = 0, 1, 2


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return load(TOPOLOGIES / "four-node.yaml").cluster


@pytest.fixture(scope="module")
def sender(cluster: Cluster) -> Pod:
    return cluster.pod("lab/client-a")


@pytest.fixture(scope="module")
def receiver(cluster: Cluster) -> Pod:
    return cluster.pod("lab/client-b")


@pytest.fixture
def traffic(sender: Pod, receiver: Pod) -> Traffic:
    return Traffic(
        sender=sender, destination=receiver.ip, transport=Transport.UDP, dport=53
    )


def delivery(traffic: Traffic, receiver: Pod) -> Delivery:
    assert isinstance(traffic.sender, Pod)
    return Delivery(
        receiver=receiver,
        source=traffic.sender.ip,
        vnid=0,
        destination=traffic.destination,
        dport=traffic.dport,
    )


@pytest.fixture
def agreed(cluster: Cluster, traffic: Traffic, receiver: Pod) -> Verdict:
    """All three say delivered."""
    arrived = delivery(traffic, receiver)
    return Verdict(
        cluster=cluster,
        traffic=traffic,
        expected=Expectation(
            outcome=Outcome.DELIVERED,
            decided_by="ovs-subnet isolates nobody",
            deliveries=(arrived,),
        ),
        traced=Journey(
            traffic=traffic, then=(Arrival(machine=receiver.key, delivery=arrived),)
        ),
        observed=Observation(
            traffic=traffic,
            outcome=Outcome.DELIVERED,
            passages=(),
            receivers=(receiver.key,),
            answer=None,
            control=True,
        ),
        origins=Origins({}),
    )


@pytest.fixture
def lost(agreed: Verdict, traffic: Traffic) -> Verdict:
    """The trace and the packet are dropped in table 10 of another node."""
    miss = TraceStep(table=Table.FROM_VXLAN, priority=0)
    loss = Loss(
        outcome=Outcome.DROPPED,
        machine="oc-02.test",
        reason="dropped by table=10,priority=0 actions=drop",
        packet="in_port=1,tun_src=172.16.1.15,tun_id=0,udp,udp_dst=53",
        flow=miss,
    )
    assert agreed.observed
    return replace(
        agreed,
        traced=Journey(traffic=traffic, then=(loss,)),
        observed=replace(
            agreed.observed,
            outcome=Outcome.DROPPED,
            receivers=(),
            dropped_by=(Drop("oc-02.test", 10, "priority=0"),),
        ),
    )


def test_three_equal_accounts_agree(agreed: Verdict) -> None:
    assert agreed.agrees
    assert agreed.delivered
    assert agreed.line == (
        "lab/client-a → lab/client-b (10.128.1.7) udp:53: delivered to lab/client-b, "
        "as expected (ovs-subnet isolates nobody)"
    )
    assert agreed.explanation.parted is None


def test_a_trace_to_somebody_else_is_a_disagreement(
    agreed: Verdict, traffic: Traffic, sender: Pod
) -> None:
    wrong = Arrival(machine=sender.key, delivery=delivery(traffic, sender))

    verdict = replace(agreed, traced=Journey(traffic=traffic, then=(wrong,)))

    (difference,) = verdict.differences
    assert difference == (
        "traced to lab/client-a (10.128.0.23 → 10.128.1.7:53 with VNID 0), "
        "expected lab/client-b (10.128.0.23 → 10.128.1.7:53 with VNID 0)"
    )


def test_a_trace_with_another_vnid_is_a_disagreement(
    agreed: Verdict, traffic: Traffic, receiver: Pod
) -> None:
    wrong = replace(delivery(traffic, receiver), vnid=7)
    arrival = Arrival(machine=receiver.key, delivery=wrong)

    assert not replace(agreed, traced=Journey(traffic=traffic, then=(arrival,))).agrees


def test_a_packet_received_by_others_too_is_a_disagreement(agreed: Verdict) -> None:
    assert agreed.observed
    both = replace(agreed.observed, receivers=("lab/client-b", "lab/client-c"))

    assert replace(agreed, observed=both).differences == (
        "received by lab/client-b, lab/client-c, expected lab/client-b",
    )


def test_one_of_several_endpoints_is_enough(
    agreed: Verdict, traffic: Traffic, sender: Pod, receiver: Pod
) -> None:
    choices = (delivery(traffic, receiver), delivery(traffic, sender))
    expected = replace(agreed.expected, deliveries=choices)

    assert replace(agreed, expected=expected, traced=None).agrees


def test_everyone_in_a_group_must_receive(
    agreed: Verdict, traffic: Traffic, sender: Pod, receiver: Pod
) -> None:
    all_of = (delivery(traffic, receiver), delivery(traffic, sender))
    expected = replace(agreed.expected, deliveries=all_of, everyone=True)

    assert not replace(agreed, expected=expected, traced=None).agrees


def test_what_may_be_lost_may_be_seen_lost(lost: Verdict) -> None:
    expected = replace(lost.expected, may_be_lost=("NetworkPolicy shop/deny",))

    assert replace(lost, expected=expected, traced=None).agrees


def test_a_drop_names_node_and_table(lost: Verdict) -> None:
    assert lost.dropped()
    assert lost.dropped(at="oc-02", table=Table.FROM_VXLAN)
    assert not lost.dropped(at="oc-01", table=Table.FROM_VXLAN)
    assert not lost.dropped(at="oc-02", table=Table.POLICY)


def test_a_delivered_packet_was_not_dropped(agreed: Verdict) -> None:
    assert not agreed.dropped()
    assert not agreed.rejected


def test_a_miss_says_what_no_flow_matches(lost: Verdict) -> None:
    assert (
        "traced: dropped on oc-02.test in table 10 (FROM_VXLAN) because no flow "
        "matches tun_src=172.16.1.15"
    ) in lost.line


def test_each_witness_has_a_line_of_its_own(lost: Verdict) -> None:
    assert [line.partition(":")[0] for line in lost.paragraph.splitlines()[1:]] == [
        "  expected",
        "  traced",
        "  observed",
        "  parted",
    ]


def test_the_missing_flow_of_a_peer_is_the_culprit(lost: Verdict) -> None:
    missing = Flow(
        table=Table.FROM_VXLAN,
        priority=100,
        match=("tun_src=172.16.1.15",),
        actions=("goto_table:30",),
        made_by="HostSubnet oc-01.test",
    )
    difference = FlowDifference(computed=missing, installed=None)
    fact = Fact(
        machine="oc-02.test",
        kind=Kind.FLOWS,
        text=str(difference),
        difference=difference,
    )

    verdict = replace(lost, facts=(fact,))

    assert verdict.explanation.culprits == (fact,)
    assert verdict.line.endswith("(HostSubnet oc-01.test)")


def test_what_is_wrong_elsewhere_is_not_to_blame(lost: Verdict) -> None:
    fact = Fact(machine="oc-04.test", kind=Kind.LINK, text="eth0 is down")

    assert not replace(lost, facts=(fact,)).explanation.culprits


def test_a_dead_daemon_is_blamed_before_a_rule(lost: Verdict) -> None:
    rules = Fact(machine="oc-02.test", kind=Kind.RULES, text="forwards nothing")
    daemon = Fact(machine="oc-02.test", kind=Kind.DAEMON, text="does not answer")

    found = replace(lost, facts=(rules, daemon)).explanation.culprits

    assert found == (daemon, rules)


def test_json_has_each_account(lost: Verdict) -> None:
    told = lost.as_json()

    assert told["agrees"] is False
    assert told["outcome"] == "dropped"
    assert isinstance(told["expected"], dict)
    assert told["expected"]["outcome"] == "delivered"
    assert isinstance(told["observed"], dict)
    assert told["observed"]["dropped_by"] == [
        {"node": "oc-02.test", "table": 10, "flow": "priority=0"}
    ]


def test_the_exit_status_is_0_where_all_agree(agreed: Verdict) -> None:
    assert status_of([agreed, agreed]) == AGREED


def test_the_exit_status_is_1_where_one_disagrees(
    agreed: Verdict, lost: Verdict
) -> None:
    assert status_of([agreed, lost]) == DISAGREED


def test_the_exit_status_is_2_where_nothing_could_be_told(agreed: Verdict) -> None:
    assert agreed.observed
    silent = replace(
        agreed.observed,
        outcome=Outcome.INCONCLUSIVE,
        receivers=(),
        control=False,
        reason="no control arrived",
    )

    assert status_of([agreed, replace(agreed, observed=silent)]) == COULD_NOT


def test_the_exit_status_is_1_where_the_trace_tells_and_the_packet_does_not(
    lost: Verdict,
) -> None:
    assert lost.observed
    silent = replace(lost.observed, outcome=Outcome.INCONCLUSIVE, control=False)

    assert status_of([replace(lost, observed=silent)]) == DISAGREED


def test_a_matrix_has_a_sign_for_each_pair(agreed: Verdict, lost: Verdict) -> None:
    (grid,) = grids([agreed])
    (other,) = grids([lost])

    assert [str(cell) for cell in grid.columns[2].cells] == ["+"]
    assert [str(cell) for cell in other.columns[2].cells] == ["!"]


def test_a_matrix_names_receivers_that_send_nothing(agreed: Verdict) -> None:
    assert list(key([agreed])) == ["  1 lab/client-b"]


def test_a_matrix_is_summed_up(agreed: Verdict, lost: Verdict) -> None:
    assert summary([agreed, lost], 0.5) == (
        "2 probes in 0.50 s: 1 delivered, 1 dropped; the witnesses disagree on 1"
    )
