"""Labs as they are read, printed and counted; no cluster is built for that."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from rich.console import Console
from rich.markdown import Markdown

from testbed.errors import LabError, NotFoundError
from testbed.labs.bench import Bench
from testbed.labs.exam import Exam
from testbed.labs.findings import Finding, answer_of, passed
from testbed.labs.model import Answer, Inject, Run, Wrong
from testbed.labs.progress import Progress, State, load_progress
from testbed.labs.read import read_lab
from testbed.labs.shelf import all_labs, find_lab, next_lab, shipped
from testbed.labs.text import end_page, hint_page, lab_page, task_lines, task_page
from testbed.model import Outcome, Transport
from testbed.topology import load

if TYPE_CHECKING:
    from testbed.labs.model import Lab
    from testbed.probe import LiveCluster

LABS = all_labs()
TASKS = [(lab, number) for lab in LABS for number in range(len(lab.tasks))]

MINIMAL = """\
kind: Lab
number: 7
title: A title
minutes: 5
goal: You can.
tables: [20]
tasks:
- name: first
  text: Do it.
  packets:
  - {from: lab/client, to: lab/web, send: "tcp:80", is: blocked, at: oc-01, table: 20}
  hints: [Think.]
  begin:
  - inject: flows-wiped
    fields: {node: oc-01}
  solution:
  - exec: oc-01
    run: ovs-ofctl del-flows br0 "table=20,ip"
  wrong:
  - why: nothing is changed
    steps:
    - apply: "kind: Namespace"
- name: second
  text: Find out.
  asks: How many?
  check: second
  hints: [Think., Count.]
  solution:
  - exec: oc-01
    run: ip link
    answer: mtu (\\d+)
  wrong:
  - why: it is fewer
    steps: [answer: "1"]
"""
CHECKS = "def second(exam):\n    exam.is_number(1450)\n"


def ids(item: Lab | tuple[Lab, int]) -> str:
    return item[0].tasks[item[1]].name if isinstance(item, tuple) else item.name


def written(
    directory: Path, lab: str = MINIMAL, checks: str = CHECKS, background: str = "Read."
) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "lab.yaml").write_text(lab)
    (directory / "checks.py").write_text(checks)
    (directory / "background.md").write_text(background)
    return directory


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return read_lab(written(tmp_path / "mine"))


def test_a_lab_is_read_as_it_is_written(lab: Lab) -> None:
    first, second = lab.tasks

    assert (lab.name, lab.number, lab.tables) == ("mine", 7, (20,))
    (packet,) = first.packets
    assert (packet.transport, packet.dport) == (Transport.TCP, 80)
    assert packet.outcomes == {Outcome.DROPPED, Outcome.REJECTED}
    assert packet.wanted == "dropped or rejected on oc-01 in table 20"
    assert first.begin == (Inject(kind="flows-wiped", fields={"node": "oc-01"}),)
    (step,) = first.solution
    assert isinstance(step, Run)
    assert step.argv == ("ovs-ofctl", "del-flows", "br0", "table=20,ip")
    assert second.asks == "How many?"


def test_steps_are_told_as_they_are_typed(lab: Lab) -> None:
    first, second = lab.tasks

    assert first.begin[0].command == "testbed fault inject flows-wiped node=oc-01"
    assert (
        first.solution[0].command
        == "testbed exec oc-01 -- ovs-ofctl del-flows br0 table=20,ip"
    )
    applied = first.wrong[0].steps[0].command
    assert applied == "testbed apply -f - <<END\nkind: Namespace\nEND"
    assert second.wrong[0].steps[0].command == "testbed lab check 1"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("number: 7", "number: no", "lab.yaml:2: Lab mine: number: must be a whole"),
        ("title: A title", "", "lab.yaml:1: Lab mine: title: is missing"),
        ("minutes: 5", "seconds: 5", "lab.yaml:4: Lab mine: seconds: "),
        ("is: blocked", "is: gone", "lab.yaml:11: Lab mine: tasks[0].packets[0].is: "),
        ("tcp:80", "tcp", "tasks[0].packets[0].send: "),
        ("table: 20}", "table: 22}", "packets[0].table: br0 has no table 22"),
        ("name: second", "name: first", "Lab mine: tasks: two are called first"),
        ("name: second", "name: Zwei", "tasks[1].name: must be up to 31 lower-case"),
        ("check: second", "check: third", "tasks[1].check: checks.py has no function"),
        ("  check: second\n", "", "tasks[1]: is judged by nothing"),
        ("    run: ip link\n", "", "tasks[1].solution[0]: exec needs run"),
        (r"mtu (\\d+)"[:3], "(", "answer: is no regular expression"),
        ('steps: [answer: "1"]', "steps: [delete: x]", "asks goes with an answer"),
        ('20,ip"', "20,ip", "solution[0]: run: no closing quotation"),
        ("hints: [Think.]", "hints: []", "tasks[0].hints: "),
        ("fields: {node: oc-01}", "run: x", "begin[0]: run goes with exec"),
        ("kind: Lab", "kind: Lab\n---\nkind: Lab", "must hold one document"),
        ("kind: Lab", "kind: [", "broken YAML"),
        ("text: Do it.", f"text: {'x' * 90}", "is more than 80 columns wide"),
    ],
)
def test_what_is_wrong_with_a_lab_is_told_with_file_line_and_field(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    text = MINIMAL.replace(old, new, 1)
    assert text != MINIMAL

    with pytest.raises(LabError) as refused:
        read_lab(written(tmp_path / "mine", text))

    assert problem in str(refused.value)
    assert str(tmp_path / "mine" / "lab.yaml:") in str(refused.value)


def test_checks_that_are_no_python_are_told_and_not_run(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"checks\.py:1: is no Python"):
        read_lab(written(tmp_path / "mine", checks="def second(:"))


def test_reading_a_lab_runs_nothing_of_it(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    checks = f"open({str(ran)!r}, 'w')\n{CHECKS}"

    read_lab(written(tmp_path / "mine", checks=checks))

    assert not ran.exists()


def test_a_background_that_no_terminal_has_room_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"background\.md:2: is 81 columns wide"):
        read_lab(written(tmp_path / "mine", background=f"One.\n{'x' * 81}\n"))


def test_a_directory_without_a_lab_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"lab\.yaml: no such file"):
        read_lab(tmp_path)
    with pytest.raises(LabError, match="has no lab in it"):
        all_labs(tmp_path)


def test_a_lab_is_found_by_number_by_name_and_by_directory(tmp_path: Path) -> None:
    own = written(tmp_path / "mine")

    assert find_lab("7", tmp_path).name == "mine"
    assert find_lab("mine", tmp_path).name == "mine"
    assert find_lab(f"{own}/").directory == own
    with pytest.raises(NotFoundError, match="no lab 8; there are: 7 mine"):
        find_lab("8", tmp_path)


def test_there_are_at_least_eight_labs_and_they_have_an_order() -> None:
    assert len(LABS) >= 8
    assert [lab.number for lab in LABS] == list(range(1, len(LABS) + 1))
    assert next_lab(LABS[0]) == LABS[1]
    assert next_lab(LABS[-1]) is None


def test_the_last_two_labs_break_the_cluster_before_the_student_comes() -> None:
    for lab in LABS[-2:]:
        assert any(isinstance(step, Inject) for step in lab.tasks[0].begin)


@pytest.mark.parametrize("lab", LABS, ids=ids)
def test_the_cluster_of_a_lab_is_one_that_nobody_is_warned_of(lab: Lab) -> None:
    assert load(lab.topology).warnings == ()


@pytest.mark.parametrize("lab", LABS, ids=ids)
def test_every_lab_names_in_its_background_each_table_that_it_is_about(
    lab: Lab,
) -> None:
    for table in lab.tables:
        assert str(table) in lab.background


def pages(lab: Lab, number: int) -> list[str]:
    hints = range(len(lab.tasks[number].hints))
    return [
        lab_page(lab),
        task_page(lab, number),
        *(hint_page(lab, number, place) for place in hints),
        end_page(lab, next_lab(lab)),
        "\n".join(task_lines(lab, Progress.at_the_start(lab))),
    ]


@pytest.mark.parametrize("task", TASKS, ids=ids)
def test_every_page_fits_in_80_columns_as_it_is_written(task: tuple[Lab, int]) -> None:
    for page in pages(*task):
        assert [line for line in page.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("task", TASKS, ids=ids)
def test_a_terminal_of_80_columns_breaks_no_command_in_two(
    task: tuple[Lab, int],
) -> None:
    for page in pages(*task):
        commands = [line.strip() for line in page.splitlines() if line[:4] == "    "]
        paper = io.StringIO()
        Console(file=paper, width=80).print(Markdown(page))
        printed = [line.strip() for line in paper.getvalue().splitlines()]

        assert set(filter(None, commands)) <= set(printed)
        assert max(map(len, paper.getvalue().splitlines())) <= 80


@pytest.mark.parametrize("task", TASKS, ids=ids)
def test_no_hint_gives_the_solution_away(task: tuple[Lab, int]) -> None:
    lab, number = task
    for step in lab.tasks[number].solution:
        said = " ".join(step.argv) if isinstance(step, Run) else step.command
        for hint in lab.tasks[number].hints:
            assert " ".join(said.split()) not in " ".join(hint.split())


def test_hints_are_told_by_their_place_and_how_many_there_are(lab: Lab) -> None:
    assert hint_page(lab, 1, 1) == "**Hint 2 of 2.** Count."


def test_a_task_is_found_by_its_name_and_by_its_number(lab: Lab) -> None:
    assert lab.task("second") == lab.task("2") == lab.tasks[1]
    for wrong in ("third", "0", "3", "²", "-1"):
        with pytest.raises(NotFoundError, match="there are: first, second"):
            lab.task(wrong)


def test_progress_is_the_same_after_it_was_noted(tmp_path: Path, lab: Lab) -> None:
    progress = Progress.at_the_start(lab).ended(0, State.SHOWN)
    progress = progress.with_task(1, hints=2, checks=3)

    progress.save(tmp_path / "note")

    assert load_progress(tmp_path / "note", "default") == progress
    assert (progress.current, progress.done) == (1, 1)


def test_nothing_is_open_when_all_is_done(lab: Lab) -> None:
    progress = Progress.at_the_start(lab).ended(0, State.SOLVED).ended(1, State.SOLVED)

    assert progress.current is None


def test_going_back_opens_tasks_and_forgets_no_hint(lab: Lab) -> None:
    progress = Progress.at_the_start(lab).with_task(1, hints=2)
    progress = progress.ended(0, State.SOLVED).ended(1, State.SOLVED)

    back = progress.back_at(1)

    assert back.current == 1
    assert back.tasks[0] == progress.tasks[0]
    assert (back.tasks[1].hints, back.tasks[1].ended) == (2, "")


@pytest.mark.parametrize(
    "noted",
    [
        "",
        "[]",
        "{}",
        '{"directory": "/", "started": "", "tasks": [{"name": "x", "checks": "y"}]}',
    ],
)
def test_a_note_that_is_none_is_told(tmp_path: Path, noted: str) -> None:
    (tmp_path / "note").write_text(noted)

    with pytest.raises(LabError, match="note: is no note of a lab's progress"):
        load_progress(tmp_path / "note", "default")


def test_where_no_lab_runs_it_is_said_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="type: testbed lab start 1"):
        load_progress(tmp_path / "none", "default")


def finding(*, passed: bool | None) -> Finding:
    return Finding(passed=passed, text="seen")


def test_all_must_be_as_it_should_and_doubt_is_no_failure() -> None:
    good, bad, unknown = (finding(passed=value) for value in (True, False, None))

    assert passed([good, good]) is True
    assert passed([good, bad, unknown]) is False
    assert passed([good, unknown]) is None
    assert passed([]) is False, "who has looked at nothing has found nothing right"


def exam(answer: str) -> Exam:
    """For what is judged without a cluster."""
    return Exam(cast("LiveCluster", None), answer)


@pytest.mark.parametrize("answer", ["12", "0xc", " 0XC ", "port 12", "012"])
def test_a_number_may_be_typed_in_any_way(answer: str) -> None:
    judged = exam(answer)
    judged.is_number(12)

    assert passed(judged.findings)


@pytest.mark.parametrize("answer", ["", "1", "120", "12 7", "twelve", "-"])
def test_another_number_is_wrong_and_the_right_one_is_not_told(answer: str) -> None:
    judged = exam(answer)
    judged.is_number(12)

    assert passed(judged.findings) is False
    assert judged.findings[0].text.endswith(": is not what the cluster says")


def test_numbers_must_be_in_order() -> None:
    right, wrong = exam("0, 20 → 30"), exam("0 30 20")
    for judged in (right, wrong):
        judged.are_numbers([0, 20, 30])

    assert (passed(right.findings), passed(wrong.findings)) == (True, False)


def test_a_word_may_be_any_of_several_in_whatever_case() -> None:
    judged = exam("OC-02")
    judged.is_word("oc-02.test", "oc-02")

    assert passed(judged.findings)


def bench() -> Bench:
    class _Nothing:
        """A cluster that is not there."""

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever is asked
            return self

        def __call__(self, *_: object, **__: object) -> tuple[()]:
            return ()

    return Bench(cast("LiveCluster", _Nothing()))


def judged_by(tmp_path: Path, checks: str) -> list[Finding]:
    lab = read_lab(written(tmp_path / "mine", checks=checks))
    return bench().examine(lab, lab.tasks[1], "1450")


def test_a_check_of_ones_own_judges(tmp_path: Path) -> None:
    assert passed(judged_by(tmp_path, CHECKS))


def test_a_claim_that_fails_in_a_check_is_a_finding(tmp_path: Path) -> None:
    (found,) = judged_by(tmp_path, "def second(exam):\n    assert 0, 'lost\\nmore'\n")

    assert found == Finding(passed=False, text="lost")


def test_what_a_student_has_deleted_is_a_finding_too(tmp_path: Path) -> None:
    checks = (
        "from testbed.errors import NotFoundError\n"
        "def second(exam):\n    raise NotFoundError('no pod lab/web')\n"
    )

    assert judged_by(tmp_path, checks) == [Finding(passed=False, text="no pod lab/web")]


def test_a_port_that_a_student_has_taken_is_no_failure(tmp_path: Path) -> None:
    (found,) = judged_by(
        tmp_path, "def second(exam):\n    raise OSError(98, 'taken')\n"
    )

    assert found.passed is None
    assert "taken" in found.text


def test_a_check_that_is_broken_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"checks\.py:2: second: ZeroDivisionError"):
        judged_by(tmp_path, "def second(exam):\n    1 / 0\n")


def test_the_answer_is_what_the_last_step_found(lab: Lab) -> None:
    done = bench().perform([Answer(text="1"), Answer(text="2")])

    assert answer_of(done) == "2"
    assert answer_of([]) == ""
    assert lab.tasks[1].solution


def test_what_no_flow_or_object_undoes_takes_a_new_cluster(lab: Lab) -> None:
    objects, flows = lab.tasks[0].wrong[0].steps, lab.tasks[0].solution
    looks = lab.tasks[1].solution
    rules = (Run(where="oc-01", argv=("iptables", "-F")),)
    kernel = (Run(where="oc-01", argv=("sysctl", "-w", "net.ipv4.ip_forward=0")),)

    for steps in (objects, flows, rules, looks, (*objects, *flows)):
        assert Wrong(why="x", steps=steps).is_undone_by_programming
    assert not Wrong(why="x", steps=(*objects, *kernel)).is_undone_by_programming


def test_the_shipped_labs_are_where_the_testbed_looks() -> None:
    assert shipped() == Path(__file__).parents[2] / "scenarios" / "labs"
