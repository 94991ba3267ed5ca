"""What continuous integration runs exists: commands of ``run``, options of pytest."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
WORKFLOW = CHECKOUT / ".github" / "workflows" / "ci.yml"


def steps() -> list[dict[str, Any]]:
    """All steps of all jobs."""
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def commands() -> list[str]:
    return [step["run"] for step in steps() if "run" in step]


def test_a_step_either_runs_a_command_or_uses_an_action() -> None:
    assert steps()
    for step in steps():
        assert ("run" in step) != ("uses" in step), step


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_workflow_is_one_that_bash_can_read(command: str) -> None:
    # GitHub puts values where bash would see an expression of its own.
    script = re.sub(r"\$\{\{.*?\}\}", "x", command)

    subprocess.run(["bash", "-n", "-c", script], check=True)


def test_the_workflow_runs_only_commands_that_run_has() -> None:
    cases = re.findall(r"^  (\w+)\)", (CHECKOUT / "run").read_text(), re.MULTILINE)
    used = {name for line in commands() for name in re.findall(r"\./run (\w+)", line)}

    assert used
    assert used <= set(cases)


def test_pytest_knows_the_options_that_the_workflow_gives_it(
    pytestconfig: pytest.Config,
) -> None:
    # The one way to ask a parser for all it knows.
    known = {
        name
        for option in pytestconfig._parser._anonymous.options
        for name in option.names()
    } | {
        name
        for group in pytestconfig._parser._groups
        for option in group.options
        for name in option.names()
    }
    used = {
        option
        for line in commands()
        if "pytest" in line
        for option in re.findall(r"--[\w-]+", line)
    }

    assert used
    assert used <= known


def test_the_results_of_a_failed_run_are_kept_too() -> None:
    uploads = [step for step in steps() if "upload-artifact" in step.get("uses", "")]

    assert uploads
    for step in uploads:
        assert "!cancelled()" in step["if"]
