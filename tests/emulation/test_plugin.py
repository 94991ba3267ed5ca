"""The pytest plugin, as an author of scenarios elsewhere meets it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from scapy.utils import PcapNgReader

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
    assert "logging/rsyslog-0: Ether / IP / UDP" in story.partition("seen, in")[0]
    assert "kube-service-catalog/apiserver-x5nq4 receives Ether / IP / UDP" in story
    assert "oc-04.test table 70 (IP_TO_LOCAL_POD): 1 hit priority=100,ip," in story


def test_a_failure_keeps_what_all_taps_saw(tmp_path: Path) -> None:
    _, output = run(tmp_path, LOST)

    (capture,) = (tmp_path / "captures").glob("*.pcapng")
    assert str(capture) in output
    with PcapNgReader(str(capture)) as reader:
        taps = {packet.sniffed_on for packet in reader}
    assert {"logging/rsyslog-0", "kube-service-catalog/apiserver-x5nq4"} <= taps


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
    assert "no story: " in output
    assert status == 1
