"""Running programs: one way to run and refuse, one way to wait for a condition.

And one way to write a file that others may read meanwhile.
"""

from __future__ import annotations

import logging
import subprocess
import time
from typing import TYPE_CHECKING

from testbed.errors import CommandError, DeadlineError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

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
    except FileNotFoundError as error:
        raise CommandError(argv, 127, "not installed; type: testbed doctor") from error
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr or done.stdout)
    return done.stdout


def wait_until(condition: Callable[[], bool], *, timeout: float, what: str) -> None:
    """Return as soon as ``condition()`` is true.

    The condition is something outside this process, so it is polled, every
    millisecond.

    Raises:
        DeadlineError: it was still false after ``timeout`` seconds.
    """
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
