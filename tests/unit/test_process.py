"""Programs that outlive who starts them, and how they are ended."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from testbed.errors import CommandError
from testbed.process import end, runs, spawn, wait_until

if TYPE_CHECKING:
    from pathlib import Path


def test_a_program_runs_until_it_is_ended() -> None:
    pid = spawn(["sleep", "600"])
    wait_until(lambda: runs(pid, "600"), timeout=20, what="sleep runs")

    end(pid)

    assert not runs(pid)


def test_another_program_of_that_number_is_not_meant() -> None:
    assert runs(os.getpid())
    assert not runs(os.getpid(), "no such word on its command line")


def test_what_a_program_writes_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"

    pid = spawn(["echo", "here"], output=log)

    wait_until(lambda: log.read_text() == "here\n", timeout=20, what="echo writes")
    end(pid)


def test_one_that_is_not_installed_is_told() -> None:
    with pytest.raises(CommandError, match="not installed"):
        spawn(["no-such-program"])
