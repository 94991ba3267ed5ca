"""A user of the testbed with a home and a state directory of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from testbed.process import wait_until

_TIMEOUT = 600.0


class Shell:
    """Runs commands in a directory, each a process; a testbed's, if it is called.

    Args:
        home: where commands run; made if it is not there.

    Attributes:
        home: the same.
        state: where its testbeds are noted, and nobody else's.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.state = home / "state"

    @property
    def environment(self) -> dict[str, str]:
        """What commands are started with; it tells them from all others."""
        return {**os.environ, "TESTBED_STATE_DIR": str(self.state)}

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        return subprocess.run(
            argv,
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command of the testbed."""
        return subprocess.Popen(
            [sys.executable, "-m", "testbed", *arguments],
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python to its end."""
        return self.run(sys.executable, *arguments)

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the testbed to its end."""
        return self.python("-m", "testbed", *arguments)

    def pytest(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run pytest to its end."""
        return self.python("-m", "pytest", "-p", "no:cacheprovider", *arguments)

    def json(self, *arguments: str) -> Any:  # noqa: ANN401 - JSON
        """What a command of the testbed tells scripts."""
        return json.loads(self(*arguments, "--json").stdout)

    def processes(self) -> list[str]:
        """Everything that descends from this user's commands and still lives."""
        mark = f"TESTBED_STATE_DIR={self.state}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment = (process / "environ").read_bytes().split(b"\0")
                # A student's of a class is inside it.
                if any(v == mark or v.startswith(mark + b"/") for v in environment):
                    found.append((process / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue  # it has ended, or is not ours
        return found

    def wait_for_the_end(self) -> None:
        """Return when nothing of it is left running."""
        wait_until(
            lambda: not self.processes(), timeout=60, what="nothing is left running"
        )
