"""What goes into the machine of ``./run vm``, and what is let out of it."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from vm.__main__ import job, parser
from vm.checkout import Job, files, pack, unpack
from vm.errors import MachineError

if TYPE_CHECKING:
    from pathlib import Path

JOB = Job(argv=["true"], environment={}, fetch=["captures"])


def packed(checkout: Path, task: Job = JOB) -> tarfile.TarFile:
    disk = io.BytesIO()
    pack(checkout, task, disk)
    disk.seek(0)
    return tarfile.open(fileobj=disk)


def content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file
    return file.read()


def results(*members: tuple[str, bytes]) -> io.BytesIO:
    """The disk that a machine gives back: an archive, then what a disk has after it."""
    disk = io.BytesIO()
    with tarfile.open(fileobj=disk, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return io.BytesIO(disk.getvalue() + bytes(10240))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with a committed file, a changed one, a new one, and an ignored one."""
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / ".gitignore").write_text("captures/\n")
    (clone / "committed").write_text("old")
    (clone / "removed").write_text("")
    git = ["git", "-C", str(clone), "-c", "user.name=x", "-c", "user.email=x@test"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *arguments], check=True)
    (clone / "committed").write_text("changed")
    (clone / "removed").unlink()
    (clone / "new file").write_text("new")
    (clone / "captures").mkdir()
    (clone / "captures" / "x.pcapng").write_text("")
    return clone


def test_the_working_tree_goes_in_as_it_is(clone: Path) -> None:
    archive = packed(clone)

    assert archive.extractfile("checkout/committed").read() == b"changed"  # type: ignore[union-attr]
    assert archive.extractfile("checkout/new file").read() == b"new"  # type: ignore[union-attr]


def test_what_git_ignores_or_no_longer_has_stays_outside(clone: Path) -> None:
    names = {path.name for path in files(clone)}

    assert names == {".gitignore", "committed", "new file"}


def test_without_git_caches_environments_and_results_stay_outside(
    tmp_path: Path,
) -> None:
    wanted = ["run", "testbed/report/page.py"]
    others = [".venv/bin/python", "a/__pycache__/x.pyc", ".mypy_cache/x", "report/x"]
    for name in wanted + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert files(tmp_path) == [tmp_path / name for name in wanted]


def test_everything_in_the_machine_belongs_to_its_ordinary_user(clone: Path) -> None:
    (clone / "folder").mkdir()
    (clone / "folder" / "file").touch()

    owners = {member.name: member.uid for member in packed(clone)}

    assert owners["checkout"] == owners["checkout/folder"] == 1000
    assert set(owners.values()) == {1000}


def test_a_command_reaches_the_machine_word_for_word(tmp_path: Path) -> None:
    words = ["pytest", "-k", "udp and not 'x'", "", "$(reboot)\n;", "ü"]
    task = Job(argv=words, environment={"TERM": "a b"}, fetch=[])

    archive = packed(tmp_path, task)

    argv = content(archive, "job/argv")
    assert argv.decode().split("\0") == [*words, ""]
    environment = content(archive, "job/environment")
    assert environment == b"TERM=a b\0"


def test_a_bash_reads_the_same_words(tmp_path: Path) -> None:
    words = ["a b", "", "$(reboot)\n;", "'"]
    archive = packed(tmp_path, Job(argv=words, environment={}, fetch=[]))
    (tmp_path / "argv").write_bytes(content(archive, "job/argv"))

    script = 'mapfile -d "" -t argv <"$1"; printf "<%s>" "${argv[@]}"'
    shown = subprocess.run(
        ["bash", "-c", script, "_", str(tmp_path / "argv")],
        capture_output=True,
        text=True,
        check=True,
    )

    assert shown.stdout == "".join(f"<{word}>" for word in words)


@pytest.mark.parametrize("status", [0, 1, 5, 137])
def test_the_commands_exit_status_comes_back(tmp_path: Path, status: int) -> None:
    disk = results(("status", f"{status}\n".encode()))

    assert unpack(disk, tmp_path) == status


@pytest.mark.parametrize("disk", [b"", bytes(1 << 20), b"half a sentence" * 100])
def test_a_machine_that_wrote_no_status_has_none(tmp_path: Path, disk: bytes) -> None:
    assert unpack(io.BytesIO(disk), tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_results_come_back_and_replace_older_ones(tmp_path: Path) -> None:
    (tmp_path / "captures").mkdir()
    (tmp_path / "captures" / "a.pcapng").write_bytes(b"old")

    unpack(
        results(("status", b"1\n"), ("captures/a.pcapng", b"new"), ("report/x/y", b"")),
        tmp_path,
    )

    assert (tmp_path / "captures" / "a.pcapng").read_bytes() == b"new"
    assert (tmp_path / "report" / "x" / "y").is_file()


@pytest.mark.parametrize("name", ["/etc/passwd", "../passwd", "captures/../../passwd"])
def test_no_result_is_written_outside_the_checkout(tmp_path: Path, name: str) -> None:
    into = tmp_path / "checkout"
    into.mkdir()

    with pytest.raises(MachineError, match="outside the checkout"):
        unpack(results(("status", b"0\n"), (name, b"x")), into)

    assert not (tmp_path / "passwd").exists()


def test_no_result_is_written_through_a_link(tmp_path: Path) -> None:
    into = tmp_path / "checkout"
    into.mkdir()
    (tmp_path / "outside").mkdir()
    (into / "captures").symlink_to(tmp_path / "outside")

    with pytest.raises(MachineError, match="behind a link"):
        unpack(results(("status", b"0\n"), ("captures/x", b"x")), into)

    assert list((tmp_path / "outside").iterdir()) == []


def test_results_cut_short_are_told_apart_from_a_machine_that_died(
    tmp_path: Path,
) -> None:
    whole = results(("status", b"0\n"), ("captures/x", b"x" * 5000)).getvalue()

    with pytest.raises(MachineError, match="cannot be read"):
        unpack(io.BytesIO(whole[:3000]), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "argv"),
    [
        ([], ["pytest", "scenarios/"]),
        (["pytest", "--timeout", "5", "-x"], ["pytest", "--timeout", "5", "-x"]),
        (["--root", "id", "-u"], ["id", "-u"]),
        (["--", "id"], ["id"]),
    ],
)
def test_options_after_the_command_are_the_commands(
    arguments: list[str], argv: list[str]
) -> None:
    assert list(job(parser().parse_args(arguments), {}).argv) == argv


def test_an_ordinary_user_runs_the_command_unless_root_is_asked_for() -> None:
    assert job(parser().parse_args([]), {}).user == "testbed"
    assert job(parser().parse_args(["--root"]), {}).user == "root"


def test_reports_and_captures_come_back_and_what_else_is_asked_for() -> None:
    options = parser().parse_args(["--fetch", "junit.xml", "true"])

    assert list(job(options, {}).fetch) == ["captures", "report", "junit.xml"]


def test_the_machine_sees_no_more_of_the_environment_than_its_terminal() -> None:
    environment = {"TERM": "xterm", "AWS_SECRET": "x", "PATH": os.defpath}

    assert job(parser().parse_args([]), environment).environment == {"TERM": "xterm"}
