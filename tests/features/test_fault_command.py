"""``testbed fault`` in a running testbed, and faults that a topology begins with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from testbed.topology.shipped import shipped
from tests.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.emulation, pytest.mark.usefixtures("datapath")]

AGREED, DISAGREED, COULD_NOT = 0, 1, 2
FAULTS = """\
faults:
- kind: host-subnet-forgotten
  node: node-1
  peer: node-2
- kind: mtu-drifted
  node: node-2
  device: tun0
  mtu: 1400
"""
NEWCOMER = """\
kind: Pod
metadata: {name: newcomer, namespace: lab}
spec: {nodeName: node-2.test}
"""


class Command(Shell):
    """A user whose commands should find that all is as expected."""

    def told(self, *arguments: str) -> str:
        done = self(*arguments)
        assert done.returncode == AGREED, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A testbed of two nodes that begins with two faults."""
    path = tmp_path_factory.mktemp("faults")
    topology = path / "broken.yaml"
    text = shipped("two-node.yaml").read_text()
    topology.write_text(text.replace("kind: Underlay\n", f"kind: Underlay\n{FAULTS}"))
    command = Command(path)
    up = command("up", "--topology", str(topology))
    assert up.returncode == AGREED, up.stderr
    yield command
    command("down", "--all")


def test_a_topology_begins_with_its_faults(testbed: Command) -> None:
    listed = json.loads(testbed.told("fault", "list", "--json"))

    assert [item["told"] for item in listed] == [
        "node-1 has forgotten HostSubnet node-2",
        "node-2 has an MTU of 1400 on tun0",
    ]
    assert "fault 2: node-2 has an MTU of 1400 on tun0" in testbed.told("status")
    explained = testbed("explain", "lab/client-1", "lab/hello-2")
    assert explained.returncode in (DISAGREED, COULD_NOT)
    assert "(HostSubnet node-2.test)" in explained.stdout


def test_a_fault_stays_while_objects_are_applied_and_is_cleared(
    testbed: Command, tmp_path: Path
) -> None:
    newcomer = tmp_path / "newcomer.yaml"
    newcomer.write_text(NEWCOMER)
    wanted = ("vxlan-blocked", "node=node-2", "direction=in")
    told = testbed.told("fault", "inject", *wanted)
    assert told == "injected 3: node-2 drops VXLAN (UDP 4789) that comes in\n"

    testbed.told("apply", "-f", str(newcomer))

    explained = testbed("explain", "lab/client-1", "lab/newcomer")
    assert explained.returncode in (DISAGREED, COULD_NOT)
    assert "no flow matches" in explained.stdout  # node-1 has forgotten node-2 still
    assert testbed.told("fault", "clear", "1").startswith("cleared 1: node-1 has")
    explained = testbed("explain", "lab/client-1", "lab/newcomer")
    assert "VXLAN (UDP 4789) does not come in" in explained.stdout
    cleared = testbed.told("fault", "clear", "--all").splitlines()
    assert [line.split(":")[0] for line in cleared] == ["cleared 3", "cleared 2"]
    assert "as expected" in testbed.told("probe", "lab/client-1", "lab/newcomer")
    assert json.loads(testbed.told("fault", "list", "--json")) == []


def test_a_restarted_switch_is_what_it_was_when_that_is_cleared(
    testbed: Command,
) -> None:
    testbed.told("fault", "inject", "switch-restarted", "node=node-1")
    assert testbed("probe", "lab/client-1", "lab/hello-1").returncode != AGREED

    testbed.told("fault", "clear")

    assert "as expected" in testbed.told("probe", "lab/client-1", "lab/hello-2")


def test_a_fault_that_cannot_be_is_refused(testbed: Command) -> None:
    for arguments, said in (
        (["mtu-drift"], "there is no fault 'mtu-drift'; there are: mtu-drifted"),
        (["mtu-drifted", "node=node-1"], "mtu-drifted: device: is missing"),
        (["flows-wiped", "node"], "'node' is no field; write FIELD=VALUE"),
        (["flows-wiped", "node=node-9"], "no single node node-9"),
    ):
        done = testbed("fault", "inject", *arguments)
        assert done.returncode == COULD_NOT
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_kinds_are_listed_with_their_fields(testbed: Command) -> None:
    found = json.loads(testbed.told("fault", "kinds", "--json"))

    by_kind = {item["kind"]: item for item in found}
    assert by_kind["mtu-drifted"]["required"] == ["device", "mtu"]
    assert "device" in testbed.told("fault", "kinds", "mtu-drifted")
