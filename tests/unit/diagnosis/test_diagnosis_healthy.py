"""What is as it should be, or was not collected, is no finding."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.diagnosis import Severity, diagnose
from testbed.exporting import Format
from testbed.faults import FlowDeleted
from testbed.importing import gather, merge
from tests.unit.diagnosis.conftest import SHIPPED, one, replacing

if TYPE_CHECKING:
    from tests.unit.diagnosis.conftest import Clinic, Files

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.mark.parametrize("layout", Format)
@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_cluster_has_no_finding(
    clinic: Clinic, name: str, layout: Format
) -> None:
    assert clinic(name, layout=layout).findings == ()


def test_the_live_dump_of_a_healthy_node_has_no_finding() -> None:
    evidence = gather([GOLDEN / "oc-04.flows"], io.BytesIO())

    assert diagnose(evidence, merge(evidence)).findings == ()


@pytest.mark.parametrize("name", SHIPPED)
def test_flows_alone_have_no_finding(clinic: Clinic, name: str) -> None:
    files = clinic.files(name)
    flows = {path: text for path, text in files.items() if path.endswith("/flows")}

    assert clinic.examined(flows).diagnosis.findings == ()


def test_what_was_not_collected_is_told_and_no_finding(clinic: Clinic) -> None:
    def edit(files: Files) -> None:
        del files[one(files, "nodes/oc-02.test/flows")]
        for path in [p for p in files if p.endswith("/iptables")]:
            del files[path]

    found = clinic("multitenant", edit=edit)

    assert found.findings == ()
    assert "flows of oc-02 were not collected" in found.not_looked_at
    assert any(line.startswith("iptables") for line in found.not_looked_at)


def test_what_could_not_be_read_is_told_and_no_finding(clinic: Clinic) -> None:
    def edit(files: Files) -> None:
        files["rest.zip"] = "PK\3\4 and no more"

    found = clinic("multitenant", edit=edit)

    assert found.findings == ()
    assert any("rest.zip: is cut off" in line for line in found.not_looked_at)


def test_a_trimmed_dump_is_not_looked_at_where_it_says_nothing(clinic: Clinic) -> None:
    def edit(files: Files) -> None:
        path = one(files, "nodes/oc-02.test/flows")
        lines = files[path].splitlines(keepends=True)
        files[path] = "".join(line for line in lines if "table=20," in line)

    found = clinic("multitenant", edit=edit)

    assert found.findings == ()
    assert any("oc-02.test: tables 0, 10" in line for line in found.not_looked_at)


def test_counters_and_the_order_of_flows_do_not_matter(clinic: Clinic) -> None:
    def edit(files: Files) -> None:
        path = one(files, "nodes/oc-02.test/flows")
        lines = files[path].splitlines()
        body = [line for line in lines if "actions=" in line]
        files[path] = "\n".join(reversed(body)).replace("n_packets=", "n_packets=9")

    assert clinic("multitenant", edit=edit).findings == ()


def test_rules_of_others_are_no_finding(clinic: Clinic) -> None:
    edit = replacing(
        "nodes/oc-02.test/iptables",
        "COMMIT",
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT",
    )

    def both(files: Files) -> None:
        path = one(files, "nodes/oc-02.test/iptables")
        filters, rest = files[path].split("*nat", 1)
        files[path] = filters
        edit(files)
        files[path] += "*nat" + rest

    assert clinic("multitenant", edit=both).findings == ()


def test_a_release_without_the_flow_against_forged_vxlan_is_told_once(
    clinic: Clinic,
) -> None:
    selector = "priority=300,udp,tp_dst=4789"
    nodes = [node.name for node in clinic.topology("multitenant").cluster.nodes]
    faults = [FlowDeleted(node=n, table=100, selector=selector) for n in nodes]

    finding = clinic.only("multitenant", *faults)

    assert finding.severity is Severity.NOTE
    assert finding.bugs == ("BZ1643965",)


def test_one_node_without_the_flow_against_forged_vxlan_is_a_warning(
    clinic: Clinic,
) -> None:
    selector = "priority=300,udp,tp_dst=4789"

    finding = clinic.only(
        "multitenant", FlowDeleted(node="oc-02", table=100, selector=selector)
    )

    assert finding.severity is Severity.WARNING
    assert finding.nodes == ("oc-02.test",)
