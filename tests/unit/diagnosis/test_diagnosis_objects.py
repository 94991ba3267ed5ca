"""Objects that contradict each other, and findings as they are told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from testbed import faults
from testbed.diagnosis import BUGS, Severity
from testbed.diagnosis.page import page
from testbed.diagnosis.told import as_json, parts, verdict

if TYPE_CHECKING:
    from testbed.diagnosis import Diagnosis
    from tests.unit.diagnosis.conftest import Clinic, Files

POD = """
---
apiVersion: v1
kind: Pod
metadata: {name: twin, namespace: shop}
spec: {nodeName: oc-02.test}
status: {phase: Running, podIP: %s}
"""


def with_objects(text: str) -> Files:
    return {"more.yaml": text.lstrip()}


def checks(found: Diagnosis) -> list[str]:
    return [item.check for item in found.findings]


def test_two_pods_with_one_address_are_one_finding(clinic: Clinic) -> None:
    files = clinic.files("multitenant") | with_objects(POD % "10.129.0.9")

    found = clinic.examined(files).diagnosis

    assert checks(found) == ["pod-address-twice"]
    assert "shop/twin" in found.findings[0].title


def test_a_pod_outside_its_node_s_subnet_is_one_finding(clinic: Clinic) -> None:
    files = clinic.files("multitenant") | with_objects(POD % "10.131.0.77")

    found = clinic.examined(files).diagnosis

    assert checks(found) == ["pod-address-foreign"]


def test_a_node_whose_host_subnet_is_stale_is_one_finding(clinic: Clinic) -> None:
    node = (
        "apiVersion: v1\nkind: Node\nmetadata: {name: oc-02.test}\n"
        "status: {addresses: [{type: InternalIP, address: 172.16.1.177}]}\n"
    )

    def edit(files: Files) -> None:
        path = next(name for name in files if name.endswith("master/nodes"))
        files[path] = node

    found = clinic("multitenant", edit=edit)

    assert checks(found) == ["host-ip-stale"]
    assert "172.16.1.177" in found.findings[0].title


def test_one_netid_for_two_namespaces_is_critical_with_policies(
    clinic: Clinic,
) -> None:
    files = clinic.files("networkpolicy")
    netid = clinic.topology("networkpolicy").cluster.vnid("shop")
    files |= with_objects(
        "apiVersion: network.openshift.io/v1\nkind: NetNamespace\n"
        f"metadata: {{name: twin}}\nnetname: twin\nnetid: {netid}\n"
    )

    found = clinic.examined(files).diagnosis

    assert "netid-twice" in checks(found)


def test_an_egress_ip_of_two_nodes_is_critical(clinic: Clinic) -> None:
    cluster = clinic.topology("networkpolicy").cluster
    home = next(host for host in cluster.nodes if host.egress_ips)
    files = clinic.files("networkpolicy") | with_objects(
        "apiVersion: network.openshift.io/v1\nkind: HostSubnet\n"
        "metadata: {name: extra.test}\nhost: extra.test\nhostIP: 172.16.1.240\n"
        f"subnet: 10.131.254.0/23\negressIPs: [{home.egress_ips[0]}]\n"
    )

    found = clinic.examined(files).diagnosis

    assert "egress-ip-twice" in checks(found)


def test_a_policy_that_does_not_do_what_it_says_is_told_with_its_bug(
    clinic: Clinic,
) -> None:
    files = clinic.files("networkpolicy") | with_objects(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        "metadata: {name: by-name, namespace: twin}\n"
        "spec: {podSelector: {}, ingress: [{ports: [{port: http}]}]}\n"
        "---\napiVersion: network.openshift.io/v1\nkind: NetNamespace\n"
        "metadata: {name: twin}\nnetname: twin\nnetid: 4711\n"
    )

    found = clinic.examined(files).diagnosis
    (finding,) = [f for f in found.findings if f.check == "object-doubtful"]

    assert finding.bugs == ("BZ1768926",)
    assert finding.severity is Severity.WARNING


@pytest.fixture
def sick(clinic: Clinic) -> Diagnosis:
    return clinic(
        "multitenant",
        faults.HostSubnetForgotten(node="oc-03", peer="oc-01"),
        faults.NoteWrong(node="oc-02", version=6),
    )


def test_the_json_has_every_finding_with_its_evidence(sick: Diagnosis) -> None:
    told = json.loads(json.dumps(as_json(sick)))

    assert told["healthy"] is False
    assert [item["severity"] for item in told["findings"]] == ["critical", "warning"]
    assert told["findings"][0]["flows"][0]["node"] == "oc-03.test"
    assert told["findings"][0]["bugs"][0]["fixed_in"]
    assert told["findings"][1]["evidence"][0]["place"].count(":") == 1


def test_a_finding_says_what_breaks_and_what_to_do(sick: Diagnosis) -> None:
    told = dict(parts(sick.findings[0]))

    assert "cannot talk" in told["breaks"]
    assert "sdn pod" in told["do"]


def test_the_verdict_counts_by_severity(sick: Diagnosis) -> None:
    assert verdict(sick) == "2 findings: 1 critical, 1 warning"


def test_the_page_needs_nothing_else_and_escapes_what_was_collected(
    sick: Diagnosis,
) -> None:
    text = page(sick, "<script>alert(1)</script>")

    assert "has forgotten HostSubnet oc-01" in text
    assert "<script>alert" not in text
    assert "http://" not in text
    assert "<img" not in text
    assert '<link rel="stylesheet' not in text


def test_only_notes_are_healthy(clinic: Clinic) -> None:
    cluster = clinic.topology("four-node").cluster
    service = f"Service {cluster.services[0].key}"

    found = clinic("four-node", faults.FlowDeleted(node="oc-02", object=service))

    assert found.findings
    assert found.is_healthy


def test_every_bug_says_what_it_is_and_what_mends_it() -> None:
    lacking = [
        reference
        for reference, bug in BUGS.items()
        if not (bug.symptom and bug.mechanism and bug.fix)
    ]

    assert lacking == []
