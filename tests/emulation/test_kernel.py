"""A kernel takes what ``testbed.host`` writes, and prints it as we wrote it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.host.iptables import node_rules
from testbed.host.links import assign_egress_ips, node_links, release_egress_ips
from testbed.model import Plugin

if TYPE_CHECKING:
    from testbed.model import Cluster

pytestmark = pytest.mark.emulation

SERVICES = Path(__file__).parents[1] / "golden" / "services.iptables"

IN_A_SANDBOX = """
import sys
from testbed.emulation import sandbox
sys.exit(sandbox.run(sys.argv[1:]))
"""

WITH_DEVICES = """
set -e
ip link add eth0 type veth peer name switch0
ip link add tun0 type veth peer name br0
ip -batch "$1"
ip -4 route
echo --
ip -batch "$2"
ip -4 route
ip -4 address show dev eth0
echo --
ip -batch "$3"
ip -4 route
ip -4 address show dev eth0
"""


def run(*program: str, stdin: str = "") -> str:
    """Run a program in a sandbox and return what it wrote to stdout."""
    __tracebackhide__ = True
    done = subprocess.run(
        [sys.executable, "-c", IN_A_SANDBOX, *program],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_chain(text: str) -> dict[tuple[str, str], list[str]]:
    """The rules of each table's chains, in order; an empty chain has none.

    The kernel keeps probabilities as multiples of 1/2**31.
    """
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            found[table, line[1:].split()[0]] = []
        elif line.startswith("-A "):
            rule = re.sub(
                r"(?<=--probability )\S+", lambda given: f"{float(given[0]):.5f}", line
            )
            found[table, line.split()[1]].append(rule)
    return found


def assert_saved_as_written(rules: str) -> None:
    __tracebackhide__ = True
    script = "iptables-restore && iptables-save"
    assert by_chain(run("bash", "-c", script, stdin=rules)) == by_chain(rules)


def test_the_rules_of_a_node_with_services_are_saved_as_written() -> None:
    assert_saved_as_written(SERVICES.read_text())


@pytest.mark.parametrize("plugin", Plugin)
def test_the_rules_of_every_plugin_are_saved_as_written(
    four_nodes: Cluster, plugin: Plugin
) -> None:
    network = replace(four_nodes.network, plugin=plugin)
    cluster = replace(four_nodes, network=network)

    assert_saved_as_written(node_rules(cluster, cluster.node("oc-04")))


def test_a_rule_that_makes_no_sense_is_refused(four_nodes: Cluster) -> None:
    rules = node_rules(four_nodes, four_nodes.node("oc-04"))

    with pytest.raises(AssertionError, match=r"(?i)iptables-restore"):
        assert_saved_as_written(rules.replace("--dport 4789", "--dport nowhere"))


def test_an_egress_ip_changes_no_route(four_nodes: Cluster, tmp_path: Path) -> None:
    egress_ips = [IPv4Address("172.16.1.200"), IPv4Address("172.16.1.201")]
    batches = {
        "node": node_links(four_nodes, four_nodes.node("oc-04")),
        "assign": assign_egress_ips(four_nodes, egress_ips),
        "release": release_egress_ips(four_nodes, egress_ips[:1]),
    }
    for name, batch in batches.items():
        (tmp_path / name).write_text(batch)

    shown = run(
        "bash", "-c", WITH_DEVICES, "_", *(str(tmp_path / name) for name in batches)
    )

    before, assigned, released = shown.split("--\n")
    assert assigned.startswith(before)
    assert released.startswith(before)
    assert "inet 172.16.1.200/24 brd 172.16.1.255" in assigned
    assert "172.16.1.200" not in released
    assert "172.16.1.201" in released
