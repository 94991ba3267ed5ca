"""The pytest plugin, as an author of scenarios elsewhere meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from scapy.utils import PcapNgReader

from testbed.coverage.document import read
from testbed.emulation import sandbox

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.emulation

TWO_PODS = """
from scapy.layers.inet import UDP
from testbed.openflow import Table
from testbed.probe import ip_between

def test_two_pods(cluster):
    sender, receiver = cluster.pods_on(cluster.nodes[-1])[:2]
    packet = ip_between(sender, receiver) / UDP(sport=40009, dport=9)
    sent = cluster.send(sender, packet)
"""

DELIVERED = f"{TWO_PODS}    sent.arrives(receiver)\n"
WRONG = f"{TWO_PODS}    sent.is_dropped(sender.node, Table.FROM_POD)\n"
LOST = f"{TWO_PODS}    sent.arrives(cluster.external, timeout=0.1)\n"


def run(directory: Path, source: str, *arguments: str) -> tuple[int, str]:
    (directory / "test_mine.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=directory,
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_scenario_anywhere_gets_its_cluster_by_the_plugin_alone(
    tmp_path: Path,
) -> None:
    status, output = run(tmp_path, DELIVERED)

    assert "1 passed" in output
    assert status == 0


def test_a_scenario_that_gets_its_cluster_through_a_fixture_runs_too(
    tmp_path: Path,
) -> None:
    (tmp_path / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef live(cluster):\n    return cluster\n"
    )

    status, output = run(tmp_path, "def test_it(live):\n    assert live.nodes\n")

    assert "1 passed" in output
    assert status == 0


def test_a_wrong_claim_of_a_drop_says_what_was_counted_instead(tmp_path: Path) -> None:
    status, output = run(tmp_path, WRONG)

    assert "expected to be dropped on oc-04.test in table 20 (FROM_POD)" in output
    assert "no flow dropped anything" in output
    assert status == 1


def test_a_failure_tells_what_was_sent_seen_and_hit(tmp_path: Path) -> None:
    _, output = run(tmp_path, LOST)

    assert "not delivered to external:external" in output
    story = output.partition("- testbed -")[2]
    sent, _, rest = story.partition("seen, in")
    seen, _, hit = rest.partition("flows hit on oc-04.test:")
    assert "1 logging/rsyslog-0: UDP 10.131.1.241:40009 > 10.131.0.16:9" in sent
    assert "NOT SO: 1 arrives at external:external" in sent
    assert "server-x5nq4 gets  the same" in seen
    assert "table 70 (IP_TO_LOCAL_POD): 1 hit priority=100,ip," in hit


def test_a_failure_keeps_what_all_taps_saw(tmp_path: Path) -> None:
    _, output = run(tmp_path, LOST)

    (capture,) = (tmp_path / "captures").glob("*.pcapng")
    assert str(capture) in output
    with PcapNgReader(str(capture)) as reader:
        taps = {packet.sniffed_on for packet in reader}
    assert {"logging/rsyslog-0", "kube-service-catalog/apiserver-x5nq4"} <= taps


PING = 'cluster.pods[0].run("ping", "-c1", "-q", str(cluster.pods[1].ip))'
IN_SETUP = f"""
import pytest

@pytest.fixture
def broken(cluster):
    {PING}
    raise RuntimeError("not today")

def test_it(broken):
    pass
"""
IN_TEARDOWN = f"""
import pytest

@pytest.fixture
def broken(cluster):
    yield
    raise RuntimeError("not today")

def test_it(broken, cluster):
    {PING}
"""


@pytest.mark.parametrize("source", [IN_SETUP, IN_TEARDOWN], ids=["setup", "teardown"])
def test_a_fixture_that_fails_has_a_story_and_a_capture_too(
    tmp_path: Path, source: str
) -> None:
    _, output = run(tmp_path, source)

    assert "RuntimeError: not today" in output
    story = output.partition("- testbed -")[2]
    assert "sends ICMP 10.128.0.4 > 10.128.0.17 echo request" in story
    assert "table 70 (IP_TO_LOCAL_POD): 1 hit" in story
    (capture,) = (tmp_path / "captures").glob("*.pcapng")
    assert str(capture) in output


def test_packets_of_scenarios_that_pass_are_kept_only_if_asked(tmp_path: Path) -> None:
    run(tmp_path, DELIVERED)
    assert not (tmp_path / "captures").exists()

    _, output = run(tmp_path, DELIVERED, "--keep-captures", "--captures", "kept")

    assert "1 passed" in output
    assert len(list((tmp_path / "kept").glob("*.pcapng"))) == 1


def test_two_scenarios_of_one_name_keep_two_captures(tmp_path: Path) -> None:
    for name in ("one", "two"):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "test_it.py").write_text(DELIVERED)

    options = ("--keep-captures", "--import-mode=importlib")
    _, output = run(tmp_path, "", *options, "one", "two")

    assert "2 passed" in output
    assert len(list((tmp_path / "captures").glob("*.pcapng"))) == 2


def test_what_a_scenario_did_is_in_the_xml_for_junit(tmp_path: Path) -> None:
    run(tmp_path, WRONG, "--junitxml", "junit.xml")

    written = ET.parse(tmp_path / "junit.xml")  # noqa: S314 - our own
    case = written.getroot().find(".//testcase")
    assert case is not None
    (capture,) = (tmp_path / "captures").glob("*.pcapng")
    properties = {
        item.attrib["name"]: item.attrib["value"] for item in case.iter("property")
    }
    drop = "is dropped on oc-04.test in table 20 (FROM_POD) by priority=0"
    assert properties.pop("topology").endswith("four-node.yaml")
    assert properties.pop("datapath") in ("netdev", "system")
    assert properties == {
        "plugin": "subnet",
        "packets_sent": "2",
        "verdicts": "0",
        "claim": f"packet 1 {drop}: not so",
        "capture": f"captures/{capture.name}",
    }


def test_flow_coverage_tells_what_was_hit_and_what_never(tmp_path: Path) -> None:
    status, output = run(tmp_path, DELIVERED, "--flow-coverage")

    told = output.partition("= flow coverage =")[2]
    assert "redhat/openshift-ovs-subnet" in told
    assert "    table 90 (IP_TO_REMOTE_POD) priority=100,ip,nw_dst=…" in told
    assert "    table 70 (IP_TO_LOCAL_POD) priority=100,ip,nw_dst=…" not in told
    assert "table 253 (RULE_VERSION) priority=32768: it is a note" in told
    assert status == 0


@pytest.mark.parametrize(
    "options", [["--report", "report"], ["--flow-coverage"], ["--prove-red"]]
)
def test_directories_may_have_fixtures_of_their_own(
    tmp_path: Path, options: list[str]
) -> None:
    """Pytest then keeps sets of its plugins, ours among them."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "conftest.py").touch()
        (tmp_path / name / f"test_{name}.py").write_text(DELIVERED)

    status, output = run(tmp_path, "", *options)

    assert "2 passed" in output
    assert status == 0, output


def test_too_little_flow_coverage_fails_the_run(tmp_path: Path) -> None:
    options = ("--flow-coverage-report", "coverage", "--flow-coverage-fail-under", "90")

    status, output = run(tmp_path, DELIVERED, *options)

    assert "1 passed" in output
    assert "% of the kinds of flows were hit; 90 % are required" in output
    assert status == 1
    found = read(tmp_path / "coverage" / "coverage.json")
    hit = [kind for kind in found.plugins[0].kinds if kind.scenarios]
    assert {kind.table_name for kind in hit} >= {"FROM_POD", "IP_TO_LOCAL_POD"}
    assert {name for kind in hit for name in kind.scenarios} == {
        "test_mine.py::test_two_pods"
    }
    assert (tmp_path / "coverage" / "index.html").exists()


def test_a_run_that_needs_no_cluster_enters_no_sandbox(tmp_path: Path) -> None:
    source = (
        "from testbed.emulation import sandbox\n"
        f"def test_it():\n    assert sandbox.inside() is {sandbox.inside()}\n"
    )

    _, output = run(tmp_path, source)

    assert "1 passed" in output


def test_a_topology_with_errors_is_told_in_lines(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("kind: HostSubnet\nmetadata: {name: a}\n")

    status, output = run(tmp_path, DELIVERED, "--topology", str(broken))

    assert "ClusterNetwork: is missing" in output
    assert "Traceback" not in output
    assert status != 0


def test_a_scenario_is_proven_by_the_flow_that_turns_it_red(tmp_path: Path) -> None:
    status, output = run(tmp_path, DELIVERED, "--prove-red")

    table = output.partition("scenario → flow deleted → failure")[2]
    assert "- oc-04.test: table=80,priority=200 actions=output:NXM_NX_REG2[]" in table
    assert "! not delivered to kube-service-catalog/apiserver-x5nq4" in table
    assert status == 0


def test_a_scenario_that_cannot_fail_is_found_out(tmp_path: Path) -> None:
    status, output = run(tmp_path, TWO_PODS, "--prove-red")

    assert "passes whichever of the flows it hits is missing" in output
    assert status == 1


def test_a_switch_that_dies_fails_its_scenario_and_not_the_session(
    tmp_path: Path,
) -> None:
    source = f"""{TWO_PODS}    import os, signal
    from testbed.ovs import SwitchDaemons
    switch = sender.node.switch
    os.kill(SwitchDaemons(run_dir=switch.run_dir).vswitchd_pid, signal.SIGKILL)
    sent.arrives(cluster.external, timeout=0.1)
"""

    status, output = run(tmp_path, source)

    assert "not delivered to external:external" in output
    assert "1 logging/rsyslog-0: UDP" in output
    assert "flows hit:\n  cannot be read: " in output
    assert "ovs-vswitchd of oc-04.test is dead: killed by SIGKILL" in output
    assert "|bridge|INFO|" in output.partition("its last words:")[2]
    assert status == 1
