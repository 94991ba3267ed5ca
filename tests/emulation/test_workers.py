"""pytest-xdist: every worker has a sandbox and a cluster of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from testbed.topology.shipped import shipped

pytestmark = [pytest.mark.emulation, pytest.mark.usefixtures("datapath")]

TOPOLOGY = str(shipped("two-node.yaml"))
SCENARIOS = """
import pathlib
import pytest
from testbed.process import wait_until

@pytest.mark.parametrize("number", [1, 2])
def test_it(cluster, number, worker_id, tmp_path_factory):
    own = pathlib.Path("/proc/self/ns/net").readlink()
    seen = tmp_path_factory.getbasetemp().parent / "seen"
    seen.mkdir(exist_ok=True)
    (seen / worker_id).write_text(str(own))
    # None waits for the other to be through with a cluster they might share.
    wait_until(lambda: len(list(seen.iterdir())) > 1, timeout=30, what="both ran")
    assert cluster.nodes
"""


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_mine.py").write_text(SCENARIOS)
    pytest_ = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "2")
    return subprocess.run(
        [*pytest_, "--topology", TOPOLOGY, "--basetemp", "temp", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_workers_run_side_by_side_in_sandboxes_of_their_own(tmp_path: Path) -> None:
    done = run(tmp_path)

    assert "2 passed" in done.stdout, done.stdout + done.stderr
    seen = {path.read_text() for path in (tmp_path / "temp" / "seen").iterdir()}
    assert len(seen) == 2
    assert str(Path("/proc/self/ns/net").readlink()) not in seen


def test_a_proof_that_scenarios_can_fail_goes_without_workers(tmp_path: Path) -> None:
    done = run(tmp_path, "--prove-red")

    assert "--prove-red goes without -n" in done.stderr
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
