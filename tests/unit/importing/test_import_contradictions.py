"""Two things said of one object: told, with both places and what was taken and why."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from testbed.errors import ImportRefusedError
from testbed.importing import Sort
from testbed.model import Plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from testbed.model import Cluster
    from testbed.topology import Topology
    from tests.unit.importing.conftest import Dumper, Importer, Result


@pytest.fixture
def tenants(dump: Dumper) -> Topology:
    return dump.shipped("multitenant")


def objects(topology: Topology) -> list[dict[str, object]]:
    return [json.loads(text) for text in topology.text().split("---\n") if text]


def as_list(items: list[dict[str, object]]) -> str:
    return json.dumps({"kind": "List", "items": items}, indent=1)


def changed(items: list[dict[str, object]], name: str, *path: str, to: object) -> str:
    """The list with one field of one object changed."""
    copy = json.loads(json.dumps(items))
    for item in copy:
        if item.get("metadata", {}).get("name") == name:
            inner = item
            for step in path[:-1]:
                inner = inner.setdefault(step, {})
            inner[path[-1]] = to
    return as_list(copy)


def only(result: Result, part: str) -> str:
    (said,) = (said for said in result.contradictions if part in said)
    return said


def test_two_files_that_say_different_things_of_one_object(
    importer: Importer, tenants: Topology
) -> None:
    items = objects(tenants)
    other = changed(items, "web-1-4wq8n", "status", "podIP", to="10.128.0.99")

    result = importer({"a.json": as_list(items), "b.json": other})

    said = only(result, "Pod shop/web-1-4wq8n")
    assert "not alike in status.podIP (10.128.0.99, 10.128.0.17)" in said
    assert "the first named here was taken, as it was read last" in said
    assert re.search(r"\(\S*/b\.json:\d+, \S*/a\.json:\d+\)$", said)
    assert str(result.cluster.pod("shop/web-1-4wq8n").ip) == "10.128.0.99"


def test_the_newer_of_two_is_taken_whichever_was_read_first(
    importer: Importer, tenants: Topology
) -> None:
    items = objects(tenants)
    path = ("metadata", "resourceVersion")
    newer = json.loads(changed(items, "web-1-4wq8n", *path, to="900"))["items"]
    older = json.loads(changed(items, "web-1-4wq8n", *path, to="800"))["items"]
    stale = changed(older, "web-1-4wq8n", "status", "podIP", to="10.128.0.99")

    result = importer({"a.json": as_list(newer), "b.json": stale})

    assert "as its resourceVersion is higher" in only(result, "Pod shop/web-1-4wq8n")
    assert str(result.cluster.pod("shop/web-1-4wq8n").ip) == "10.128.0.17"


def test_the_same_object_twice_is_no_contradiction(
    importer: Importer, tenants: Topology
) -> None:
    text = as_list(objects(tenants))

    assert importer({"a.json": text, "b.json": text}).contradictions == []


def test_a_table_that_denies_an_object_is_told(
    importer: Importer, dump: Dumper
) -> None:
    table = (
        "NAME         HOST         HOST IP       SUBNET\n"
        "oc-01.test   oc-01.test   172.16.1.99   10.128.0.0/23\n"
    )

    result = importer({"o.yaml": dump.shipped("four-node").text(), "t.txt": table})

    said = only(result, "hostIP is 172.16.1.15, and 172.16.1.99 in a list")
    assert "the object's was taken" in said
    assert str(result.cluster.node("oc-01").host_ip) == "172.16.1.15"


def test_flows_for_a_pod_that_is_no_more(
    importer: Importer, dump: Dumper, tenants: Topology
) -> None:
    gone = [i for i in objects(tenants) if "web-1-4wq8n" not in json.dumps(i)]

    result = importer({"o.json": as_list(gone), **dump.all(tenants.cluster)})

    said = only(result, "flows of pod 10.128.0.17 on oc-01.test")
    assert "no Pod that was collected has this address: it is no more; left out" in said
    assert result.node("oc-01.test").deviations["extra"] == 4
    assert all(str(pod.ip) != "10.128.0.17" for pod in result.cluster.pods)


def test_flows_for_a_pod_of_a_namespace_that_was_not_collected_make_one(
    importer: Importer, dump: Dumper, tenants: Topology
) -> None:
    bank = [
        item
        for item in objects(tenants)
        if item["kind"] != "Pod" or '"namespace": "bank"' in json.dumps(item)
    ]

    result = importer({"o.json": as_list(bank), **dump.all(tenants.cluster)})

    assert len(result.cluster.pods) == len(
        [pod for pod in tenants.cluster.pods if not pod.host_network]
    )
    assert set(result.deviations.values()) == {0}


def test_a_pod_whose_node_has_no_flows_of_it(
    importer: Importer, dump: Dumper, tenants: Topology
) -> None:
    flows = {
        name: "".join(
            f"{it}\n" for it in str(text).splitlines() if "10.128.0.17" not in it
        )
        for name, text in dump.all(tenants.cluster).items()
    }

    result = importer({"o.yaml": tenants.text(), **flows})

    said = only(result, "Pod shop/web-1-4wq8n")
    assert "runs on oc-01.test, whose flows do not have its address" in said
    assert str(result.cluster.pod("shop/web-1-4wq8n").ip) == "10.128.0.17"
    assert result.node("oc-01.test").deviations["missing"] == 4


def test_a_pod_whose_flows_are_on_another_node(
    importer: Importer, dump: Dumper, tenants: Topology
) -> None:
    moved = changed(
        objects(tenants), "web-1-4wq8n", "spec", "nodeName", to="oc-02.test"
    )

    result = importer({"o.json": moved, **dump.all(tenants.cluster)})

    said = only(result, "Pod shop/web-1-4wq8n: runs on oc-02.test")
    assert "and oc-01.test has flows of its address" in said


def test_two_pods_of_one_address(
    importer: Importer, dump: Dumper, tenants: Topology
) -> None:
    items = objects(tenants)
    twin = changed(items, "web-1-k9s5c", "status", "podIP", to="10.128.0.17")

    result = importer({"o.json": twin, **dump.all(tenants.cluster)})

    said = only(result, "Pod shop/web-1-k9s5c: status.podIP 10.128.0.17")
    assert (
        "is that of shop/web-1-4wq8n, too, which was taken, as its node has flows"
        in said
    )
    assert "this is left out" in said
    assert "shop/web-1-k9s5c" not in {pod.key for pod in result.cluster.pods}


def test_two_pods_of_one_port_leave_it_to_the_younger_flows(
    importer: Importer, live_lines: Sequence[str]
) -> None:
    stale = [
        line.replace("10.131.0.16", "10.131.0.15").replace("0a:83:00:10", "0a:83:00:0f")
        for line in live_lines
        if "10.131.0.16" in line
    ]
    older = [re.sub(r"duration=\d+", "duration=99999", line) for line in stale]

    result = importer.text("\n".join([*live_lines, *older]), "oc-04.flows")

    said = only(result, "Pod unknown/pod-10-131-0-15: has port 28 of oc-04")
    assert "which 10.131.0.16 has, too, by younger flows; it is left out" in said
    assert [str(pod.ip) for pod in result.cluster.pods_on(result.cluster.nodes[0])] == [
        "10.131.1.241",
        "10.131.0.16",
    ]


def test_flows_of_an_address_that_is_none_of_the_nodes(
    importer: Importer, live_lines: Sequence[str]
) -> None:
    foreign = [
        line.replace("10.131.0.16", "10.129.0.16")
        for line in live_lines
        if "10.131.0.16" in line and "table=20" not in line
    ]

    result = importer.text("\n".join([*live_lines, *foreign]), "oc-04.flows")

    assert "its address is none of 10.131.0.0/23; left out" in only(
        result, "flows of pod 10.129.0.16"
    )


def test_a_pods_flows_that_disagree_and_those_that_are_missing(
    importer: Importer, dump: Dumper, tenants: Topology
) -> None:
    cluster = tenants.cluster
    text = dump(cluster, cluster.node("oc-01"))
    vnid = f"{cluster.vnid('shop'):#x}"
    lines = text.splitlines()
    received = next(
        i for i, it in enumerate(lines) if "table=70" in it and ".17 " in it
    )
    lines[received] = lines[received].replace(
        f"load:{vnid}->NXM_NX_REG1", "load:0x63->NXM_NX_REG1"
    )
    lines = [
        it for it in lines if not ("table=40" in it and "arp_tpa=10.128.0.17 " in it)
    ]

    result = importer.text("\n".join(lines), "oc-01.flows")

    said = only(result, "flows of pod 10.128.0.17 on oc-01: say VNID")
    assert f"say VNID {cluster.vnid('shop')}, and 99; the first was taken" in said
    (missing,) = result.said(Sort.MISSING, "flows of pod 10.128.0.17")
    assert "there is none in table 40" in missing


def test_a_netid_that_flows_deny(
    importer: Importer, dump: Dumper, tenants: Topology
) -> None:
    other = changed(objects(tenants), "bank", "netid", to=4711)

    result = importer({"o.json": other, **dump.all(tenants.cluster)})

    said = next(it for it in result.contradictions if "NetNamespace bank" in it)
    assert "netid is 4711, and flows of Pod bank/" in said
    assert "have VNID 12894577; the object's was taken" in said
    assert result.cluster.vnid("bank") == 4711


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        (
            {"hostIP": "172.16.1.99"},
            "hostIP is 172.16.1.99, and its own flows say 172.16.1.22",
        ),
        ({"subnet": "10.128.8.0/23"}, "its own flows say 10.130.0.0/23"),
        (
            {"subnet": "10.128.8.0/23"},
            "flows of 3 other nodes send 10.130.0.0/23 to",
        ),
    ],
)
def test_a_host_subnet_that_flows_deny(
    wrong: dict[str, str],
    part: str,
    importer: Importer,
    dump: Dumper,
    tenants: Topology,
) -> None:
    ((field, value),) = wrong.items()
    other = changed(objects(tenants), "oc-03.test", field, to=value)

    result = importer({"o.json": other, **dump.all(tenants.cluster)})

    assert any(
        said.startswith("HostSubnet oc-03.test") and part in said
        for said in result.contradictions
    )


def test_a_host_subnet_that_was_made_anew_has_another_cookie(
    importer: Importer, dump: Dumper, tenants: Topology
) -> None:
    other = changed(objects(tenants), "oc-03.test", "metadata", "uid", to="another")

    result = importer({"o.json": other, **dump.all(tenants.cluster)})

    assert "they were made for an earlier HostSubnet" in only(
        result, "HostSubnet oc-03"
    )


def test_a_peer_that_no_host_subnet_is_about(
    importer: Importer, dump: Dumper, tenants: Topology
) -> None:
    without = [i for i in objects(tenants) if "oc-03.test" not in json.dumps(i)]

    result = importer({"o.json": as_list(without), **dump.all(tenants.cluster)})

    said = only(result, "node 172.16.1.22")
    assert "its flows are there, and no HostSubnet has it; it is left out" in said


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            {"pluginName": str(Plugin.SUBNET)},
            "flows of 4 nodes say redhat/openshift-ovs-multitenant",
        ),
        ({"serviceNetwork": "172.31.0.0/16"}, "flows of 4 nodes say 172.30.0.0/16"),
        ({"vxlanPort": 4889}, "vxlanPort is 4889, and flows of 4 nodes say 4789"),
    ],
)
def test_a_cluster_network_that_flows_deny(
    wrong: dict[str, object],
    told: str,
    importer: Importer,
    dump: Dumper,
    tenants: Topology,
) -> None:
    ((field, value),) = wrong.items()
    items = [i for i in objects(tenants) if i["kind"] not in ("Service", "Endpoints")]
    other = changed(items, "default", field, to=value)

    result = importer({"o.json": other, **dump.all(tenants.cluster)})

    assert told in only(result, f"ClusterNetwork default: {field}")


def test_nodes_that_disagree_are_told_and_the_most_are_followed(
    importer: Importer, dump: Dumper, tenants: Topology
) -> None:
    flows = dump.all(tenants.cluster)
    name = "nodes/oc-02.test/flows"
    flows[name] = str(flows[name]).replace("tp_dst=4789", "tp_dst=4889")

    result = importer(flows)

    said = only(result, "ClusterNetwork default: vxlanPort is 4789 by 3")
    assert "4889 by 1; what most say was taken" in said
    assert result.cluster.network.vxlan_port == 4789


def test_a_note_that_other_flows_deny(importer: Importer, live: str) -> None:
    result = importer.text(live.replace("note:00.07", "note:01.07"))

    said = only(result, "table 253 notes redhat/openshift-ovs-multitenant")
    assert "other flows are redhat/openshift-ovs-subnet's; the note was taken" in said


def test_rules_of_egress_that_both_allow_and_deny(
    importer: Importer, dump: Dumper, tenants: Topology
) -> None:
    cluster = tenants.cluster
    text = dump(cluster, cluster.node("oc-01"))
    spoiled = text.replace(
        "nw_dst=198.51.100.20 actions=drop", "nw_dst=198.51.100.20 actions=output:2"
    )
    assert spoiled != text

    result = importer.text(spoiled, "oc-01.flows")

    assert "both allow and deny; the first was taken" in only(
        result, "EgressNetworkPolicy"
    )


def test_policies_that_nodes_have_differently(importer: Importer, dump: Dumper) -> None:
    cluster: Cluster = dump.shipped("networkpolicy").cluster
    flows = dump.all(cluster)
    name = "nodes/oc-02.test/flows"
    flows[name] = "".join(
        f"{it}\n"
        for it in str(flows[name]).splitlines()
        if not ("table=80" in it and "tp_dst=9100" in it)
    )

    result = importer(flows)

    assert "what most have was taken" in only(
        result, f"policies of VNID {cluster.vnid('shop')}"
    )


def test_what_no_cluster_can_be_is_left_out_with_the_reason_and_its_place(
    importer: Importer, tenants: Topology
) -> None:
    lost = changed(objects(tenants), "web-1-4wq8n", "spec", "nodeName", to="oc-99.test")

    result = importer({"o.json": lost})

    said = only(result, "Pod shop/web-1-4wq8n: is left out: ")
    assert "spec.nodeName: must be the name of a HostSubnet, not 'oc-99.test'" in said
    assert re.search(r"o\.json:\d+\)$", said)


def test_what_hangs_on_what_is_left_out_goes_with_it(
    importer: Importer, tenants: Topology
) -> None:
    wrong = changed(objects(tenants), "oc-04.test", "hostIP", to="10.130.7.4")

    result = importer({"o.json": wrong})

    assert [node.name for node in result.cluster.nodes] == [
        "oc-01.test",
        "oc-02.test",
        "oc-03.test",
    ]
    assert "is inside the cluster's own" in only(
        result, "HostSubnet oc-04.test: is left"
    )
    assert all(pod.node != "oc-04.test" for pod in result.cluster.pods)


def test_a_cluster_network_that_cannot_be_is_refused_with_its_place(
    importer: Importer, tenants: Topology
) -> None:
    wrong = changed(objects(tenants), "default", "serviceNetwork", to="10.129.0.0/16")

    with pytest.raises(
        ImportRefusedError, match=r"overlaps clusterNetworks.*o\.json:\d+"
    ):
        importer({"o.json": wrong})


def test_without_any_node_it_says_what_to_collect(importer: Importer) -> None:
    pod: dict[str, object] = {"kind": "Pod", "metadata": {"name": "a"}, "spec": {}}

    with pytest.raises(ImportRefusedError) as refused:
        importer({"pods.json": as_list([pod])})

    assert "nothing says which nodes there are" in str(refused.value)
    assert "oc get hostsubnets -o yaml" in str(refused.value)


def test_what_3_11_takes_otherwise_is_passed_on_with_its_place(
    importer: Importer, dump: Dumper
) -> None:
    items = objects(dump.shipped("networkpolicy"))
    policy: dict[str, object] = {
        "kind": "NetworkPolicy",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": "by-name", "namespace": "shop"},
        "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": "http"}]}]},
    }

    result = importer({"o.json": as_list([*items, policy])})

    (said,) = result.said(Sort.FOUND, "NetworkPolicy shop/by-name")
    assert "more than 3.11 supports" in said
    assert "o.json:" in said


MISSING: dict[str, Callable[[dict[str, object]], bool]] = {
    "NetNamespace": lambda item: item["kind"] != "NetNamespace",
    "HostSubnet": lambda item: item["kind"] != "HostSubnet",
    "ClusterNetwork": lambda item: item["kind"] != "ClusterNetwork",
    "Service": lambda item: item["kind"] not in ("Service", "Endpoints"),
    "EgressNetworkPolicy": lambda item: item["kind"] != "EgressNetworkPolicy",
}


@pytest.mark.parametrize("kind", MISSING)
def test_whatever_kind_was_not_collected_the_flows_stay_the_same(
    kind: str, importer: Importer, dump: Dumper, tenants: Topology
) -> None:
    rest = [item for item in objects(tenants) if MISSING[kind](item)]

    result = importer({"o.json": as_list(rest), **dump.all(tenants.cluster)})

    assert set(result.deviations.values()) == {0}
    assert {made.sort for made in result.imported.objects if made.kind == kind} == {
        Sort.INFERRED
    }


def test_policies_that_were_not_collected_are_made_for_the_pods_that_were(
    importer: Importer, dump: Dumper
) -> None:
    """debug.sh collects no NetworkPolicies, so this is the common case."""
    topology = dump.shipped("networkpolicy")
    rest = [item for item in objects(topology) if item["kind"] != "NetworkPolicy"]

    result = importer({"o.json": as_list(rest), **dump.all(topology.cluster)})

    assert set(result.deviations.values()) == {0}
    assert {pod.key for pod in result.cluster.pods} == {
        pod.key for pod in topology.cluster.pods
    }
