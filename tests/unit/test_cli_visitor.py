"""The process that stands for a command inside a sandbox; it works outside, too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.emulation import visitor
from testbed.process import wait_until


def visit(*command: str, directory: str = "/") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(visitor.__file__), directory, *command],
        stdout=subprocess.PIPE,
        text=True,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_it_exits_as_the_command_does() -> None:
    with visit("sh", "-c", "exit 7") as process:
        assert process.wait() == 7


def test_it_dies_of_the_signal_that_killed_the_command() -> None:
    with visit("sh", "-c", "kill -TERM $$") as process:
        assert process.wait() == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_sent_to_it_reaches_the_command(number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    script = f"trap 'exit 9' {name}; echo ready; while :; do sleep 0.01; done"
    with visit("sh", "-c", script) as process:
        assert first_line(process) == "ready"

        process.send_signal(number)

        assert process.wait() == 9


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr/bin:/bin", "/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"),
        ("/usr/sbin:/usr/bin", "/usr/sbin:/usr/bin:/usr/local/sbin:/sbin"),
    ],
)
def test_roots_programs_are_found_last_by_everybody(path: str, expected: str) -> None:
    assert visitor.program_path(path) == expected


def test_a_command_that_is_not_there_is_named() -> None:
    with visit("no-such-program") as process:
        assert process.wait() == 127


def test_the_command_dies_with_it() -> None:
    with visit("sh", "-c", "echo $$; exec sleep 60") as process:
        command = Path(f"/proc/{first_line(process)}")

        process.kill()

        wait_until(lambda: not command.exists(), timeout=5, what="it is gone")


def test_the_command_starts_with_signals_as_any_other_does() -> None:
    with visit("grep", "-E", "Sig(Blk|Ign)", "/proc/self/status") as process:
        text, _ = process.communicate()
    ours = Path("/proc/self/status").read_text()

    masks = dict(line.split(":\t") for line in text.splitlines())
    blocked = next(line for line in ours.splitlines() if line.startswith("SigBlk"))
    assert masks["SigBlk"] == blocked.split(":\t")[1]
    assert not int(masks["SigIgn"], 16) & 1 << signal.SIGPIPE - 1


def test_the_command_runs_in_the_directory(tmp_path: Path) -> None:
    with visit("pwd", directory=str(tmp_path)) as process:
        assert first_line(process) == os.path.realpath(tmp_path)


def test_a_directory_that_is_not_there_is_no_obstacle() -> None:
    with visit("true", directory="/no/such/directory") as process:
        assert process.wait() == 0
