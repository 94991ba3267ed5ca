"""``testbed bugs show``: a cluster is built, both halves are seen, nothing is left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from testbed.cli import COULD_NOT
from tests.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.emulation, pytest.mark.usefixtures("datapath")]

HEAD = '''"""Pods hear what is not for them.

Reference: BZ4711
Family: ARP
Symptom: Some hear everything.
Mechanism: Nobody knows.
Fixed in: Open in 3.11.
"""

import pytest
from testbed.probe import send_udp

pytestmark = pytest.mark.plugins("subnet")


@pytest.mark.fix
def test_a_pod_hears_its_neighbour(cluster):
    one, other = cluster.pods_on("oc-04")[:2]
    send_udp(cluster, one, other).arrives(other)


@pytest.mark.symptom
def test_a_pod_hears_too_much(cluster):
'''


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in which nothing is left running."""
    shell = Shell(tmp_path)
    yield shell
    shell.wait_for_the_end()


def gallery(shell: Shell, symptom: str) -> str:
    """A directory with one bug, whose symptom is this."""
    directory = shell.home / "gallery"
    directory.mkdir()
    (directory / "test_bz4711.py").write_text(f"{HEAD}    {symptom}\n")
    return str(directory)


def test_a_bug_is_told_then_seen_then_seen_fixed(shell: Shell) -> None:
    shown = shell("bugs", "show", "BZ1420032")

    assert shown.returncode == 0, shown.stderr
    parts = [
        "BZ1420032: Addresses that are no multicast are dropped as multicast",
        "mechanism  Multicast is 224.0.0.0/4",
        "As it was: (openshift-ovs-multitenant)",
        "✓ An address above the range is dropped as multicast",
        "! oc-01 has priority=25,ip,nw_dst=224.0.0.0/3 in table 30 (ROUTING)",
        "is dropped on oc-01.test in table 110 (MULTICAST_FROM_POD) by priority=0",
        "As it should be: (openshift-ovs-multitenant)",
        "✓ An address above the range leaves by the nodes kernel",
        "arrives at oc-01.test tun0",
    ]
    places = [shown.stdout.find(part) for part in parts]
    assert -1 not in places, shown.stdout
    assert places == sorted(places)


def test_what_was_shown_is_told_to_scripts(shell: Shell) -> None:
    shown = shell("bugs", "show", "BZ1420032", "--json")

    told = json.loads(shown.stdout)
    assert told["name"] == "BZ1420032"
    assert told["verdict"] is True
    assert [item["half"] for item in told["shown"]] == ["symptom", "fix"]
    assert all(item["outcome"] == "passed" for item in told["shown"])


@pytest.mark.parametrize(
    ("symptom", "status", "said"),
    [
        ("assert not cluster.pods, 'pods'", 1, "failed: AssertionError: pods"),
        ("pytest.skip('not on this datapath')", COULD_NOT, "skipped: not on this"),
    ],
)
def test_a_half_that_is_not_seen_is_told_and_makes_the_exit_status(
    shell: Shell, symptom: str, status: int, said: str
) -> None:
    directory = gallery(shell, symptom)

    shown = shell("bugs", "show", "BZ4711", "--gallery", directory)

    assert shown.returncode == status
    assert said in shown.stdout
    assert "✓ A pod hears its neighbour" in shown.stdout


def test_a_file_that_cannot_be_run_is_told_and_no_traceback_seen(shell: Shell) -> None:
    directory = gallery(shell, "pass\n\nimport nothing_of_that_name")

    shown = shell("bugs", "show", "BZ4711", "--gallery", directory)

    assert shown.returncode == COULD_NOT
    assert "nothing_of_that_name" in shown.stderr
    assert "testbed/cli" not in shown.stderr
