"""``testbed diagnose`` as it is typed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from testbed import faults
from testbed.cli.app import app

if TYPE_CHECKING:
    from tests.unit.diagnosis.conftest import Clinic


@dataclass(frozen=True)
class Done:
    exit_code: int
    stdout: str
    output: str
    error: str


def diagnose(clinic: Clinic, *options: str) -> Done:
    """Run the command over what the clinic has collected."""
    done = CliRunner().invoke(app, ["diagnose", str(clinic.directory), *options])
    return Done(done.exit_code, done.stdout, done.output, str(done.exception))


def test_a_healthy_cluster_exits_0(clinic: Clinic) -> None:
    clinic("two-node")

    done = diagnose(clinic)

    assert done.exit_code == 0
    assert "no findings" in done.stdout


def test_findings_exit_1_and_stand_one_line_each_in_a_pipe(clinic: Clinic) -> None:
    clinic("multitenant", faults.HostSubnetForgotten(node="oc-03", peer="oc-01"))

    done = diagnose(clinic)

    assert done.exit_code == 1
    (line,) = [row for row in done.stdout.splitlines() if row.startswith("CRITICAL")]
    assert "oc-03: has forgotten HostSubnet oc-01" in line
    assert "\x1b" not in done.stdout


def test_json_is_all_that_is_printed(clinic: Clinic) -> None:
    clinic("multitenant", faults.NoteWrong(node="oc-02", version=6))

    told = json.loads(diagnose(clinic, "--json").stdout)

    assert [item["check"] for item in told["findings"]] == ["rule-version"]


def test_the_page_is_written(clinic: Clinic) -> None:
    clinic("two-node")
    target = clinic.directory.parent / "page.html"

    done = diagnose(clinic, "--html", str(target))

    assert done.exit_code == 0
    assert "<!doctype html>" in target.read_text()


def test_a_page_that_cannot_be_written_is_told_in_a_line(clinic: Clinic) -> None:
    clinic("two-node")

    done = diagnose(clinic, "--html", str(clinic.directory / "no" / "page.html"))

    assert "page.html: no such file or directory" in done.error


def test_ports_go_with_a_question(clinic: Clinic) -> None:
    clinic("two-node")

    done = diagnose(clinic, "--dport", "80")

    assert done.exit_code == 2
    assert "--why" in done.output
