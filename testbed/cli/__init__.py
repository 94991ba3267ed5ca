"""The command line: data to stdout, talk to stderr, 0 agreed, 1 disagreed, 2 could not.

Every module here imports at its top only what all commands need; the rest is imported
by the command that needs it, so that ``testbed down`` does not wait for Mininet.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

COULD_NOT = 2
"""The exit status of a command that could not run."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command line (by default this process's) and exit with its status."""
    from testbed.cli.app import app
    from testbed.errors import SDNError

    try:
        app(arguments)
    except SDNError as error:
        sys.exit(explain(error))
    sys.exit(0)


def explain(error: Exception) -> int:
    """Say what kept a command from running, and return the exit status for it."""
    print(error, file=sys.stderr)  # noqa: T201 - this is the place for talk
    return COULD_NOT
