"""The registry: who is in it, who may have which name, and how a testbed ends."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.emulation.registry import (
    Registry,
    RunningTestbed,
    process_start_time,
    state_directory,
)
from testbed.errors import EmulationError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "state")


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "infinity"]) as process:
        yield process
        process.kill()


def held_by(pid: int, name: str = "default") -> RunningTestbed:
    return RunningTestbed(
        name=name,
        pid=pid,
        start_time=process_start_time(pid),
        ready=True,
        datapath="netdev",
        topology="/somewhere/four-node.yaml",
        nodes=4,
        pods=28,
        created="2019-05-04T12:00:00+00:00",
    )


def note(registry: Registry, *testbeds: RunningTestbed) -> None:
    for testbed in testbeds:
        with registry.claim(testbed):
            pass


def test_a_testbed_whose_process_lives_is_running(registry: Registry) -> None:
    testbed = held_by(os.getpid())

    with registry.claim(testbed):
        assert registry.running() == (testbed,)


def test_a_testbed_whose_process_is_gone_leaves_the_registry(
    registry: Registry, process: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    with registry.claim(held_by(process.pid)):
        process.kill()
        process.wait()

        assert registry.running() == ()
        assert list((tmp_path / "state").iterdir()) == []


def test_a_process_that_died_unburied_is_gone(
    registry: Registry, process: subprocess.Popen[bytes]
) -> None:
    with registry.claim(held_by(process.pid)):
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

        assert registry.running() == ()


def test_a_later_process_of_the_same_number_is_not_the_testbed(
    registry: Registry,
) -> None:
    testbed = held_by(os.getpid())

    with registry.claim(replace(testbed, start_time=testbed.start_time - 1)):
        assert registry.running() == ()


def test_a_name_that_runs_is_refused_with_what_to_type(registry: Registry) -> None:
    testbed = held_by(os.getpid(), "mine")

    with (
        registry.claim(testbed),
        pytest.raises(EmulationError, match="type: testbed down mine"),
        registry.claim(testbed),
    ):
        pass

    assert registry.running() == (testbed,)


def test_a_name_that_is_being_built_is_refused(registry: Registry) -> None:
    testbed = replace(held_by(os.getpid()), ready=False)

    with (
        registry.claim(testbed),
        pytest.raises(EmulationError, match=f"built already, by process {os.getpid()}"),
        registry.claim(testbed),
    ):
        pass


def test_a_build_that_fails_gives_its_name_back(registry: Registry) -> None:
    testbed = held_by(os.getpid())

    with pytest.raises(KeyboardInterrupt), registry.claim(testbed):
        raise KeyboardInterrupt

    assert registry.running() == ()


def test_of_those_who_claim_one_name_at_once_one_gets_it(registry: Registry) -> None:
    def claim(_: int) -> bool:
        try:
            with registry.claim(held_by(os.getpid())):
                return True
        except EmulationError:
            return False

    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(claim, range(64)))

    assert claimed.count(True) == 1


@pytest.mark.parametrize(
    "name", ["", "../etc", "a/b", ".hidden", "-x", "a\n", "x" * 64]
)
def test_what_would_be_no_file_name_is_no_name(registry: Registry, name: str) -> None:
    with (
        pytest.raises(EmulationError, match="is no name for a testbed"),
        registry.claim(held_by(os.getpid(), name)),
    ):
        pass


@pytest.mark.parametrize(
    ("running", "asked", "found"),
    [
        (["default", "mine"], None, "default"),
        (["mine"], None, "mine"),
        (["default", "mine"], "mine", "mine"),
    ],
)
def test_without_a_name_default_is_meant_or_the_only_one(
    registry: Registry, running: list[str], asked: str | None, found: str
) -> None:
    note(registry, *(held_by(os.getpid(), name) for name in running))

    assert registry.find(asked).name == found


@pytest.mark.parametrize(
    ("running", "asked", "message"),
    [
        (
            ["mine", "yours"],
            None,
            "several testbeds are running, name one: mine, yours",
        ),
        ([], None, "no testbed is running; type: testbed up"),
        ([], "mine", "no testbed mine is running; type: testbed up"),
        (["yours"], "mine", "no testbed mine is running; there are: yours"),
    ],
)
def test_what_is_not_found_is_told_with_what_there_is(
    registry: Registry, running: list[str], asked: str | None, message: str
) -> None:
    note(registry, *(held_by(os.getpid(), name) for name in running))

    with pytest.raises(NotFoundError, match=message):
        registry.find(asked)


def test_forgetting_a_testbed_spares_the_next_one_of_its_name(
    registry: Registry,
) -> None:
    earlier, later = held_by(1), held_by(os.getpid())
    note(registry, later)

    registry.forget(earlier)

    assert registry.running() == (later,)


def test_ending_a_testbed_kills_its_process(
    registry: Registry, process: subprocess.Popen[bytes]
) -> None:
    testbed = held_by(process.pid)
    note(registry, testbed)

    registry.end(testbed)

    assert not testbed.runs
    assert registry.running() == ()


def test_ending_a_testbed_spares_a_later_process_of_the_same_number(
    registry: Registry, process: subprocess.Popen[bytes]
) -> None:
    testbed = held_by(process.pid)

    registry.end(replace(testbed, start_time=testbed.start_time - 1))

    assert testbed.runs


def test_what_a_testbed_has_become_is_noted(registry: Registry) -> None:
    testbed = held_by(os.getpid())
    grown = replace(testbed, pods=29)

    with registry.claim(testbed):
        registry.update(testbed, grown)

        assert registry.running() == (grown,)


def test_a_testbed_that_was_taken_down_is_not_noted_again(registry: Registry) -> None:
    testbed = held_by(os.getpid())

    with pytest.raises(NotFoundError, match="was taken down meanwhile"):
        registry.update(testbed, replace(testbed, pods=29))

    assert registry.running() == ()


def test_a_change_spares_the_next_testbed_of_its_name(registry: Registry) -> None:
    earlier, later = held_by(1), held_by(os.getpid())
    note(registry, later)

    with pytest.raises(NotFoundError, match="was taken down meanwhile"):
        registry.update(earlier, replace(earlier, pods=29))

    assert registry.running() == (later,)


def test_a_testbed_that_has_changed_since_is_forgotten_all_the_same(
    registry: Registry,
) -> None:
    found = held_by(os.getpid())
    note(registry, replace(found, pods=29))

    registry.forget(found)

    assert registry.running() == ()


@pytest.mark.parametrize("half", ["", '{"name": "def', "\0\0\0"])
def test_half_a_file_is_no_testbed_and_goes(
    registry: Registry, tmp_path: Path, half: str
) -> None:
    (tmp_path / "state" / "default.json").write_text(half)

    assert registry.running() == ()
    assert list((tmp_path / "state").iterdir()) == []


def test_a_file_that_was_never_finished_goes(
    registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "state" / "default.new").write_text("{")

    assert registry.running() == ()
    assert list((tmp_path / "state").iterdir()) == []


def test_a_file_of_another_version_is_named(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "state" / "odd.json"
    path.write_text('{"name": "odd"}')

    with pytest.raises(EmulationError, match=f"type: rm {path}"):
        registry.running()


def test_a_file_that_cannot_be_read_is_named(
    registry: Registry, tmp_path: Path
) -> None:
    path = tmp_path / "state" / "odd.json"
    path.mkdir()  # as little to be read as a file without permissions, by root too

    with pytest.raises(EmulationError, match=f"type: rm -r {path}"):
        registry.running()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(EmulationError, match="not a directory; TESTBED_STATE_DIR"):
        Registry(tmp_path / "file" / "state")


def test_a_directory_that_is_gone_is_named(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "state").rmdir()

    with pytest.raises(EmulationError, match="no such file or directory"):
        registry.running()


def test_the_directory_is_for_its_user_alone(
    registry: Registry, tmp_path: Path
) -> None:
    registry.running()

    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    with pytest.raises(EmulationError, match=f"chmod 700 {tmp_path}"):
        Registry(tmp_path)


def test_a_link_to_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)

    with pytest.raises(EmulationError, match="is not a directory of this user"):
        Registry(tmp_path / "link")


@pytest.mark.parametrize(
    ("environment", "user", "expected"),
    [
        ({"TESTBED_STATE_DIR": "/a", "XDG_RUNTIME_DIR": "/b"}, 0, "/a"),
        ({"XDG_RUNTIME_DIR": "/b"}, 0, "/run/testbed-state"),
        ({"XDG_RUNTIME_DIR": "/b"}, 1000, "/b/testbed"),
        ({}, 1000, "/tmp/testbed-1000"),  # noqa: S108 - it is checked
    ],
)
def test_each_user_has_a_directory(
    environment: dict[str, str],
    user: int,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)

    assert state_directory(environment) == Path(expected)
