"""A cluster is broken in five ways, and ``testbed explain`` names each culprit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from testbed.emulation.wiring import Datapath
from testbed.topology.shipped import shipped
from tests.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.emulation, pytest.mark.usefixtures("datapath")]

AGREED, DISAGREED, COULD_NOT = 0, 1, 2
OFCTL = ("ovs-ofctl", "-O", "OpenFlow13")


class Broken(Shell):
    """A testbed of two nodes under ovs-multitenant, to break as one likes."""

    def __init__(self, home: Path, datapath: Datapath) -> None:
        super().__init__(home)
        self.datapath = datapath

    def on(self, node: str, *command: str) -> str:
        done = self("exec", node, "--", *command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def explained(self, source: str, destination: str, *options: str) -> list[str]:
        """The lines of an explanation of a packet that got lost."""
        done = self("explain", source, destination, *options)
        assert done.returncode in (DISAGREED, COULD_NOT), done.stdout + done.stderr
        return done.stdout.splitlines()


def said(lines: list[str], name: str) -> str:
    """What an explanation says of a witness, or of the culprit."""
    return next(line for line in lines if line.startswith(f"  {name}:"))


@pytest.fixture
def broken(tmp_path: Path, datapath: Datapath) -> Iterator[Broken]:
    topology = tmp_path / "tenants.yaml"
    text = shipped("two-node.yaml").read_text()
    topology.write_text(text.replace("ovs-subnet", "ovs-multitenant"))
    testbed = Broken(tmp_path, datapath)
    up = testbed("up", "--topology", str(topology))
    assert up.returncode == 0, up.stderr
    yield testbed
    testbed("down", "--all")


def test_a_killed_vswitchd_is_the_culprit(broken: Broken) -> None:
    pid = broken.on("node-2", "cat", "/run/testbed/node-2.test/ovs-vswitchd.pid")
    broken.on("node-2", "kill", "-KILL", pid.strip())

    lines = broken.explained("lab/client-1", "lab/hello-2")

    assert "inconclusive on node-2.test" in said(lines, "traced")
    assert "node-2.test: its ovs-vswitchd does not answer" in said(lines, "culprit")


def test_a_wiped_table_is_the_culprit(broken: Broken) -> None:
    broken.on("node-2", *OFCTL, "del-flows", "br0", "table=10")

    lines = broken.explained("lab/client-1", "lab/hello-2")

    assert "dropped on node-2.test in table 10 (FROM_VXLAN)" in said(lines, "traced")
    assert "tun_src=192.168.10.11" in said(lines, "traced")
    culprit = said(lines, "culprit")
    assert "node-2.test: missing:" in culprit
    assert "HostSubnet node-1.test" in culprit


def test_an_unplugged_underlay_is_the_culprit(broken: Broken) -> None:
    broken.on("node-2", "ip", "link", "set", broken.datapath.uplink, "down")

    lines = broken.explained("lab/client-1", "lab/hello-2")

    assert "delivered to lab/hello-2" in said(lines, "traced")
    assert "lost on the underlay between node-1.test and node-2.test" in said(
        lines, "observed"
    )
    assert f"node-2.test: {broken.datapath.uplink} is down" in said(lines, "culprit")


def test_a_corrupted_vnid_is_the_culprit(broken: Broken) -> None:
    flow = next(
        line.split("n_bytes=")[1].split(", ", 1)[1]
        for line in broken("flows", "node-1", "--live").stdout.splitlines()
        if "table=20" in line and ",ip,in_port" in line
    )
    match, _, actions = flow.partition(" actions=")
    vnid = actions.partition("->")[0].removeprefix("load:")
    wrong = actions.replace(f"load:{vnid}->", f"load:{int(vnid, 0) + 7:#x}->")
    broken.on(
        "node-1",
        *OFCTL,
        "--strict",
        "mod-flows",
        "br0",
        f"table=20,{match},actions={wrong}",
    )
    sender = next(
        pod for pod in ("lab/client-1", "lab/hello-1") if _ip(broken, pod) in match
    )

    lines = broken.explained(sender, "lab/hello-2", "--dport", "80")

    assert "dropped on node-2.test in table 80 (POLICY)" in said(lines, "observed")
    culprit = said(lines, "culprit")
    assert "node-1.test: changed: table=20" in culprit
    assert f"(Pod {sender})" in culprit


def _ip(broken: Broken, pod: str) -> str:
    shown = json.loads(broken.on(pod, "ip", "-json", "-4", "address", "show", "eth0"))
    return str(shown[0]["addr_info"][0]["local"])


def test_a_blocked_vxlan_port_is_the_culprit(broken: Broken) -> None:
    if broken.datapath is Datapath.SYSTEM:
        rule = ("-p", "udp", "--dport", "4789", "-j", "DROP")
        broken.on("node-2", "iptables", "-I", "INPUT", *rule)
    else:
        flow = "priority=99,udp,tp_dst=4789,actions=drop"
        broken.on("node-2", *OFCTL, "add-flow", "eth0", flow)

    lines = broken.explained("lab/client-1", "lab/hello-2")

    assert "reached node-2.test by wire and got lost in it" in said(lines, "observed")
    assert "node-2.test: VXLAN (UDP 4789) does not come in" in said(lines, "culprit")


def test_a_cluster_in_which_nothing_is_wrong_is_not_blamed(broken: Broken) -> None:
    done = broken("explain", "lab/client-1", "lab/hello-2")

    assert done.returncode == AGREED, done.stdout + done.stderr
    first = done.stdout.splitlines()[:4]
    assert first[0].startswith("lab/client-1 → lab/hello-2 (")
    assert "delivered to lab/hello-2" in said(first, "observed")
    assert "culprit" not in done.stdout
