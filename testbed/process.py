"""Running programs: one way to run and refuse, one way to wait for a condition."""

from __future__ import annotations

import logging
import subprocess
import time
from typing import TYPE_CHECKING

from testbed.errors import CommandError, DeadlineError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_log = logging.getLogger(__name__)
_POLL_INTERVAL = 0.001


def run(argv: Sequence[str], *, stdin: str = "") -> str:
    """Run a program to its end and return what it wrote to stdout.

    Raises:
        CommandError: it is not installed, or exited with an error.
    """
    _log.debug("run %s", argv)
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise CommandError(argv, 127, "not installed") from error
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
