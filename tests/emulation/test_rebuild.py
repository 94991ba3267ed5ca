"""One sandbox holds one cluster after another, however the one before ended."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.emulation, pytest.mark.usefixtures("datapath")]

IN_A_SANDBOX = """
import sys
from testbed.emulation import sandbox
sys.exit(sandbox.run(sys.argv[1:]))
"""
BEGIN = """
import os
import sys
from pathlib import Path
from testbed.emulation import build, machines
from testbed.emulation.changes import change_cluster
from testbed.emulation.prerequisites import choose_datapath
from testbed.errors import DeadlineError
from testbed.process import runs
from testbed.topology import load
from testbed.topology.shipped import shipped

topology = load(shipped("two-node.yaml"))

def running():
    return build.running_cluster(topology.cluster, choose_datapath())

def assert_is_empty():
    assert list(Path("/run/netns").iterdir()) == []
    assert [path.name for path in Path("/run/testbed").iterdir()] == ["sandbox"]
"""
FAILED_BUILD = """
serving = build.serving
def late(*_args, **_options):
    raise DeadlineError("the echo server is late")
build.serving = late
try:
    with running():
        sys.exit("it was built")
except DeadlineError:
    pass
build.serving = serving
"""
NEW_POD = """
with running():
    after = topology.applied(
        "kind: Pod\\nmetadata: {name: newcomer, namespace: shop}\\n"
        f"spec: {{nodeName: {topology.cluster.nodes[0].name}}}\\n", "x")
    change_cluster(topology.cluster, after.cluster)
    pid = {machine.name: machine.pid for machine in machines.load()}["shop_newcomer"]
if runs(pid):
    sys.exit("the new pod's machine still runs")
"""
REBUILD = """
assert_is_empty()
with running():
    pass
assert_is_empty()
"""


@pytest.mark.parametrize("first", [FAILED_BUILD, NEW_POD], ids=["failed", "changed"])
def test_a_sandbox_is_empty_after_a_cluster_and_holds_another(first: str) -> None:
    program = [sys.executable, "-c", BEGIN + first + REBUILD]

    done = subprocess.run(
        [sys.executable, "-c", IN_A_SANDBOX, *program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
