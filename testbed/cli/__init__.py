"""The command line: data to stdout, talk to stderr, 0 agreed, 1 disagreed, 2 could not.

Every module here imports at its top only what all commands need; the rest is imported
by the command that needs it, so that ``testbed down`` does not wait for Mininet.
"""

from __future__ import annotations

import contextlib
import errno
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COULD_NOT = 2
"""The exit status of a command that could not run."""

HALFWAY = (
    "the testbed is neither what it was nor what it was to be; "
    "take it down and build it anew"
)
"""What is to be said of a change that failed after it had begun."""

_SHORTAGES = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EAGAIN,
}
"""What a machine may run out of; every other ``OSError`` is a mistake of ours."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command line (by default this process's) and exit with its status."""
    from testbed.cli.app import app

    with explained():
        app(arguments)
    sys.exit(0)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """End this process with one line for what keeps a command from running."""
    from testbed.errors import EmulationError, SDNError

    try:
        yield
    except SDNError as error:
        sys.exit(explain(error))
    except OSError as error:
        if error.errno not in _SHORTAGES:
            raise
        where = error.filename or "while writing"
        said = (error.strerror or str(error)).lower()
        sys.exit(explain(EmulationError(f"{where}: {said}")))


def explain(error: Exception) -> int:
    """Say what kept a command from running, and return the exit status for it."""
    print(error, file=sys.stderr)  # noqa: T201 - this is the place for talk
    return COULD_NOT
