"""What commands that need no running testbed make of a file's faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.cli import main
from testbed.faults import KINDS, Fault
from testbed.faults.hidden import Part, hidden_in_flows, hidden_in_trace, parts
from testbed.faults.reading import declared
from testbed.host.iptables import node_rules
from testbed.netfilter import Ruleset
from testbed.openflow import parse_dump
from testbed.topology import load
from testbed.topology.shipped import shipped
from testbed.tracing import computed_kernels

if TYPE_CHECKING:
    from pathlib import Path

FAULTS = """
---
apiVersion: testbed/v1
kind: Underlay
faults:
- {kind: host-subnet-forgotten, node: node-1, peer: node-2}
- {kind: dnsmasq-dead, node: node-1}
- {kind: iptables-flushed, node: node-1, table: nat}
- {kind: switch-restarted, node: node-2}
"""


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    return int(exit_info.value.code or 0)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    text = shipped("two-node.yaml").read_text()
    documents = [part for part in text.split("---\n") if "kind: Underlay" not in part]
    path = tmp_path / "broken.yaml"
    path.write_text("---\n".join(documents) + FAULTS)
    return path


def test_flows_of_a_file_are_as_its_faults_leave_them(
    broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("flows", "node-1", "-t", str(broken)) == 0
    printed = parse_dump(capsys.readouterr().out)
    assert run("flows", "node-1", "-t", str(shipped("two-node.yaml"))) == 0
    whole = parse_dump(capsys.readouterr().out)

    missing = {item.flow for item in whole} - {item.flow for item in printed}
    assert {10, 50, 90} <= {int(flow.table) for flow in missing}


def test_what_flows_cannot_show_is_told_beside_them(
    broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("flows", "node-1", "-t", str(broken), "--json") == 0

    assert capsys.readouterr().err == (
        "faults that are not shown: dnsmasq of node-1 is dead, "
        "node-1 has no rules in iptables' table nat\n"
    )


def test_a_node_whose_flows_show_all_that_is_wrong_there_has_no_remark(
    broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("flows", "node-2", "-t", str(broken)) == 0

    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_a_fault_that_cannot_be_is_refused_with_its_line(
    broken: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(broken.read_text().replace("peer: node-2", "peer: node-9"))

    assert run("flows", "node-1", "-t", str(wrong)) == 2

    assert "faults[0].peer: no HostSubnet node-9" in capsys.readouterr().err


def test_what_is_exported_of_a_file_has_its_faults(
    broken: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    target = tmp_path / "sent"

    assert (
        run("export", "--format", "debug.sh", "-t", str(broken), "-o", str(target)) == 0
    )
    assert "not shown: dnsmasq of node-1 is dead" in capsys.readouterr().err

    assert run("diagnose", str(target)) == 1
    told = capsys.readouterr().out
    assert "node-1: has forgotten HostSubnet node-2" in told
    assert "node-2: br0 has no flows" in told
    assert "node-1: iptables' table nat has no rules" in told


def test_what_must_be_is_the_same_with_faults(
    broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pods = [pod.key for pod in load(shipped("two-node.yaml")).cluster.pods]
    ends = pods[0], pods[-1]

    told = []
    for path in (broken, shipped("two-node.yaml")):
        assert run("expect", *ends, "-t", str(path)) == 0
        told.append(capsys.readouterr().out)

    assert told[0] == told[1]
    assert ": delivered" in told[0]


def test_a_trace_tells_what_it_shows_of_a_fault_in_part(broken: Path) -> None:
    assert hidden_in_trace(declared(load(broken))) == (
        "faults that are not shown: dnsmasq of node-1 is dead; faults of which only "
        "the flows are shown: ovs-vswitchd of node-2 was restarted, and its flows are "
        "lost"
    )


def test_without_faults_nothing_is_hidden() -> None:
    assert hidden_in_trace(()) == hidden_in_flows((), "node-1.test") == ""


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_kind_of_fault_changes_something(kind: type[Fault]) -> None:
    fault = object.__new__(kind)

    changed = parts(fault)

    assert changed or kind.deaf


def test_a_traced_kernel_has_the_rules_it_is_given() -> None:
    cluster = load(shipped("two-node.yaml")).cluster
    one, two = cluster.nodes
    flushed = "*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"

    kernels = computed_kernels(cluster, {one.name: flushed})

    assert kernels[one.name].ruleset == Ruleset.parse(flushed)
    assert kernels[two.name].ruleset == Ruleset.parse(node_rules(cluster, two))


def test_a_fault_of_machines_alone_is_no_part_of_flows() -> None:
    assert parts(KINDS["dnsmasq-dead"](node="node-1")) == {Part.MACHINES}
