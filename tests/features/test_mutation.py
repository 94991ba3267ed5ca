"""``testbed mutate`` with real clusters: what is noticed, what is not, and the mending.

Each run is a process of its own, on two nodes and with a few scenarios.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.mutation.fault import FlowFault
from testbed.mutation.plan import plan
from testbed.mutation.survey import Survey
from testbed.pipeline import node_flows
from testbed.process import run
from testbed.topology import load
from testbed.topology.shipped import shipped

pytestmark = pytest.mark.emulation

TWO_NODES = shipped("two-node.yaml")

HEAD = """
import pytest
from ipaddress import IPv4Address
from scapy.layers.inet import IP, UDP
from testbed.openflow import Table
from testbed.probe import ask, echoing, ip_between, send_udp

def two_pods(cluster):
    node = next(node for node in cluster.nodes if len(cluster.pods_on(node)) > 1)
    return cluster.pods_on(node)[:2]
"""

DELIVERS = """
def test_a_pod_reaches_its_neighbour(cluster):
    sender, receiver = two_pods(cluster)
    send_udp(cluster, sender, receiver).arrives(receiver)
"""

FORGES = """
def test_a_forged_address_is_dropped(cluster):
    sender, other = two_pods(cluster)
    packet = ip_between(sender, other) / UDP(sport=40009, dport=9)
    packet[IP].src = "10.128.99.99"
    cluster.send(sender, packet).is_dropped(sender.node, Table.FROM_POD)
"""

ONLY_HITS = """
def test_what_is_sent_to_nobody_is_not_asked_after(cluster):
    sender, receiver = two_pods(cluster)
    packet = ip_between(sender, receiver) / UDP(sport=40009, dport=9)
    packet[IP].src = "10.128.99.99"
    cluster.send(sender, packet)
    send_udp(cluster, sender, receiver).arrives(receiver)
"""

FAILS_OF_ITSELF = """
def test_what_is_wrong_anyhow(cluster):
    assert not cluster.nodes
"""

FROM_POD = "table=20,priority=100,ip"
MISS = "table=20,priority=0"


def mutate(
    directory: Path, source: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    (directory / "test_mine.py").write_text(HEAD + source)
    return subprocess.run(
        [
            *(sys.executable, "-m", "testbed", "mutate", "test_mine.py"),
            *("--topology", str(TWO_NODES), "--jobs", "1", *arguments),
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )


def verdicts(done: subprocess.CompletedProcess[str]) -> dict[tuple[str, str], str]:
    """By operator and change, the verdicts of a run with one plugin."""
    (tally,) = json.loads(done.stdout)
    return {
        (item["operator"], item["change"]): item["verdict"] for item in tally["mutants"]
    }


def test_a_mistake_is_noticed_by_the_scenario_that_guards_against_it(
    tmp_path: Path,
) -> None:
    done = mutate(tmp_path, DELIVERS + FORGES, "--only", MISS, "--json")

    assert done.returncode == 0, done.stderr
    (tally,) = json.loads(done.stdout)
    assert tally["score"] == 100
    killers = {item["scenario"].rpartition("::")[2] for item in tally["mutants"]}
    assert killers == {"test_a_forged_address_is_dropped"}
    assert {item["operator"] for item in tally["mutants"]} == {
        "deleted",
        "lets through instead",
    }
    assert all("expected to be dropped" in item["failure"] for item in tally["mutants"])


def test_a_mistake_that_nobody_looks_for_survives_and_is_explained(
    tmp_path: Path,
) -> None:
    done = mutate(
        tmp_path, ONLY_HITS, "--only", f"{MISS} actions=drop", "--fail-under", "60"
    )

    assert done.returncode == 1, done.stderr
    assert "in: table 20 (FROM_POD)" in done.stdout
    assert "passed: test_mine.py::test_what_is_sent_to_nobody" in done.stdout
    assert "a packet that it matters for: in_port=" in done.stdout


def test_each_field_of_a_check_needs_somebody_who_fails_it(tmp_path: Path) -> None:
    done = mutate(tmp_path, DELIVERS + FORGES, "--only", FROM_POD, "--json")

    found = verdicts(done)
    widened = {
        change: said
        for (operator, change), said in found.items()
        if "widened" in operator
    }
    assert len(widened) == 2
    for change, said in widened.items():
        assert said == ("killed" if "nw_src" in change else "survived")
    assert found["deleted", ""] == "killed"


def test_a_rule_of_iptables_that_is_missing_is_noticed(tmp_path: Path) -> None:
    source = """
def test_a_pod_leaves_with_its_nodes_address(cluster):
    pod = cluster.pods[0]
    packet = ip_between(pod, cluster.external) / UDP(sport=40009, dport=9)
    received = cluster.send(pod, packet).arrives(cluster.external)
    assert received[IP].src == str(pod.node.ip)
"""
    done = mutate(tmp_path, source, "--only", "OPENSHIFT-MASQUERADE -s", "--json")

    assert verdicts(done) == {("deleted", ""): "killed"}, done.stderr


def test_a_scenario_that_fails_of_itself_is_left_out_and_told(tmp_path: Path) -> None:
    done = mutate(tmp_path, FORGES + FAILS_OF_ITSELF, "--only", MISS)

    assert done.returncode == 0, done.stderr
    assert "left out, because it fails on a whole cluster: " in done.stdout
    assert "test_what_is_wrong_anyhow" in done.stdout


def test_a_lost_control_kills_weakly(tmp_path: Path) -> None:
    """Nothing gets out of the pod, the control neither: that says little."""
    done = mutate(tmp_path, FORGES, "--only", "table=30,priority=300,arp", "--json")

    found = verdicts(done)
    assert found["deleted", ""] == "weakly killed"
    assert "inconclusive: the positive control" in done.stdout


def test_two_clusters_find_what_one_does(tmp_path: Path) -> None:
    one = mutate(tmp_path, DELIVERS + FORGES, "--only", "table=20", "--json")
    two = mutate(
        tmp_path, DELIVERS + FORGES, "--only", "table=20", "--json", "--jobs", "2"
    )

    assert verdicts(one) == verdicts(two)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "def test_it():\n    pass\n",
            "none of the tests that were chosen asks for a cluster",
        ),
        ("def broken(:\n", "SyntaxError"),
    ],
)
def test_a_run_that_cannot_be_says_why(tmp_path: Path, source: str, said: str) -> None:
    done = mutate(tmp_path, source)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback (most recent call last)" not in done.stderr


def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(HEAD + DELIVERS + FORGES)
    # Tells its processes from all others; a test run in the background ignores SIGINT.
    environment = {**os.environ, "MUTATION_TEST": str(tmp_path)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "testbed", "mutate", "test_mine.py"),
            *("--topology", str(TWO_NODES), "--jobs", "1"),
        ],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("subnet 1/")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=100)

    assert process.returncode == 2
    assert said.splitlines()[-1] == "interrupted"
    mark = f"MUTATION_TEST={tmp_path}".encode()
    assert not [pid for pid in processes() if mark in environment_of(pid)]


def processes() -> list[Path]:
    return list(Path("/proc").glob("[0-9]*"))


def environment_of(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def test_a_fault_stays_in_what_a_scenario_applies_and_is_gone_afterwards(
    tmp_path: Path,
) -> None:
    (tmp_path / "test_mine.py").write_text(
        HEAD
        + """
from testbed.mutation.fault import Deletion, FlowFault, RuleFault
from testbed.pipeline import node_flows

ANOTHER = '''
{apiVersion: v1, kind: Pod, metadata: {name: another, namespace: %s},
 spec: {nodeName: %s}, status: {phase: Running}}
'''

def installed(node):
    return {dumped.flow for dumped in node.switch.dump_flows()}

def computed(cluster, node):
    return set(node_flows(cluster.objects, cluster.objects.node(node.name)))

def test_flows(cluster):
    pod, _ = two_pods(cluster)
    node = pod.node
    (gone,) = (flow for flow in computed(cluster, node)
               if flow.table == 20 and not flow.match)
    with cluster.broken(FlowFault.of(node.name, gone, Deletion())):
        assert installed(node) == computed(cluster, node) - {gone}
        cluster.apply(ANOTHER % (pod.pod.namespace, node.name))
        assert cluster.pod(f"{pod.pod.namespace}/another")
        assert installed(node) == computed(cluster, node) - {gone}
    assert installed(node) == computed(cluster, node)

def test_rules(cluster):
    node = cluster.nodes[0]
    mark = "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x1/0x1"
    fault = RuleFault(node=node.name, table="nat", old=mark)
    with cluster.broken(fault):
        assert mark not in node.run("iptables-save", "-t", "nat")
        cluster.apply('''{apiVersion: v1, kind: Service,
            metadata: {name: new, namespace: default}, spec: {ports: [{port: 80}]}}''')
        assert "default/new" in node.run("iptables-save")
        assert mark not in node.run("iptables-save", "-t", "nat")
    assert mark in node.run("iptables-save", "-t", "nat")
"""
    )

    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("--topology", str(TWO_NODES), "test_mine.py"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert "2 passed" in done.stdout, done.stdout


@pytest.mark.parametrize(
    "topology", ["four-node.yaml", "multitenant.yaml", "networkpolicy.yaml"]
)
def test_open_vswitch_would_take_every_flow_that_is_got_wrong(
    tmp_path: Path, topology: str
) -> None:
    cluster = load(shipped(topology)).cluster
    survey = Survey(cluster=cluster, datapath="netdev")
    survey.note_programs(cluster)
    faults = [
        site.fault
        for mutant in plan(survey).mutants
        for site in mutant.sites
        if isinstance(site.fault, FlowFault)
    ]
    wrong = {
        flow
        for fault in faults
        for before in [node_flows(cluster, cluster.node(fault.node))]
        for flow in {*fault.flows(before)} - {*before}
    }
    assert len(wrong) > 100
    (tmp_path / "flows").write_text("".join(f"{flow}\n" for flow in wrong))

    parsed = run(
        ["ovs-ofctl", "-O", "OpenFlow13", "parse-flows", str(tmp_path / "flows")]
    )

    assert len(parsed.splitlines()) >= len(wrong)
