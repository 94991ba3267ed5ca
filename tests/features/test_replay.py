"""A customer's cluster runs with the customer's flows and rules, and is asked about."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.host.iptables import node_rules
from testbed.importing import gather, merge, write
from testbed.openflow import DumpedFlow
from testbed.pipeline import node_flows
from testbed.topology import loads
from testbed.topology.shipped import shipped
from tests.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.emulation, pytest.mark.usefixtures("datapath")]

AGREED, DISAGREED, COULD_NOT = 0, 1, 2
TENANTS = shipped("two-node.yaml").read_text().replace("ovs-subnet", "ovs-multitenant")
SCENARIOS = Path(__file__).parents[2] / "scenarios"
FORGOTTEN = "table=10,priority=100,tun_src=192.168.10.11"
DANGLING = "-A INPUT -i vethdead -j ACCEPT"
UNKNOWN = "-A INPUT -m set --match-set nosuchset src -j DROP"
NEWCOMER = """
apiVersion: v1
kind: Pod
metadata: {name: newcomer, namespace: lab}
spec: {nodeName: node-2.test}
"""


def collect(home: Path) -> None:
    """An import of a cluster in which node-2 has forgotten node-1, in tonight/.

    Its kernel forwards nothing, either. On node-1 packets that are not valid are not
    dropped, a rule is for a port that is no more, and one for a set of addresses that
    this machine does not have.
    """
    topology = loads(TENANTS, "tenants")
    (home / "objects.yaml").write_text(topology.text())
    for node in topology.cluster.nodes:
        flows = node_flows(topology.cluster, node)
        lines = [
            f" {DumpedFlow(flow=flow, n_packets=3, n_bytes=126, duration=9.5)}\n"
            for flow in flows
            if node.name == "node-1.test" or FORGOTTEN not in str(flow)
        ]
        rules = node_rules(topology.cluster, node)
        if node.name == "node-1.test":
            kept = [line for line in rules.splitlines() if "INVALID" not in line]
            rules = "\n".join(kept)
            rules = rules.replace("COMMIT", f"{DANGLING}\n{UNKNOWN}\nCOMMIT\n", 1)
        (home / "nodes" / node.name).mkdir(parents=True)
        (home / "nodes" / node.name / "flows").write_text("".join(lines))
        (home / "nodes" / node.name / "iptables").write_text(rules)
    (home / "nodes" / "node-2.test" / "sysctl").write_text("net.ipv4.ip_forward = 0\n")
    found = merge(gather([home / "objects.yaml", home / "nodes"], io.BytesIO(), None))
    write(found, [home], home / "tonight")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    collect(home)
    return home


@pytest.fixture(scope="module")
def shell(home: Path) -> Iterator[Shell]:
    """A user in whose directory tonight/ is the import, and runs as a replay."""
    shell = Shell(home)
    up = shell("up", "tonight", "--replay")
    assert up.returncode == 0, up.stderr
    (home / "up.txt").write_text(up.stderr)
    yield shell
    shell("down", "--all")


def test_a_replay_says_what_of_it_is_the_customers(shell: Shell) -> None:
    summary = (
        f"replay of {shell.home / 'tonight'}: flows of 2 and iptables of 2 of 2 nodes "
        "as collected"
    )

    assert f"\n{summary}\n" in (shell.home / "up.txt").read_text()
    assert shell("status").stdout.startswith(f"{summary}\n")


def test_status_agrees_and_tells_what_3_11_would_have_otherwise(shell: Shell) -> None:
    status = shell("status")

    assert status.returncode == AGREED, status.stdout
    (told,) = (line for line in status.stdout.splitlines() if "collected:" in line)
    assert told.startswith("node-2.test: collected: missing: ")
    assert FORGOTTEN in told
    assert "(HostSubnet node-1.test)" in told


def test_the_flow_that_the_customer_lacks_is_the_culprit(shell: Shell) -> None:
    explained = shell("explain", "lab/client-1", "lab/hello-2")

    assert explained.returncode in (DISAGREED, COULD_NOT)
    (told,) = (line for line in explained.stdout.splitlines() if "culprit:" in line)
    assert "node-2.test: missing: " in told
    assert FORGOTTEN in told


def test_what_is_well_with_the_customer_is_well_here(shell: Shell) -> None:
    probed = shell("probe", "lab/client-1", "lab/hello-1")

    assert probed.returncode == AGREED, probed.stdout


def test_the_customers_rules_are_in_the_kernel(shell: Shell) -> None:
    rules = shell("exec", "node-1", "--", "iptables-save").stdout

    assert DANGLING in rules
    assert "INVALID" not in rules
    assert "INVALID" in shell("exec", "node-2", "--", "iptables-save").stdout


def test_a_kernel_that_forwards_nothing_does_not_here_until_it_is_mended(
    shell: Shell,
) -> None:
    ip_forward = ("cat", "/proc/sys/net/ipv4/ip_forward")

    assert "fault 1: node-2 forwards nothing" in shell("status").stdout
    assert shell("exec", "node-2", "--", *ip_forward).stdout == "0\n"
    assert shell("fault", "clear", "1").returncode == 0
    assert shell("exec", "node-2", "--", *ip_forward).stdout == "1\n"


def test_a_rule_that_this_machine_does_not_take_is_left_out_and_told(
    shell: Shell,
) -> None:
    up = (shell.home / "up.txt").read_text()

    (told,) = (line for line in up.splitlines() if UNKNOWN in line)
    assert told.startswith(
        f"tonight/nodes/node-1.test/iptables:{_line_of(shell)}: left"
    )
    assert "iptables will not have it: " in told


def _line_of(shell: Shell) -> int:
    rules = shell.home / "tonight" / "nodes" / "node-1.test" / "iptables"
    return rules.read_text().splitlines().index(UNKNOWN) + 1


def test_an_apply_programs_what_is_new_and_leaves_what_was_wrong(shell: Shell) -> None:
    (shell.home / "newcomer.yaml").write_text(NEWCOMER)

    applied = shell("apply", "-f", "newcomer.yaml")

    assert applied.returncode == 0, applied.stderr
    assert shell("probe", "lab/client-2", "lab/newcomer").returncode == AGREED
    status = shell("status")
    assert status.returncode == AGREED, status.stdout
    assert FORGOTTEN in status.stdout
    assert "INVALID" not in shell("exec", "node-1", "--", "iptables-save").stdout
    assert shell("delete", "-f", "newcomer.yaml").returncode == 0


def test_a_scenario_of_a_collection_fails_on_it_and_passes_on_3_11(
    shell: Shell,
) -> None:
    new = shell(
        *(
            "scenario",
            "new",
            "--from",
            "lab/client-1",
            "lab/hello-2",
            "--dport",
            "8080",
        ),
        *("--replay", "tonight", "-o", "test_forgotten.py"),
    )

    assert new.returncode == 0, new.stderr
    assert new.stdout == "test_forgotten.py\n"
    broken = shell.pytest("test_forgotten.py")
    assert broken.returncode == 1, broken.stdout + broken.stderr
    assert "assert found.delivered" in broken.stdout
    assert FORGOTTEN in broken.stdout
    assert f"replay of {shell.home / 'tonight'}" in broken.stdout
    healthy = shell.pytest("test_forgotten.py", "--topology", "tonight/topology.yaml")
    assert healthy.returncode == 0, healthy.stdout + healthy.stderr
    assert "1 passed" in healthy.stdout


def test_a_scenario_of_a_running_testbed_keeps_what_it_has(shell: Shell) -> None:
    """Here the answer is lost: to whom it is sent has been forgotten by its node."""
    new = shell(
        *("scenario", "new", "--from", "lab/client-2", "lab/hello-1"),
        *("-o", "test_answer.py"),
    )

    assert new.returncode == 0, new.stderr
    written = (shell.home / "test_answer.py").read_text()
    assert "no answer came back" in " ".join(written.split())
    assert FORGOTTEN in "".join(written.split())
    assert (shell.home / "answer" / "nodes" / "node-2.test" / "flows").exists()
    assert not (shell.home / "answer" / "nodes" / "node-1.test" / "flows").exists()
    assert (shell.home / "answer" / "nodes" / "node-1.test" / "iptables").exists()
    broken = shell.pytest("test_answer.py")
    assert broken.returncode == 1, broken.stdout + broken.stderr
    assert "assert found.answered" in broken.stdout
    healthy = shell.pytest("test_answer.py", "--topology", "answer/topology.yaml")
    assert healthy.returncode == 0, healthy.stdout + healthy.stderr


def test_a_scenario_is_not_written_over_another(shell: Shell) -> None:
    (shell.home / "test_mine.py").write_text("mine")
    new = shell(
        *("scenario", "new", "--from", "lab/client-1", "lab/hello-1"),
        *("--replay", "tonight", "-o", "test_mine.py"),
    )

    assert new.returncode == COULD_NOT
    assert (shell.home / "test_mine.py").read_text() == "mine"


def test_scenarios_that_a_customers_cluster_lacks_somebody_for_are_skipped(
    shell: Shell, tmp_path: Path
) -> None:
    collect(tmp_path)
    topology = tmp_path / "tonight" / "topology.yaml"
    text = topology.read_text()
    kept = [d for d in text.split("---\n") if "name: client-" not in d]
    topology.write_text("---\n".join(kept))

    done = shell.pytest(
        str(SCENARIOS / "test_spoofing.py"),
        "--replay",
        str(tmp_path / "tonight"),
        "-rs",
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "this cluster has no pod on node-2.test that may talk" in done.stdout
    assert "passed" not in done.stdout


def test_pytest_refuses_what_is_no_import(shell: Shell) -> None:
    (shell.home / "test_any.py").write_text("def test_any(cluster): assert cluster\n")

    refused = shell.pytest("test_any.py", "--replay", "state")

    assert refused.returncode == 4
    assert "state: has no topology.yaml" in refused.stderr


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        ("frobnicate", "refuses this flow: table=10,priority=7 actions=frobnicate"),
        ("group:7", "table=10,priority=7 actions=group:7: OFPBAC_BAD_OUT_GROUP"),
    ],
)
def test_a_flow_that_open_vswitch_refuses_is_told_and_nothing_runs(
    actions: str, said: str, shell: Shell, tmp_path: Path
) -> None:
    collect(tmp_path)
    flows = tmp_path / "tonight" / "nodes" / "node-2.test" / "flows"
    flows.write_text(flows.read_text() + f"table=10, priority=7 actions={actions}\n")

    up = shell("up", str(tmp_path / "tonight"), "--replay", "--name", "refused")

    assert up.returncode == COULD_NOT
    last = up.stderr.splitlines()[-1]
    number = len(flows.read_text().splitlines())
    assert last.startswith(f"{flows}:{number}: Open vSwitch ")
    assert said in last
    assert "refused" not in shell("list").stdout


def test_an_import_is_built_as_3_11_would_have_it_unless_a_replay_is_asked_for(
    shell: Shell,
) -> None:
    up = shell("up", "tonight", "--name", "healthy")

    assert up.returncode == 0, up.stderr
    status = shell("status", "healthy")
    assert "collected" not in status.stdout
    assert (
        shell("probe", "lab/client-1", "lab/hello-2", "--name", "healthy").returncode
        == AGREED
    )
    shell("down", "healthy")


@pytest.mark.parametrize(
    "arguments",
    [("--replay",), ("tonight", "-t", "objects.yaml"), ("nowhere", "--replay")],
)
def test_what_makes_no_sense_starts_nothing(
    arguments: tuple[str, ...], shell: Shell
) -> None:
    up = shell("up", *arguments, "--name", "senseless")

    assert up.returncode == COULD_NOT
    assert "Traceback" not in up.stderr
    assert "senseless" not in shell("list").stdout
