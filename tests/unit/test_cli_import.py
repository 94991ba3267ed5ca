"""``testbed import`` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from testbed.cli import main
from testbed.cli.app import app
from testbed.topology import load

LIVE = Path(__file__).parents[1] / "golden" / "oc-04.flows"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    status = ended.value.code
    assert isinstance(status, int)
    return status


def test_it_teaches_by_example() -> None:
    result = CliRunner().invoke(app, ["import", "--help"])

    assert result.exit_code == 0
    assert "testbed import" in result.output.partition("Examples:")[2]


def test_a_dump_becomes_a_topology_that_the_other_commands_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("import", str(LIVE), "-o", str(tmp_path / "out")) == 0
    said = capsys.readouterr()

    assert run("flows", "oc-04", "-t", str(tmp_path / "out" / "topology.yaml")) == 0
    flows = capsys.readouterr().out

    assert said.out.startswith(f"{LIVE}: 4 nodes (flows of 1), 2 pods, 2 services")
    assert said.err.endswith(f"type: testbed up {tmp_path}/out --replay\n")
    assert len(flows.splitlines()) == len(LIVE.read_text().splitlines())


def test_several_paths_make_one_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        archive.add(LIVE, "nodes/oc-04.test/flows")
    (tmp_path / "nodes.txt").write_text(
        "NAME   HOST   HOST IP   SUBNET\n"
        "oc-04.test   oc-04.test   172.16.1.25   10.131.0.0/23\n"
        "oc-01.test   oc-01.test   172.16.1.15   10.128.0.0/23\n"
        "oc-02.test   oc-02.test   172.16.1.16   10.129.0.0/23\n"
        "oc-03.test   oc-03.test   172.16.1.22   10.130.0.0/23\n"
    )

    paths = [str(tmp_path / "a.tgz"), str(tmp_path / "nodes.txt")]
    assert run("import", *paths, "-o", str(tmp_path / "out")) == 0

    cluster = load(tmp_path / "out" / "topology.yaml").cluster
    assert sorted(node.name for node in cluster.nodes) == [
        "oc-01.test",
        "oc-02.test",
        "oc-03.test",
        "oc-04.test",
    ]
    assert "contradictory\n  nothing" in capsys.readouterr().out


def test_standard_input_is_read_where_the_path_is_a_dash(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "testbed", "import", "-", "-o", str(tmp_path / "out")],
        input=LIVE.read_bytes(),
        capture_output=True,
        check=True,
    )

    assert done.stdout.startswith(b"-: 4 nodes")


def test_json_is_the_manifest_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("import", str(LIVE), "-o", str(tmp_path / "out"), "--json") == 0

    printed = json.loads(capsys.readouterr().out)
    on_disk = json.loads((tmp_path / "out" / "import.json").read_text())
    assert printed["remarks"] == on_disk["remarks"]
    assert printed["nodes"][0]["flows"]["at"] == "nodes/oc-04/flows"


def test_a_directory_that_is_not_empty_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("x")

    status = run("import", str(tmp_path / "nowhere"), "-o", str(tmp_path))

    assert status == 2
    assert "is not empty; choose another, or say --force" in capsys.readouterr().err


def test_force_takes_it_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")

    assert run("import", str(LIVE), "-o", str(tmp_path), "--force") == 0
    assert (tmp_path / "thesis.tex").read_text() == "x"


def test_a_path_that_is_not_there_is_said_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = run("import", str(tmp_path / "nowhere"), "-o", str(tmp_path / "out"))

    assert status == 2
    assert capsys.readouterr().err == (
        f"{tmp_path / 'nowhere'}: no such file or directory\n"
    )
    assert not (tmp_path / "out").exists()


def test_max_size_is_kept_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "oc-04").mkdir()
    (tmp_path / "oc-04" / "flows").write_bytes(LIVE.read_bytes())
    with tarfile.open(tmp_path / "big.tgz", "w:gz") as archive:
        archive.add(LIVE, "oc-04/flows")
        (tmp_path / "zeros").write_bytes(bytes(1 << 20))
        archive.add(tmp_path / "zeros", "zeros")

    status = run(
        "import",
        str(tmp_path / "big.tgz"),
        "-o",
        str(tmp_path / "o"),
        "--max-size",
        "64K",
    )

    assert status == 0
    assert "big.tgz: reading ends here, after 64 KiB" in capsys.readouterr().out


@pytest.mark.parametrize("size", ["0", "-1", "4X", "", "G"])
def test_a_size_that_is_none_is_refused(size: str, tmp_path: Path) -> None:
    options = ["import", str(LIVE), "-o", str(tmp_path / "out"), f"--max-size={size}"]

    result = CliRunner().invoke(app, options)

    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()
