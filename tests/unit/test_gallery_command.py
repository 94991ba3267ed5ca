"""``testbed bugs`` where nothing need run."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from testbed.cli import COULD_NOT, main
from testbed.cli.app import app
from testbed.gallery import Family, all_bugs


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(("bugs", *arguments))
    status = ended.value.code
    assert isinstance(status, int)
    return status


@pytest.mark.parametrize("command", [["bugs"], ["bugs", "show"]])
def test_the_commands_teach_by_example(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])

    assert result.exit_code == 0
    assert f"testbed {' '.join(command)}" in result.output.partition("Examples:")[2]


def test_all_bugs_are_listed_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0

    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["BUG", "FAMILY", "WHAT"]
    assert [row.split()[0] for row in rows] == [bug.name for bug in all_bugs()]


def test_bugs_are_listed_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json") == 0

    listed = json.loads(capsys.readouterr().out)
    assert [item["name"] for item in listed] == [bug.name for bug in all_bugs()]
    assert {item["family"] for item in listed} == {family.value for family in Family}


def test_one_family_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--family", "arp", "--json") == 0

    listed = json.loads(capsys.readouterr().out)
    assert {item["family"] for item in listed} == {"ARP"}


def test_a_story_is_told_without_running_anything(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("show", "sdn#47", "--no-run") == 0

    told = capsys.readouterr().out
    assert told.startswith("openshift/sdn#47: All pods of a node are dead")
    assert "As it was:\n  Nothing comes in and not even the gateway is found" in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "BZ1"], "no bug BZ1; there are: "),
        (["--family", "magic"], "no family magic; there are: ARP, conntrack"),
        (["--gallery", "/nowhere"], "/nowhere: has no bug in it"),
        (["--json", "show", "BZ1420032"], "options of `show` come after"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(*arguments) == COULD_NOT

    assert said in " ".join(capsys.readouterr().err.split())
