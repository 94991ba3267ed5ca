"""Who is in a class, where their testbeds are, and how many fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.cli import main
from testbed.errors import EmulationError, LabError, NotFoundError
from testbed.labs.accounts import MOST, check_account, numbered, read_accounts
from testbed.labs.classroom import Classroom, memory_available, memory_needed
from testbed.labs.shelf import all_labs
from testbed.topology import load

if TYPE_CHECKING:
    from collections.abc import Sequence

HOSTILE = [
    "../../etc",
    "anna/..",
    "-rf",
    ".hidden",
    "a b",
    "$(reboot)",
    "a;b",
    "ä",
    "x" * 32,
    "anna\x00",
]


def listed(directory: Path, text: str) -> tuple[str, ...]:
    path = directory / "accounts.csv"
    path.write_text(text)
    return read_accounts(path)


@pytest.mark.parametrize(
    ("text", "accounts"),
    [
        ("anna\nben\n", ("anna", "ben")),
        ("account,group\nanna,a\nben,b\n", ("anna", "ben")),
        ("Name;x\n", None),
        ("group,login\na,anna\nb,ben\n", ("anna", "ben")),
        ("\ufeffaccount\r\nanna\r\n\r\n# gone: carl\r\nben\r\n", ("anna", "ben")),
        ('"anna","Anna A., of B"\n', ("anna",)),
    ],
)
def test_a_list_is_read_as_teachers_have_it(
    tmp_path: Path, text: str, accounts: tuple[str, ...] | None
) -> None:
    if accounts is None:
        with pytest.raises(LabError, match=r"accounts\.csv:1: 'Name;x' is no name"):
            listed(tmp_path, text)
    else:
        assert listed(tmp_path, text) == accounts


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_name_never_becomes_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(LabError, match=r"is no name|holds the character"):
        check_account(name)
    if name.isprintable():
        with pytest.raises(LabError, match=r"accounts\.csv:2: .* is no name"):
            listed(tmp_path, f"anna\n{name}\n")


def test_two_of_one_name_are_told_with_both_lines(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"csv:3: Anna is there twice; first in line 1"):
        listed(tmp_path, "anna\nben\nAnna\n")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no accounts"),
        ("account\n", "holds no accounts"),
        ("\n".join(numbered(MOST + 1)), f"holds more than {MOST} accounts"),
    ],
)
def test_a_list_of_nobody_and_one_of_too_many_are_refused(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(LabError, match=problem):
        listed(tmp_path, text)


def test_a_list_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"none\.csv: no such file"):
        read_accounts(tmp_path / "none.csv")


def test_students_without_names_are_numbered_so_that_they_sort() -> None:
    assert numbered(2) == ("student-01", "student-02")
    assert list(numbered(120)) == sorted(numbered(120))


@pytest.fixture
def room(tmp_path: Path) -> Classroom:
    return Classroom(tmp_path / "classes" / "b12")


def test_who_comes_late_is_added_and_nobody_twice(room: Classroom) -> None:
    room.enrol(["anna", "ben"])

    assert room.enrol(["ben", "carl"]) == ("anna", "ben", "carl")
    assert room.accounts() == ("anna", "ben", "carl")


def test_every_student_has_a_state_directory_of_their_own(room: Classroom) -> None:
    room.enrol(["anna", "ben"])

    directories = [
        room.environment(account)["TESTBED_STATE_DIR"] for account in ("anna", "ben")
    ]

    assert len(set(directories)) == 2
    assert all(
        Path(directory).is_relative_to(room.directory) for directory in directories
    )


def test_nobody_is_somebody_who_is_not_in_the_class(room: Classroom) -> None:
    room.enrol(["anna"])

    with pytest.raises(NotFoundError, match=r"called \.\./anna; there are: anna"):
        room.environment("../anna")


def test_who_has_no_testbed_is_shown_without(room: Classroom) -> None:
    room.enrol(["anna"])

    (student,) = room.students()

    assert (student.account, student.runs, student.lab) == ("anna", False, "")


def test_a_class_that_others_may_write_to_is_refused(room: Classroom) -> None:
    room.directory.mkdir(parents=True)
    room.directory.chmod(0o777)

    with pytest.raises(EmulationError, match="others may write to"):
        room.enrol(["anna"])


@pytest.mark.parametrize("noted", ["", "[]", "{}", "{"])
def test_a_class_whose_note_is_none_is_told(room: Classroom, noted: str) -> None:
    room.enrol(["anna"])
    (room.directory / "class.json").write_text(noted)

    with pytest.raises(LabError, match=r"class\.json: is no class"):
        room.accounts()


def test_a_class_that_is_over_is_gone(room: Classroom) -> None:
    room.enrol(["anna"])

    assert list(room.stop()) == []
    with pytest.raises(NotFoundError, match="there is no class b12"):
        room.accounts()


def test_more_nodes_need_more_memory() -> None:
    one, *_, three = sorted(
        (load(lab.topology).cluster for lab in all_labs()),
        key=lambda cluster: len(cluster.nodes),
    )

    assert 0 < memory_needed(one) < memory_needed(three)


def test_what_is_available_is_read_in_bytes(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  9 kB\nMemAvailable:   2 kB\n")

    assert memory_available(meminfo) == 2048


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "state"
    monkeypatch.setenv("TESTBED_STATE_DIR", str(directory))
    return directory


def ended(arguments: Sequence[str]) -> int:
    with pytest.raises(SystemExit) as end:
        main(["lab", "class", *arguments])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_a_class_that_does_not_fit_is_not_begun(
    state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("testbed.labs.classroom.memory_available", lambda: 1 << 28)

    assert ended(["start", "vxlan", "-n", "30"]) == 2
    said = capsys.readouterr().err
    assert "30 sandboxes of lab vxlan take about" in said
    assert "256 MiB are available: room for" in said
    assert not list(state.glob("classes/class/students/*"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["start", "1"],
        ["start", "1", "-n", "2", "--accounts", "x.csv"],
        ["start", "1", "-n", "2", "--class", "../x"],
        ["start", "99", "-n", "2"],
        ["status"],
        ["enter", "anna"],
        ["stop"],
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_left(
    state: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert ended(arguments) == 2
    said = capsys.readouterr().err
    assert said
    assert "Traceback" not in said
    assert not list(state.glob("classes/*/class.json"))


def test_the_status_of_a_class_is_a_table_and_json(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Classroom(state / "classes" / "class").enrol(["anna", "ben"])

    assert ended(["status"]) == 0
    table = capsys.readouterr().out
    assert table.splitlines()[0].split()[:2] == ["ACCOUNT", "LAB"]
    assert "anna     (no testbed)" in table
    assert ended(["status", "--json"]) == 0
    students = json.loads(capsys.readouterr().out)
    assert [student["account"] for student in students] == ["anna", "ben"]
