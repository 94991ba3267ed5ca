"""``testbed trace -t FILE`` follows a packet through what the file's faults leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.cli import main
from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from pathlib import Path

SENDER, RECEIVER = "lab/client-1", "lab/client-2"


def traced(
    capsys: pytest.CaptureFixture[str], path: Path, *faults: str
) -> tuple[int | str | None, str, str]:
    """Exit status, output and remarks of tracing what leaves node-1."""
    listed = "".join(f"- {{{fault}}}\n" for fault in faults)
    text = shipped("two-node.yaml").read_text()
    path.write_text(text.replace("rogues:\n", f"faults:\n{listed}rogues:\n"))
    destination = RECEIVER if "peer" in listed or not faults else "8.8.8.8"
    with pytest.raises(SystemExit) as ended:
        main(["trace", SENDER, destination, "-t", str(path)])
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


def test_a_file_without_faults_is_traced_as_computed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, printed, remarks = traced(capsys, tmp_path / "well.yaml")

    assert (status, remarks) == (0, "")
    assert f"delivered to {RECEIVER}" in printed


def test_a_flow_that_a_fault_has_taken_is_missed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, printed, remarks = traced(
        capsys,
        tmp_path / "broken.yaml",
        "kind: host-subnet-forgotten, node: node-1, peer: node-2",
        "kind: node-dead, node: node-2",
    )

    assert status == 1
    assert "dropped on node-1.test in table 90 (IP_TO_REMOTE_POD)" in printed
    assert remarks == "faults that are not shown: node-2 is dead\n"


def test_a_rule_that_a_fault_has_taken_is_missed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    nothing = "kind: note-wrong, node: node-1, version: 5"
    flushed = "kind: iptables-flushed, node: node-1, table: nat"

    _, well, _ = traced(capsys, tmp_path / "well.yaml", nothing)
    _, broken, remarks = traced(capsys, tmp_path / "broken.yaml", flushed)

    assert "MASQUERADE" in well
    assert "MASQUERADE" not in broken
    assert remarks == ""
