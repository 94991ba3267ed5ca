"""Faults as values: what each makes of flows and rules, and how it is written."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from testbed import faults
from testbed.emulation.programming import programmed_flows, programmed_rules
from testbed.emulation.wiring import Datapath
from testbed.errors import EmulationError, NotFoundError, TopologyError
from testbed.faults import KINDS, ledger
from testbed.faults.injection import Injected
from testbed.faults.reading import (
    FieldsError,
    as_fields,
    declared,
    described,
    parse_fault,
)
from testbed.faults.tunnel import Direction
from testbed.model import Plugin
from testbed.openflow import Flow, Table, flow_differences
from testbed.pipeline import node_flows
from testbed.topology import load, loads
from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.faults import Fault
    from testbed.model import Cluster

NODE = "oc-04.test"
PEER = "oc-01.test"
PEER_IP = "172.16.1.15"
EXAMPLES = (
    faults.FlowDeleted(node=NODE, table=10, selector=f"priority=100,tun_src={PEER_IP}"),
    faults.HostSubnetStale(node=NODE, peer=PEER, host_ip=IPv4Address("172.16.1.99")),
    faults.VxlanBlocked(node=NODE, direction=Direction.IN, port=4789),
    faults.LinkFlapping(node=NODE, device="tun0", period=0.5),
    faults.NodeDead(node=NODE),
)


def flows_with(cluster: Cluster, *wrong: Fault) -> tuple[Flow, ...]:
    return programmed_flows(cluster, cluster.node(NODE), wrong)


def rules_with(cluster: Cluster, *wrong: Fault) -> list[str]:
    node = cluster.node(NODE)
    (rules,) = programmed_rules(cluster, node, Datapath.SYSTEM, wrong)
    return rules.splitlines()


def deviations(cluster: Cluster, *wrong: Fault) -> list[tuple[int, str]]:
    """The tables in which flows deviate, and how."""
    found = flow_differences(
        node_flows(cluster, cluster.node(NODE)), flows_with(cluster, *wrong)
    )
    return [(int(item.flow.table), item.deviation.value) for item in found]


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_kind_and_field_is_described(kind: type[Fault]) -> None:
    summary, fields = described(kind)

    assert summary.endswith(".")
    assert [name for name, text in fields.items() if not text] == []


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_kind_says_what_is_wrong(kind: type[Fault]) -> None:
    assert kind.told is not faults.Fault.told


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (faults.HostSubnetForgotten, "host-subnet-forgotten"),
        (faults.DuplicatePodIP, "duplicate-pod-ip"),
        (faults.EgressIpStale, "egress-ip-stale"),
        (faults.MtuDrifted, "mtu-drifted"),
    ],
)
def test_a_kind_is_called_as_its_class(kind: type[Fault], name: str) -> None:
    assert kind.kind == name
    assert KINDS[name] is kind


def test_a_forgotten_host_subnet_is_missing_in_four_tables(
    four_nodes: Cluster,
) -> None:
    fault = faults.HostSubnetForgotten(node=NODE, peer=PEER)

    assert deviations(four_nodes, fault) == [
        (10, "missing"),
        (50, "missing"),
        (90, "missing"),
        (111, "changed"),
    ]


def test_without_any_peer_multicast_writes_no_vnid(four_nodes: Cluster) -> None:
    peers = four_nodes.peers(four_nodes.node(NODE))
    wrong = [faults.HostSubnetForgotten(node=NODE, peer=p.name) for p in peers]

    (flow,) = (f for f in flows_with(four_nodes, *wrong) if f.table == 111)

    assert flow.actions == ("goto_table:120",)


def test_a_stale_host_subnet_leads_to_where_it_was(four_nodes: Cluster) -> None:
    old = IPv4Address("172.16.1.99")
    fault = faults.HostSubnetStale(node=NODE, peer=PEER, host_ip=old)

    text = "\n".join(map(str, flows_with(four_nodes, fault)))

    assert PEER_IP not in text
    assert text.count(str(old)) == 4


def test_a_fault_is_about_its_node_alone(four_nodes: Cluster) -> None:
    fault = faults.FlowsWiped(node=PEER)

    assert deviations(four_nodes, fault) == []


def test_a_stale_pod_leaves_the_flows_of_who_has_its_address_now(
    four_nodes: Cluster,
) -> None:
    web = four_nodes.pod("shop/web")
    fault = faults.PodFlowsStale(node=NODE, ip=web.ip, ofport=99)

    assert deviations(four_nodes, fault) == [(20, "extra"), (20, "extra")]


def test_a_duplicate_address_is_the_later_pods(four_nodes: Cluster) -> None:
    web, db = four_nodes.pod("shop/web"), four_nodes.pod("shop/db")
    fault = faults.DuplicatePodIP(pod="shop/web", ip=db.ip).resolved(four_nodes)

    (flow,) = (
        flow
        for flow in flows_with(four_nodes, fault)
        if flow.table == Table.ARP_TO_LOCAL_POD and f"arp_tpa={db.ip}" in flow.match
    )

    assert flow.actions == (f"output:{web.ofport}",)


def test_a_duplicate_address_is_in_all_flows_of_the_pod_and_no_others(
    four_nodes: Cluster,
) -> None:
    others = IPv4Address("10.129.0.77")
    fault = faults.DuplicatePodIP(pod="shop/web", ip=others).resolved(four_nodes)
    taken = replace(four_nodes.pod("shop/web"), ip=others)
    pods = tuple(taken if pod.key == taken.key else pod for pod in four_nodes.pods)

    found = flows_with(four_nodes, fault)

    node = four_nodes.node(NODE)
    assert set(found) == set(node_flows(replace(four_nodes, pods=pods), node))


def test_a_duplicate_address_leaves_the_rules_of_kube_proxy() -> None:
    cluster = load(shipped("multitenant.yaml")).cluster
    pod, other = cluster.pod("shop/checkout-3-x6tlf"), cluster.pod("shop/db-0")
    fault = faults.DuplicatePodIP(pod=pod.key, ip=other.ip).resolved(cluster)

    assert rules_with(cluster, fault) == rules_with(cluster)


def test_a_swapped_vnid_is_seen_in_the_flows_of_pods(four_nodes: Cluster) -> None:
    tenants = replace(
        four_nodes,
        network=replace(four_nodes.network, plugin=Plugin.MULTITENANT),
        net_namespaces=(
            *four_nodes.net_namespaces,
            replace(four_nodes.net_namespaces[0], name="bank", netid=99),
        ),
    )
    fault = faults.VnidSwapped(node=NODE, namespace="shop", other="bank")
    fault.check(tenants)

    text = "\n".join(
        str(flow) for flow in flows_with(tenants, fault) if flow.table in (20, 70)
    )

    assert "load:0x63->" in text
    assert f"load:{4711:#x}->" not in text


def test_a_namespace_that_is_gone_is_swapped_with_nobody(four_nodes: Cluster) -> None:
    tenants = replace(
        four_nodes, network=replace(four_nodes.network, plugin=Plugin.MULTITENANT)
    )
    fault = faults.VnidSwapped(node=NODE, namespace="shop", other="gone")

    assert deviations(tenants, fault) == []


def test_a_blocked_vxlan_is_dropped_before_all_else(four_nodes: Cluster) -> None:
    fault = faults.VxlanBlocked(node=NODE, direction=Direction.IN).resolved(four_nodes)

    rules = rules_with(four_nodes, fault)
    first = next(line for line in rules if line.startswith("-A INPUT"))

    assert first == "-A INPUT -p udp -m udp --dport 4789 -j DROP"
    assert not any("4789" in line for line in rules if line.startswith("-A OUTPUT"))


def test_a_flushed_table_keeps_its_chains(four_nodes: Cluster) -> None:
    fault = faults.IptablesFlushed(node=NODE, table="nat")

    before, after = rules_with(four_nodes), rules_with(four_nodes, fault)

    assert [x for x in after if x[:1] == ":"] == [x for x in before if x[:1] == ":"]
    nat = after[after.index("*nat") :]
    assert not any(line.startswith("-A") for line in nat[: nat.index("COMMIT")])


def test_a_rule_is_found_by_a_part_of_it(four_nodes: Cluster) -> None:
    fault = faults.RuleDeleted(node="oc-04", table="filter", rule="-j KUBE-FORWARD")

    found = fault.resolved(four_nodes)

    assert found.rule.startswith("-A FORWARD -m comment")
    assert set(rules_with(four_nodes)) - set(rules_with(four_nodes, found)) == {
        found.rule
    }


def test_a_part_of_several_rules_is_not_enough(four_nodes: Cluster) -> None:
    fault = faults.RuleDeleted(node=NODE, table="nat", rule="-j KUBE-SERVICES")

    with pytest.raises(NotFoundError, match="is in 2 rules of table nat"):
        fault.resolved(four_nodes)


def test_a_rule_comes_to_the_top_of_its_chain(four_nodes: Cluster) -> None:
    fault = faults.ChainReordered(
        node=NODE, table="nat", chain="POSTROUTING", first="KUBE-POSTROUTING"
    )

    chain = [x for x in rules_with(four_nodes, fault) if x.startswith("-A POSTROUTING")]

    assert chain[0].endswith("-j KUBE-POSTROUTING")
    assert len(chain) == 3


@pytest.mark.parametrize("fault", EXAMPLES, ids=lambda fault: fault.kind)
def test_a_fault_is_read_back_as_it_was_written(fault: Fault) -> None:
    assert parse_fault(fault.kind, as_fields(fault)) == fault


@pytest.mark.parametrize("fault", EXAMPLES, ids=lambda fault: fault.kind)
def test_nodes_may_be_named_by_their_first_label(
    four_nodes: Cluster, fault: Fault
) -> None:
    short = replace(fault, node="oc-04")

    assert short.resolved(four_nodes) == fault.resolved(four_nodes)


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("mtu-drift", {}, "kind: there is no fault 'mtu-drift'; there are: mtu-drift"),
        ("mtu-drifted", {"device": "tun0"}, "mtu-drifted: mtu: is missing"),
        (
            "mtu-drifted",
            {"device": "tun0", "mtu": "big"},
            "mtu-drifted: mtu: must be a whole number, not 'big'",
        ),
        ("flows-wiped", {"nod": "a"}, "nod: flows-wiped has no such field"),
        (
            "vxlan-blocked",
            {"direction": "up"},
            "vxlan-blocked: direction: must be in, out or both, not 'up'",
        ),
        (
            "host-subnet-stale",
            {"peer": "a", "hostIP": "1.2.3"},
            "host_ip: must be an IPv4 address, not '1.2.3'",
        ),
    ],
)
def test_what_does_not_fit_is_told_by_its_field(
    kind: str, fields: dict[str, object], said: str
) -> None:
    with pytest.raises(FieldsError) as refused:
        parse_fault(kind, fields)

    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (faults.FlowsWiped(), "node is missing; there are: oc-01.test"),
        (faults.FlowsWiped(node="oc-09"), "no single node oc-09"),
        (faults.FlowDeleted(node=NODE), "say which flow: selector or object"),
        (
            faults.FlowDeleted(node=NODE, table=10, selector="priority=1"),
            "has no flow priority=1 in table 10",
        ),
        (
            faults.FlowDeleted(node=NODE, object="Pod shop/wob"),
            "has no flow of Pod shop/wob; there are: Pod shop/web",
        ),
        (faults.HostSubnetForgotten(node=NODE, peer=NODE), "has no peer oc-04.test"),
        (faults.PodFlowsMissing(pod="shop/nobody"), "no pod shop/nobody"),
        (
            faults.PodFlowsMissing(node="oc-01", pod="shop/web"),
            "shop/web is on oc-04.test, not on oc-01",
        ),
        (faults.OfportWrong(pod="shop/web", ofport=3), "3 is the port of shop/web"),
        (
            faults.VnidSwapped(node=NODE, namespace="a", other="b"),
            "under ovs-subnet there are no VNIDs",
        ),
        (faults.IptablesFlushed(node=NODE, table="x"), "no table x; there are: filter"),
        (
            faults.ChainReordered(node=NODE, table="nat", chain="POSTROUTNG"),
            "no rules in chain POSTROUTNG; there are: POSTROUTING",
        ),
        (
            faults.MtuDrifted(node=NODE, device="tun0", mtu=1450),
            "1450 is what tun0 has",
        ),
        (faults.LinkDown(node=NODE, device="eth9"), "has no device eth9"),
        (
            faults.DuplicatePodIP(pod="shop/web", ip=IPv4Address("10.9.9.9")),
            "no pod has the address 10.9.9.9",
        ),
        (
            faults.ArpStale(node=NODE, ip=IPv4Address("172.16.1.15"), mac="zz"),
            "mac must be one as 0a:58:0a:80:00:99",
        ),
        (
            faults.EgressIpStale(node=NODE, ip=IPv4Address("172.16.1.77")),
            "172.16.1.77 is no egress IP; there are: none",
        ),
        (faults.VxlanPortWrong(node=NODE, port=4789), "4789 is the cluster's port"),
        (faults.NetemLoss(node=NODE, percent=101), "percent must be 0.001 to 100"),
    ],
    ids=lambda value: value.kind if isinstance(value, faults.Fault) else "",
)
def test_what_the_cluster_lacks_is_told(
    four_nodes: Cluster, fault: Fault, said: str
) -> None:
    with pytest.raises(NotFoundError) as refused:
        fault.resolved(four_nodes).check(four_nodes)

    assert said in str(refused.value)


def topology_with(faults_of_it: str) -> str:
    text = shipped("two-node.yaml").read_text()
    return text.replace("kind: Underlay\n", f"kind: Underlay\nfaults:\n{faults_of_it}")


def test_an_underlay_lists_faults() -> None:
    topology = loads(
        topology_with("- {kind: host-subnet-forgotten, node: node-1, peer: node-2}\n"),
        "t.yaml",
    )

    assert topology.warnings == ()
    assert declared(topology) == (
        faults.HostSubnetForgotten(node="node-1.test", peer="node-2.test"),
    )


def test_what_is_wrong_with_listed_faults_is_told_with_file_line_and_field() -> None:
    text = topology_with(
        "- kind: host-subnet-forgotten\n  node: node-1\n  peer: node-9\n"
        "- kind: mtu-drifted\n  node: node-2\n  device: tun0\n  mtu: big\n"
        "- node: node-1\n"
        "- kind: flows-wyped\n"
    )
    first = text.splitlines().index("- kind: host-subnet-forgotten") + 1

    with pytest.raises(TopologyError) as refused:
        declared(loads(text, "t.yaml"))

    beginnings = (
        f"{first + 2}: Underlay: faults[0].peer: no HostSubnet node-9; there are: node",
        f"{first + 6}: Underlay: faults[1].mtu: must be a whole number, not 'big'",
        f"{first + 7}: Underlay: faults[2].kind: is missing",
        f"{first + 8}: Underlay: faults[3].kind: there is no fault 'flows-wyped'",
    )
    for problem, beginning in zip(refused.value.problems, beginnings, strict=True):
        assert problem.startswith(f"t.yaml:{beginning}")


def test_faults_are_noted_with_what_it_takes_to_undo_them(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    there = [
        Injected(fault=fault, memo={"routes": ["a", "b"]}, number=number)
        for number, fault in enumerate(EXAMPLES, start=3)
    ]

    ledger.save(there, file)

    assert [(i.fault, i.memo, i.number) for i in ledger.load(file)] == [
        (i.fault, i.memo, i.number) for i in there
    ]


def test_notes_of_another_version_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    file.write_text('[{"number": 1, "kind": "of-tomorrow", "fields": {}, "memo": {}}]')

    with pytest.raises(EmulationError, match="another version"):
        ledger.load(file)
