"""The command line with real testbeds, each command a process of its own."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.openflow import parse_dump
from testbed.pipeline import node_flows
from testbed.process import wait_until
from testbed.topology import load
from testbed.topology.shipped import shipped
from tests.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Cluster

pytestmark = [pytest.mark.emulation, pytest.mark.usefixtures("datapath")]

FOUR_NODES = shipped("four-node.yaml")
TWO_NODES = shipped("two-node.yaml")
_TIMEOUT = 60.0
_STEPS = 4
"""What ``up`` of two nodes tells: machines, wires and each node."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell in which the testbed ``default`` runs, the shipped four nodes."""
    shell = Shell(tmp_path_factory.mktemp("running"))
    up = shell("up")
    assert up.returncode == 0, up.stderr
    yield shell
    shell("down", "--all")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in which nothing runs, now and afterwards."""
    shell = Shell(tmp_path)
    yield shell
    shell("down", "--all")
    shell.wait_for_the_end()


@pytest.fixture(scope="module")
def objects() -> Cluster:
    """Not ``cluster``: that would be the pytest plugin's, and mean a sandbox."""
    return load(FOUR_NODES).cluster


def test_up_leaves_a_testbed_that_is_as_computed(running: Shell) -> None:
    status = running("status")

    assert status.returncode == 0
    assert status.stdout.count("flows, as computed") == 4


def test_the_list_tells_what_runs(running: Shell, objects: Cluster) -> None:
    (testbed,) = running.json("list")

    assert testbed["name"] == "default"
    assert testbed["nodes"] == len(objects.host_subnets)
    assert testbed["pods"] == len(objects.pods)
    assert testbed["topology"] == str(FOUR_NODES)
    assert testbed["ready"]


def test_the_flows_of_every_running_switch_are_the_computed_ones(
    running: Shell, objects: Cluster
) -> None:
    for node in objects.host_subnets:
        dumped = parse_dump(running("flows", node.name, "--live").stdout)

        assert tuple(item.flow for item in dumped) == node_flows(objects, node)


def test_live_flows_as_json_are_counted(running: Shell) -> None:
    first = running.json("flows", "oc-04", "--live")[0]

    assert first.keys() > {"n_packets", "n_bytes", "duration"}
    assert first["duration"] > 0


def test_a_command_in_a_pod_sees_the_pods_network(
    running: Shell, objects: Cluster
) -> None:
    pod = next(pod for pod in objects.pods if not pod.host_network)

    done = running("exec", pod.key, "--", "ip", "-brief", "address", "show", "eth0")

    assert f" {pod.ip}/" in done.stdout


def test_a_pod_on_the_host_network_is_its_node(
    running: Shell, objects: Cluster
) -> None:
    pod = next(pod for pod in objects.pods if pod.host_network)

    done = running("exec", pod.key, "--", "cat", "/run/openvswitch/dnsmasq.conf")

    assert f"/run/testbed/{pod.node}/" in done.stdout


def test_a_command_exits_through_us(running: Shell) -> None:
    assert running("exec", "oc-01", "--", "sh", "-c", "exit 7").returncode == 7


def test_a_command_ends_when_we_are_killed(running: Shell) -> None:
    process = running.start("exec", "oc-01", "--", "sh", "-c", "echo; exec sleep 4711")
    assert process.stdout
    process.stdout.readline()

    process.kill()
    process.communicate(timeout=_TIMEOUT)  # nobody else holds the pipes

    wait_until(
        lambda: "sleep 4711 " not in running.processes(),
        timeout=60,
        what="the command is gone",
    )


def test_a_machine_that_is_not_there_is_told_with_those_like_it(
    running: Shell,
) -> None:
    done = running("exec", "lab/clienta", "--", "true")

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "lab/client-a" in done.stderr


def test_a_second_up_with_the_same_name_is_refused(running: Shell) -> None:
    before = running.json("list")

    again = running("up")

    assert again.returncode == 2
    assert "type: testbed down default" in again.stderr
    assert running.json("list") == before


def test_up_ends_though_somebody_waits_for_its_pipes(shell: Shell) -> None:
    # It returns only when the last holder of the pipes is gone.
    up = shell("up", "--topology", str(TWO_NODES))

    assert up.returncode == 0
    assert up.stdout == ""
    assert "type: testbed status" in up.stderr


def test_down_leaves_nothing_behind(shell: Shell) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    shell("up", "--topology", str(TWO_NODES))

    assert shell("down").returncode == 0

    shell.wait_for_the_end()
    assert Path("/proc/self/mounts").read_text() == mounts
    assert list(shell.state.iterdir()) == []


def test_two_testbeds_run_side_by_side(shell: Shell) -> None:
    ups = [
        shell.start("up", "--name", name, "--topology", str(TWO_NODES))
        for name in ("mine", "yours")
    ]
    for up in ups:
        up.communicate(timeout=_TIMEOUT)

    assert [testbed["name"] for testbed in shell.json("list")] == ["mine", "yours"]
    assert shell("status", "mine").returncode == 0
    assert shell("status", "yours").returncode == 0
    assert "name one: mine, yours" in shell("status").stderr
    assert shell("down", "mine").returncode == 0
    assert shell("status").returncode == 0


def test_of_two_ups_at_once_with_one_name_one_wins(shell: Shell) -> None:
    ups = [shell.start("up", "--topology", str(TWO_NODES)) for _ in range(2)]
    for up in ups:
        up.communicate(timeout=_TIMEOUT)

    assert sorted(up.returncode for up in ups) == [0, 2]
    assert shell("status").returncode == 0


def test_a_bad_topology_starts_nothing(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(TWO_NODES.read_text().replace("node-1.test", "node-2.test", 1))

    up = shell("up", "--topology", str(path))

    assert up.returncode == 2
    assert up.stderr.startswith(f"{path}:")
    assert shell.json("list") == []
    assert shell.processes() == []


def test_a_flow_that_is_missing_is_a_disagreement(shell: Shell) -> None:
    shell("up", "--topology", str(TWO_NODES))
    ofctl = ["ovs-ofctl", "-O", "OpenFlow13"]
    shell("exec", "node-1", "--", *ofctl, "del-flows", "br0", "table=90")

    status = shell("status")

    assert status.returncode == 1
    lines = [line for line in status.stdout.splitlines() if ": - " in line]
    assert len(lines) == 2
    assert all(line.startswith("node-1.test: ") for line in lines)
    assert all("table=90," in line for line in lines)


def test_a_daemon_that_died_is_a_disagreement(shell: Shell) -> None:
    shell("up", "--topology", str(TWO_NODES))
    kill = "kill -KILL $(cat /run/openvswitch/ovs-vswitchd.pid)"
    shell("exec", "node-1", "--", "sh", "-c", kill)

    status = shell("status")

    assert status.returncode == 1
    assert "no answer" in status.stdout
    assert "dead: ovs-vswitchd" in status.stdout


@pytest.mark.parametrize("steps", range(_STEPS + 1))
def test_a_build_that_is_killed_leaves_nothing_behind(shell: Shell, steps: int) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    interfaces = sorted(Path("/sys/class/net").iterdir())
    up = shell.start("up", "--topology", str(TWO_NODES))
    assert up.stderr
    for _ in range(steps):
        up.stderr.readline()

    up.kill()
    up.communicate(timeout=_TIMEOUT)

    # Every namespace is held by a process or a mount.
    shell.wait_for_the_end()
    assert Path("/proc/self/mounts").read_text() == mounts
    assert sorted(Path("/sys/class/net").iterdir()) == interfaces
    assert shell.json("list") == []


def test_a_build_that_is_taken_down_leaves_nothing_behind(shell: Shell) -> None:
    up = shell.start("up", "--topology", str(TWO_NODES))
    assert up.stderr
    up.stderr.readline()

    assert shell("down").returncode == 0

    up.communicate(timeout=_TIMEOUT)
    shell.wait_for_the_end()
    assert shell.json("list") == []


def test_an_owner_killed_before_it_has_noted_its_sandbox_leaves_none(
    shell: Shell,
) -> None:
    script = (
        "import os, signal\n"
        "from testbed.emulation import sandbox\n"
        "with sandbox.kept(['true']):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )

    owner = shell.python("-c", script)

    assert owner.returncode == -signal.SIGKILL
    shell.wait_for_the_end()


def test_a_program_gets_three_descriptors_and_no_more(shell: Shell) -> None:
    script = (
        "from testbed.emulation import sandbox\n"
        "exit(sandbox.run(['ls', '/proc/self/fd']))\n"
    )

    done = shell.python("-c", script)

    # The fourth is the directory that is being listed.
    assert done.stdout.split() == ["0", "1", "2", "3"]


NEWCOMER = """\
kind: Pod
metadata: {name: newcomer, namespace: lab}
spec: {nodeName: %s}
"""


@pytest.fixture
def newcomer(objects: Cluster, tmp_path: Path) -> str:
    path = tmp_path / "newcomer.yaml"
    path.write_text(NEWCOMER % objects.nodes[0].name)
    return str(path)


def test_what_is_applied_is_there_until_it_is_deleted(
    running: Shell, newcomer: str
) -> None:
    applied = running("apply", "-f", newcomer)

    assert applied.stdout == "Pod lab/newcomer created\n"
    assert running("exec", "lab/newcomer", "--", "ip", "route").returncode == 0
    assert running("status").returncode == 0

    deleted = running("delete", "-f", newcomer)

    assert deleted.stdout == "Pod lab/newcomer deleted\n"
    assert running("exec", "lab/newcomer", "--", "true").returncode == 2
    assert running("status").returncode == 0


def test_what_is_applied_twice_changes_nothing(running: Shell, newcomer: str) -> None:
    running("apply", "-f", newcomer)

    again = running("apply", "-f", newcomer)

    running("delete", "-f", newcomer)
    assert (again.stdout, again.returncode) == ("nothing changed\n", 0)


def test_objects_that_are_wrong_change_nothing_and_say_why(
    running: Shell, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(NEWCOMER % "nowhere")

    applied = running("apply", "-f", str(path))

    assert applied.returncode == 2
    assert applied.stderr.startswith(f"{path}:3: Pod lab/newcomer: spec.nodeName: ")
    assert running("status").returncode == 0


def test_a_topology_that_takes_a_fresh_build_is_refused(
    running: Shell, tmp_path: Path
) -> None:
    path = tmp_path / "node.yaml"
    path.write_text("kind: HostSubnet\nmetadata: {name: n9}\nhostIP: 172.16.1.99\n")

    applied = running("apply", "-f", str(path))

    assert applied.returncode == 2
    assert "cannot change while a testbed runs" in applied.stderr
    assert running("status").returncode == 0


def test_a_change_that_fails_halfway_says_what_to_do(
    shell: Shell, tmp_path: Path
) -> None:
    shell("up", "--topology", str(TWO_NODES))
    node = load(TWO_NODES).cluster.nodes[0].name
    path = tmp_path / "newcomer.yaml"
    path.write_text(NEWCOMER % node)
    shell("exec", node, "--", "rm", "/run/openvswitch/br0.mgmt")

    applied = shell("apply", "-f", str(path))

    assert applied.returncode == 2
    assert applied.stderr.endswith("take it down and build it anew\n")
    assert shell("down").returncode == 0
