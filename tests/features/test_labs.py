"""Labs as students do them: their solutions tried, the command line, and a class."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from testbed.labs.shelf import all_labs, shipped
from tests.shell import Shell

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.emulation, pytest.mark.usefixtures("datapath")]

LABS = [lab.name for lab in all_labs()]
PASSED, WRONG, COULD_NOT = 0, 1, 2


class Student(Shell):
    """Somebody who does a lab."""

    def check(self, *answer: str) -> int:
        return self("lab", "check", *answer).returncode

    def is_at(self) -> str | None:
        current: str | None = self.json("lab", "status")["current"]
        return current

    def on_the_node(self, *command: str) -> None:
        done = self("exec", "oc-01", "--", *command)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def student(tmp_path: Path) -> Iterator[Student]:
    student = Student(tmp_path / "home")
    yield student
    student("down", "--all")


@pytest.mark.parametrize("name", LABS)
def test_right_solutions_pass_and_wrong_ones_do_not(
    student: Student, name: str
) -> None:
    rehearsed = student("lab", "rehearse", name)

    assert rehearsed.stdout == f"{name}: as it should be\n", rehearsed.stderr
    assert rehearsed.returncode == PASSED


OFCTL = ("ovs-ofctl", "-O", "OpenFlow13")
HEAD = """\
kind: Lab
number: 1
title: Nothing in particular
minutes: 1
goal: None.
tasks:
"""
SOLVED = """\
- name: solved
  text: Do nothing.
  packets:
  - {from: lab/client, to: lab/web, is: delivered}
  hints: [None.]
  solution: [{exec: oc-01, run: "true"}]
  wrong:
  - {why: it stops ARP, steps: [{exec: oc-01, run: "DELETE arp"}]}
"""
OPEN = """\
- name: open
  text: Stop IP, not ARP.
  packets:
  - {from: lab/client, to: lab/web, is: blocked}
  hints: [None.]
  solution: [{exec: oc-01, run: "DELETE PROTOCOL"}]
  wrong:
  - {why: it changes nothing, steps: [{exec: oc-01, run: "true"}]}
"""


def lab_at(directory: Path, *tasks: str) -> str:
    """Write a lab whose cluster is the first lab's."""
    directory.mkdir()
    delete = "ovs-ofctl -O OpenFlow13 del-flows br0 table=20,in_port=7,"
    text = (HEAD + "".join(tasks)).replace("DELETE ", delete)
    (directory / "lab.yaml").write_text(text)
    (directory / "background.md").write_text("None.\n")
    topology = shipped() / "one_node" / "topology.yaml"
    (directory / "topology.yaml").write_text(topology.read_text())
    return f"{directory}/"


def test_a_lab_whose_checks_let_everything_pass_is_told_beside_one_that_is_right(
    tmp_path: Path, student: Student
) -> None:
    fine = lab_at(tmp_path / "fine", OPEN.replace("PROTOCOL", "ip"))
    easy = lab_at(tmp_path / "too_easy", SOLVED, OPEN.replace("PROTOCOL", "arp"))

    rehearsed = student("lab", "rehearse", easy, fine)

    assert rehearsed.returncode == WRONG, rehearsed.stderr
    told = rehearsed.stdout.splitlines()
    assert told[:3] == [
        "too_easy: solved: is solved before it is begun",
        "too_easy: solved: a wrong solution passes: it stops ARP",
        "too_easy: open: its solution does not pass",
    ]
    assert "delivered to lab/web" in told[3]
    assert told[-1] == "fine: as it should be"


def test_a_student_does_a_lab(student: Student) -> None:
    started = student("lab", "start", "1")
    assert started.returncode == PASSED, started.stderr
    assert "## Lab 1: One packet" in started.stdout
    assert "## Task 1 of 4: port" in started.stdout

    # An answer is judged by the cluster, whoever has found it.
    assert student.check() == COULD_NOT
    assert student.check("3") == WRONG
    assert "Hint 1 of 3" in student("lab", "hint").stdout
    assert "Hint 2 of 3" in student("lab", "hint").stdout
    assert student.is_at() == "port"
    assert student.check("0xc") == PASSED
    assert student.check("0", "20", "21", "30", "70", "80") == PASSED

    # What was seen is told, and not what to do.
    wrong = student("lab", "check", "--json")
    assert wrong.returncode == WRONG
    told = json.loads(wrong.stdout)
    assert (told["task"], told["passed"]) == ("silence", False)
    texts = [finding["text"] for finding in told["findings"]]
    assert any("delivered to lab/web" in text for text in texts)
    assert not any("del-flows" in text for text in texts)

    # Any way to stop the packets is right, not only the reference's.
    drop = "table=20,priority=500,ip,in_port=7 actions=drop"
    student.on_the_node(*OFCTL, "add-flow", "br0", drop)
    assert student.check() == PASSED

    # A checkpoint is the cluster as it was when a task began, whatever was done since.
    student.on_the_node(*OFCTL, "del-flows", "br0")
    assert student("lab", "reset", "silence").returncode == PASSED
    assert student.is_at() == "silence"
    solved = student("lab", "solve")
    assert solved.returncode == PASSED
    assert "$ testbed exec oc-01 -- ovs-ofctl" in solved.stdout
    assert student("lab", "solve").returncode == PASSED
    status = student("lab", "status", "--json")
    assert status.returncode == PASSED
    noted = {task["name"]: task for task in json.loads(status.stdout)["tasks"]}
    assert (noted["port"]["state"], noted["port"]["hints"]) == ("solved", 2)
    assert noted["mend"]["state"] == "shown"
    assert student.check() == COULD_NOT, "there is nothing more to check"


def test_a_testbed_without_a_lab_says_how_to_start_one(student: Student) -> None:
    topology = shipped() / "one_node" / "topology.yaml"
    assert student("up", "--topology", str(topology)).returncode == 0

    for verb in ("status", "check"):
        done = student("lab", verb)

        assert done.returncode == COULD_NOT
        assert done.stderr.strip().endswith("type: testbed lab start 1")


def test_a_class_has_a_sandbox_each_and_ends_without_a_trace(
    tmp_path: Path, student: Student
) -> None:
    accounts = tmp_path / "accounts.csv"
    accounts.write_text("account,group\nanna,a\nben,b\n")
    arguments = ("lab", "class", "start", "one_node", "--accounts", str(accounts))
    started = student(*arguments)
    assert started.returncode == PASSED, started.stderr

    def anna(*command: str) -> subprocess.CompletedProcess[str]:
        testbed = (sys.executable, "-m", "testbed")
        return student("lab", "class", "enter", "anna", "--", *testbed, *command)

    assert anna("lab", "check", "12").returncode == PASSED
    assert [item["name"] for item in json.loads(anna("list", "--json").stdout)] == [
        "default"
    ]
    # Who comes late is added; whoever is at work is left alone.
    accounts.write_text("account,group\nanna,a\nben,b\ncarl,b\n")
    assert student(*arguments).returncode == PASSED
    rows = student.json("lab", "class", "status")
    assert [(row["account"], row["done"]) for row in rows] == [
        ("anna", 1),
        ("ben", 0),
        ("carl", 0),
    ]
    assert anna("down").returncode == PASSED
    table = student("lab", "class", "status").stdout
    assert "anna     (no testbed)" in table
    assert "ben      one_node" in table

    assert student("lab", "class", "stop").returncode == PASSED

    student.wait_for_the_end()
    assert student("lab", "class", "status").returncode == COULD_NOT
