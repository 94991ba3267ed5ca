"""Daemons that died: how, and what they had logged."""

from __future__ import annotations

import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from testbed.ovs.postmortem import dead_daemons
from testbed.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINES = [f"line {number}" for number in range(100)]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process named as ovs-vswitchd, with its pid file and log."""
    program = tmp_path / "ovs-vswitchd"
    shutil.copy("/bin/sh", program)
    with subprocess.Popen([program, "-c", "read nothing"], stdin=-1) as process:
        (tmp_path / "ovs-vswitchd.pid").write_text(f"{process.pid}\n")
        (tmp_path / "ovs-vswitchd.log").write_text("\n".join(LINES))
        yield process
        process.kill()


def test_a_daemon_that_runs_is_not_dead(
    tmp_path: Path, daemon: subprocess.Popen[bytes]
) -> None:
    assert daemon.pid
    assert list(dead_daemons(tmp_path)) == []


def test_a_daemon_that_never_ran_is_not_dead(tmp_path: Path) -> None:
    assert list(dead_daemons(tmp_path)) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_a_killed_daemon_is_told_by_the_signal_and_its_last_lines(
    tmp_path: Path, daemon: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    daemon.send_signal(number)
    wait_until(lambda: any(dead_daemons(tmp_path)), timeout=5, what="it is dead")

    (dead,) = dead_daemons(tmp_path)
    assert dead.program == "ovs-vswitchd"
    assert dead.end == f"killed by {number.name}"
    assert dead.last_lines == tuple(LINES[-12:])


def test_a_daemon_that_gave_up_is_told_by_its_status(
    tmp_path: Path, daemon: subprocess.Popen[bytes]
) -> None:
    assert daemon.stdin
    daemon.stdin.close()  # read fails, and with it the shell
    wait_until(lambda: any(dead_daemons(tmp_path)), timeout=5, what="it is dead")

    (dead,) = dead_daemons(tmp_path)
    assert dead.end == "exited with status 1"


def test_a_daemon_that_is_buried_is_dead_all_the_same(
    tmp_path: Path, daemon: subprocess.Popen[bytes]
) -> None:
    daemon.kill()
    daemon.wait()
    (tmp_path / "ovs-vswitchd.log").unlink()

    (dead,) = dead_daemons(tmp_path)
    assert dead.end == "ended"
    assert dead.last_lines == ()


def test_a_pid_that_is_anothers_now_is_no_daemon(tmp_path: Path) -> None:
    (tmp_path / "ovsdb-server.pid").write_text("1")

    (dead,) = dead_daemons(tmp_path)
    assert dead.end == "ended, and its pid is another's now"
