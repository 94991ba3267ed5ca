"""Running programs: one way to run and refuse, one way to wait for a condition.

And one way to write a file that others may read meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.errors import CommandError, DeadlineError
from testbed.patience import patience

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_log = logging.getLogger(__name__)
_POLL_INTERVAL = 0.001
_TIMEOUT = 60.0
"""Seconds; more than any program here takes for the largest of clusters."""


def run(argv: Sequence[str], *, stdin: str = "", timeout: float = _TIMEOUT) -> str:
    """Run a program to its end and return what it wrote to stdout.

    Raises:
        CommandError: it is not installed, or exited with an error.
        DeadlineError: it had not ended after ``timeout`` seconds, and was killed.
    """
    _log.debug("run %s", argv)
    timeout = patience(timeout)
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        raise DeadlineError(
            f"waited {timeout:g} s in vain for {' '.join(argv)} to end"
        ) from error
    except (FileNotFoundError, PermissionError) as error:
        # Permission, too: where this user may not look into a directory of PATH.
        raise CommandError(argv, 127, "not installed; type: testbed doctor") from error
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr or done.stdout)
    return done.stdout


def spawn(
    argv: Sequence[str],
    *,
    output: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> int:
    """Start a program that outlives this process, and return its process id.

    Not by ``subprocess``: a Popen that goes out of scope warns that its child runs.

    Args:
        argv: the program and its arguments.
        output: the file that takes what it writes; nowhere if there is none.
        environment: its environment.

    Raises:
        CommandError: it is not installed.
    """
    null = os.open(os.devnull, os.O_RDWR)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    written = os.open(output, flags, 0o644) if output else null
    try:
        return os.posix_spawnp(
            argv[0],
            list(argv),
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, null, 0),
                (os.POSIX_SPAWN_DUP2, written, 1),
                (os.POSIX_SPAWN_DUP2, written, 2),
            ],
            setsid=True,
        )
    except (FileNotFoundError, PermissionError) as error:
        # Permission, too: where this user may not look into a directory of PATH.
        raise CommandError(argv, 127, "not installed; type: testbed doctor") from error
    finally:
        for descriptor in {null, written}:
            os.close(descriptor)


def end(pid: int, *, timeout: float = _TIMEOUT) -> None:
    """Kill a process, whoever's child it is, and return when it is gone.

    Raises:
        DeadlineError: it was still there after ``timeout`` seconds.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)

    def is_gone() -> bool:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # another's child is buried by PID 1
        return not runs(pid)

    wait_until(is_gone, timeout=timeout, what=f"process {pid} is gone")


def runs(pid: int, program: str = "") -> bool:
    """Whether a process is alive, and has this word on its command line."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX" and program.encode() in command


def wait_until(condition: Callable[[], bool], *, timeout: float, what: str) -> None:
    """Return as soon as ``condition()`` is true.

    The condition is something outside this process, so it is polled, every
    millisecond.

    Raises:
        DeadlineError: it was still false after ``timeout`` seconds.
    """
    timeout = patience(timeout)
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise DeadlineError(f"waited {timeout:g} s in vain until {what}")
        time.sleep(_POLL_INTERVAL)


def write_whole(path: Path, text: str) -> None:
    """Write a file so that others read all of it or what it was before.

    Raises:
        OSError: it cannot be written, and is what it was before.
    """
    unfinished = path.with_name(f"{path.name}.new")
    try:
        unfinished.write_text(text)
        unfinished.rename(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
