"""Flows that are missing, other or too many: one finding for each cause."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from testbed import faults
from testbed.diagnosis import Severity
from testbed.pipeline import node_flows
from tests.unit.diagnosis.conftest import one

if TYPE_CHECKING:
    from testbed.faults import Fault
    from tests.unit.diagnosis.conftest import Clinic, Files

WEB = "shop/web-1-k9s5c"


def test_a_forgotten_host_subnet_is_one_finding(clinic: Clinic) -> None:
    finding = clinic.only(
        "multitenant", faults.HostSubnetForgotten(node="oc-03", peer="oc-01")
    )

    assert finding.check == "host-subnet-forgotten"
    assert finding.severity is Severity.CRITICAL
    assert finding.object == "HostSubnet oc-01.test"
    assert finding.nodes == ("oc-03.test",)
    assert {key.table for key in finding.flows} == {10, 50, 90, 111}


def test_a_node_that_cannot_receive_says_from_whom(clinic: Clinic) -> None:
    finding = clinic.only(
        "multitenant",
        faults.FlowDeleted(node="oc-03", object="HostSubnet oc-01", table=10),
    )

    assert finding.title == (
        "oc-03: cannot receive from oc-01: T10 has no flow for tun_src=172.16.1.15"
    )


def test_a_stale_host_ip_is_one_finding_with_both_addresses(clinic: Clinic) -> None:
    stale = IPv4Address("172.16.1.99")

    finding = clinic.only(
        "multitenant",
        faults.HostSubnetStale(node="oc-03", peer="oc-01", host_ip=stale),
    )

    assert finding.check == "host-subnet-stale"
    assert "172.16.1.99; it is at 172.16.1.15" in finding.title
    assert "BZ1607395" in finding.bugs


def test_a_stale_host_ip_that_is_another_node_s_says_whose(clinic: Clinic) -> None:
    finding = clinic.only(
        "multitenant",
        faults.HostSubnetStale(
            node="oc-03", peer="oc-01", host_ip=IPv4Address("172.16.1.77")
        ),
    )

    assert "takes oc-01 to be at 172.16.1.77" in finding.title


def test_the_cookie_of_an_earlier_host_subnet_is_a_warning(clinic: Clinic) -> None:
    def edit(files: Files) -> None:
        path = one(files, "nodes/oc-03.test/flows")
        lines = files[path].splitlines()
        flow = next(line for line in lines if "tun_src=172.16.1.15" in line)
        cookie = flow.split("cookie=")[1].split(",")[0]
        files[path] = files[path].replace(f"cookie={cookie},", "cookie=0x1234abcd,")

    finding = clinic.only("multitenant", edit=edit)

    assert finding.check == "host-subnet-cookie"
    assert finding.severity is Severity.WARNING


def test_flows_for_a_node_that_no_host_subnet_is_about_are_a_warning(
    clinic: Clinic,
) -> None:
    def edit(files: Files) -> None:
        path = one(files, "nodes/oc-03.test/flows")
        files[path] += (
            " cookie=0xabcd, duration=1.0s, table=10, n_packets=0, n_bytes=0, "
            "priority=100,tun_src=172.16.1.200 actions=goto_table:30\n"
        )

    finding = clinic.only("multitenant", edit=edit)

    assert finding.check == "host-subnet-unknown"
    assert "172.16.1.200" in finding.title


@pytest.mark.parametrize("name", ["four-node", "multitenant", "networkpolicy"])
def test_a_pod_without_flows_is_one_finding(clinic: Clinic, name: str) -> None:
    node = clinic.topology(name).cluster.node("oc-02")
    pod = clinic.topology(name).cluster.pods_on(node)[0]

    finding = clinic.only(name, faults.PodFlowsMissing(pod=pod.key))

    assert finding.check == "pod-flows-missing"
    assert finding.object == f"Pod {pod.key}"
    assert "can neither send nor be reached" in finding.breaks


def test_a_pod_that_lacks_one_flow_says_what_does_not_work(clinic: Clinic) -> None:
    finding = clinic.only(
        "multitenant",
        faults.FlowDeleted(node="oc-02", object=f"Pod {WEB}", table=70),
    )

    assert finding.check == "pod-flows-incomplete"
    assert finding.breaks == "no IP gets to it"


def test_flows_of_a_pod_that_is_gone_are_one_finding(clinic: Clinic) -> None:
    finding = clinic.only(
        "multitenant",
        faults.PodFlowsStale(node="oc-02", ip=IPv4Address("10.129.1.44"), ofport=250),
    )

    assert finding.check == "pod-flows-stale"
    assert "10.129.1.44 on port 250" in finding.title
    assert "BZ1518684" in finding.bugs


def test_flows_for_a_port_that_is_not_there_are_one_finding(clinic: Clinic) -> None:
    finding = clinic.only("multitenant", faults.OfportWrong(pod=WEB, ofport=240))

    assert finding.object == f"Pod {WEB}"
    assert "port 240" in finding.title


def test_flows_for_another_pod_s_port_are_one_finding_about_that_pod(
    clinic: Clinic,
) -> None:
    found = clinic("multitenant", faults.OfportWrong(pod=WEB, ofport=4))

    assert len(found.findings) == 1
    assert WEB in found.findings[0].title


def test_a_namespace_with_another_s_vnid_is_one_finding(clinic: Clinic) -> None:
    finding = clinic.only(
        "multitenant",
        faults.VnidDuplicated(node="oc-02", namespace="shop", other="bank"),
    )

    assert finding.check == "namespace-vnid"
    assert finding.object == "NetNamespace shop"
    assert "which is bank's" in finding.title


def test_two_swapped_namespaces_are_a_finding_each(clinic: Clinic) -> None:
    found = clinic(
        "multitenant",
        faults.VnidSwapped(node="oc-02", namespace="bank", other="build"),
    )

    assert [item.object for item in found.findings] == [
        "NetNamespace bank",
        "NetNamespace build",
    ]


def test_one_pod_with_an_old_vnid_is_a_finding_about_the_pod(clinic: Clinic) -> None:
    finding = clinic.only("multitenant", faults.VnidStale(pod=WEB, vnid=4711))

    assert finding.check == "pod-vnid"
    assert finding.object == f"Pod {WEB}"
    assert "VNID 4711" in finding.title


def test_a_missing_service_is_one_finding(clinic: Clinic) -> None:
    finding = clinic.only(
        "multitenant", faults.FlowDeleted(node="oc-02", object="Service shop/web")
    )

    assert finding.check == "service-flows-missing"
    assert finding.object == "Service shop/web"


def test_under_ovs_subnet_a_missing_service_breaks_nothing(clinic: Clinic) -> None:
    cluster = clinic.topology("four-node").cluster
    service = f"Service {cluster.services[0].key}"

    finding = clinic.only("four-node", faults.FlowDeleted(node="oc-02", object=service))

    assert finding.severity is Severity.NOTE


def test_missing_flows_of_a_policy_say_what_is_dropped(clinic: Clinic) -> None:
    cluster = clinic.topology("networkpolicy").cluster
    node, maker = next(
        (node.name, flow.made_by)
        for node in cluster.nodes
        for flow in node_flows(cluster, node)
        if flow.priority == 150 and flow.made_by.startswith("NetworkPolicy ")
    )

    fault = faults.FlowDeleted(node=node, object=maker.split(",")[0])

    files = clinic.files("networkpolicy", fault, complete=True)
    (finding,) = clinic.examined(files).diagnosis.findings

    assert finding.check == "policy-flows-missing"
    assert "which is allowed" in finding.breaks


def test_a_namespace_closed_to_itself_is_one_finding(clinic: Clinic) -> None:
    vnid = clinic.topology("multitenant").cluster.vnid("shop")
    selector = f"priority=100,reg0={vnid:#x},reg1={vnid:#x}"

    finding = clinic.only(
        "multitenant", faults.FlowDeleted(node="oc-02", table=80, selector=selector)
    )

    assert finding.check == "vnid-closed"
    assert "shop" in finding.title


def test_a_vnid_that_is_used_on_the_node_no_more_is_no_finding(clinic: Clinic) -> None:
    cluster = clinic.topology("networkpolicy").cluster
    here = {pod.namespace for pod in cluster.pods_on(cluster.node("oc-02"))}
    other = next(n for n in cluster.net_namespaces if n.name not in here)

    def edit(files: Files) -> None:
        path = one(files, "nodes/oc-02.test/flows")
        files[path] += (
            " cookie=0x0, duration=1.0s, table=80, n_packets=0, n_bytes=0, "
            f"priority=50,reg1={other.netid:#x} actions=output:NXM_NX_REG2[]\n"
        )

    assert clinic("networkpolicy", edit=edit).findings == ()


def test_a_vnid_that_is_nobody_s_is_a_note(clinic: Clinic) -> None:
    def edit(files: Files) -> None:
        path = one(files, "nodes/oc-02.test/flows")
        files[path] += (
            " cookie=0x0, duration=1.0s, table=80, n_packets=0, n_bytes=0, "
            "priority=100,reg0=0x4711,reg1=0x4711 actions=output:NXM_NX_REG2[]\n"
        )

    finding = clinic.only("multitenant", edit=edit)

    assert finding.severity is Severity.NOTE
    assert finding.bugs == ("BZ1686025",)


def test_a_bridge_without_flows_is_one_finding(clinic: Clinic) -> None:
    finding = clinic.only("multitenant", faults.FlowsWiped(node="oc-02"))

    assert finding.check == "flows-wiped"
    assert finding.nodes == ("oc-02.test",)


def test_a_file_of_flows_without_even_a_reply_is_a_switch_that_says_nothing(
    clinic: Clinic,
) -> None:
    def edit(files: Files) -> None:
        files[one(files, "nodes/oc-02.test/flows")] = ""

    finding = clinic.only("multitenant", edit=edit)

    assert finding.check == "switch-silent"
    assert finding.nodes == ("oc-02.test",)


def test_a_switch_that_ovs_ofctl_does_not_reach_says_nothing(clinic: Clinic) -> None:
    refusal = "ovs-ofctl: br0.mgmt: failed to open socket (Connection refused)"

    def edit(files: Files) -> None:
        asked = "> ovs-ofctl -O OpenFlow13 dump-flows br0\n\n"
        files[one(files, "nodes/oc-02.test/flows")] = f"{asked}{refusal}\n"

    finding = clinic.only("multitenant", edit=edit)

    assert finding.check == "switch-silent"
    (shown,) = finding.evidence
    assert refusal in str(shown)


def test_a_dump_that_failed_is_no_bridge_without_flows(clinic: Clinic) -> None:
    def edit(files: Files) -> None:
        files[one(files, "nodes/oc-02.test/flows")] = (
            "> ovs-ofctl -O OpenFlow13 dump-flows br0\n\n"
            "debug.sh: line 52: ovs-ofctl: command not found\n"
        )

    found = clinic("multitenant", edit=edit)

    assert found.findings == ()
    assert "flows of oc-02 were not collected" in found.not_looked_at


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (faults.NoteWrong(node="oc-02", version=6), "notes version 6"),
        (
            faults.NoteWrong(node="oc-02", version=7, plugin=2),
            "for ovs-networkpolicy",
        ),
        (faults.FlowDeleted(node="oc-02", table=253, selector=""), "has no note"),
    ],
)
def test_a_wrong_note_is_a_warning(clinic: Clinic, fault: Fault, said: str) -> None:
    finding = clinic.only("multitenant", fault)

    assert finding.check == "rule-version"
    assert finding.severity is Severity.WARNING
    assert said in finding.title


def test_another_plugin_s_bridge_is_one_finding(clinic: Clinic) -> None:
    ours = clinic.files("multitenant")
    theirs = clinic.files("networkpolicy")
    path = one(ours, "nodes/oc-02.test/flows")
    base = [
        line
        for line in theirs[path].splitlines()
        if any(f"table={table}," in line for table in (0, 21, 25, 80, 253))
        and "reg" not in line
    ]
    rest = [
        line
        for line in ours[path].splitlines()
        if not any(f"table={table}," in line for table in (0, 21, 253))
        and not ("table=80," in line and "reg0=0" in line)
        and not ("table=80," in line and "reg1=0" in line)
        and not ("table=80," in line and "nw_src" in line)
        and not ("table=80," in line and "priority=0" in line)
    ]
    ours[path] = "\n".join([*rest, *base])

    found = clinic.examined(ours).diagnosis

    assert [item.check for item in found.findings] == ["other-plugin"]


@pytest.mark.parametrize("name", ["four-node", "multitenant", "networkpolicy"])
def test_each_flow_of_every_bridge_is_missed(clinic: Clinic, name: str) -> None:
    cluster = clinic.topology(name).cluster
    files = clinic.files(name)
    path = one(files, "nodes/oc-02.test/flows")
    lines = files[path].splitlines()
    missed = []
    for number, line in enumerate(lines):
        if "actions=" not in line or number % 13:
            continue
        files[path] = "\n".join([*lines[:number], *lines[number + 1 :]])
        findings = clinic.examined(files).diagnosis.findings
        if len(findings) != 1 or findings[0].nodes != (cluster.node("oc-02").name,):
            missed.append((line, findings))

    assert missed == []


def test_a_foreign_flow_that_takes_everything_is_critical(clinic: Clinic) -> None:
    def edit(files: Files) -> None:
        path = one(files, "nodes/oc-02.test/flows")
        files[path] += (
            " cookie=0x0, duration=1.0s, table=0, n_packets=0, n_bytes=0, "
            "priority=100 actions=load:0x1->NXM_NX_REG1[],goto_table:80\n"
        )

    finding = clinic.only("multitenant", edit=edit)

    assert finding.check == "foreign-flows"
    assert finding.severity is Severity.CRITICAL
    assert "flows:" in finding.evidence[0].place


def test_what_is_the_same_on_several_nodes_is_told_once(clinic: Clinic) -> None:
    finding = clinic.only(
        "multitenant",
        *(
            faults.HostSubnetForgotten(node=node, peer="oc-01")
            for node in ("oc-02", "oc-03")
        ),
    )

    assert finding.nodes == ("oc-02.test", "oc-03.test")
    assert finding.title.startswith("oc-02 and oc-03: ")


def test_the_worst_comes_first(clinic: Clinic) -> None:
    found = clinic(
        "multitenant",
        faults.NoteWrong(node="oc-02", version=6),
        faults.PodFlowsMissing(pod=WEB),
        faults.HostSubnetForgotten(node="oc-03", peer="oc-01"),
    )

    assert [item.check for item in found.findings] == [
        "host-subnet-forgotten",
        "pod-flows-missing",
        "rule-version",
    ]
