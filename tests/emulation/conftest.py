"""A machine of its own to run the testbed on, where nothing else happens.

It is a set of namespaces with addresses, a default gateway, a foreign Open vSwitch,
and interfaces and network namespaces that bear the names of ours. So what a command
leaves behind, changes or harms shows as a difference, and to the last process.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testbed.emulation import sandbox
from testbed.errors import DeadlineError
from testbed.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TIMEOUT = 60.0
ADDRESS = "192.0.2.10"
"""The machine's own; its gateway is .1."""

BIRTH = Path(__file__).with_name("birth.py")

LOOKS = {
    "links": "ip -details -oneline link | sed 's/ promiscuity.*//'",
    "addresses": "ip -oneline address",
    "routes": "ip route show table all; ip rule",
    "neighbours": "ip neigh show nud permanent",
    "namespaces": "ip netns list",
    "rules": "iptables-save | grep -v '^#'",
    "switch": "ovs-vsctl --timeout=5 show && ovs-ofctl dump-flows br0 "
    "| sed 's/duration.*table/table/; s/idle_age=[0-9]*,//'",
    "files": "find /run /srv -xdev ! -path '/run/etc/*' "
    "! -path '*/pytest-of-*' ! -path '/srv/home/*' | sort",
    # Others' namespaces may go meanwhile; those here have a file in /run/netns, too.
    "mounts": "grep -E ' /((run|srv|etc|sys|proc|dev)[^ ]*)? ' /proc/mounts "
    "| grep -v ^nsfs",
}
"""What a machine is looked at for."""


class Host:
    """A machine of its own, with the processes that a test starts on it.

    Attributes:
        pid: its first process.
        srv: its /srv, the only place where something may come to be.
    """

    def __init__(self, first: subprocess.Popen[str]) -> None:
        self._first = first
        children = Path(f"/proc/{first.pid}/task/{first.pid}/children")
        self.pid = pid = int(children.read_text())
        self.srv = Path(f"/proc/{pid}/root/srv")
        self.environment = {
            **os.environ,
            "TESTBED_STATE_DIR": "/srv/state",
            "TMPDIR": "/srv/tmp",
            "HOME": "/srv/home",
            "OVS_RUNDIR": "/run/openvswitch",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def start(
        self,
        *command: str,
        terminal: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a command on it; signals for the process reach the command."""
        ctty = ("setsid", "--ctty", "--wait") if terminal is not None else ()
        return subprocess.Popen(
            [*ctty, *sandbox.enter_argv(self.pid), *command],
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL if terminal is None else terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(
        self, *command: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on it to its end."""
        with self.start(*command, environment=environment) as process:
            out, err = process.communicate(timeout=TIMEOUT)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def testbed(
        self, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the testbed to its end."""
        return self(sys.executable, "-m", "testbed", *arguments, **environment)

    def starts_testbed(
        self, *arguments: str, terminal: int | None = None
    ) -> subprocess.Popen[str]:
        """Start a command of the testbed."""
        program = (sys.executable, "-m", "testbed")
        return self.start(*program, *arguments, terminal=terminal)

    def as_root(self, script: str) -> str:
        """Run a script with all rights on it and return all that it wrote."""
        assert self._first.stdin
        assert self._first.stdout
        self._first.stdin.write(f"{json.dumps(script)}\n")
        self._first.stdin.flush()
        written: str = json.loads(self._first.stdout.readline())
        return written

    def processes(self) -> dict[int, str]:
        """Every process on it, by its number there: its command line."""
        found = {}
        for path in (self.srv.parent / "proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended
                command = (path / "cmdline").read_bytes().rstrip(b"\0")
                found[int(path.name)] = command.replace(b"\0", b" ").decode()
        return found

    def process(self, words: str, *, without: str = "nsenter") -> int:
        """Wait for a process with these words on its command line, and no others."""

        def those() -> list[int]:
            return [
                pid
                for pid, command in self.processes().items()
                if words in command and without not in command
            ]

        wait_until(lambda: bool(those()), timeout=60, what=f"{words} runs")
        return min(those())

    def waits_until_gone(self, pid: int) -> None:
        """Return when a process has ended and been buried."""
        wait_until(
            lambda: pid not in self.processes(), timeout=60, what=f"{pid} is gone"
        )

    def kill(self, number: str, pid: int) -> None:
        """Send a signal to a process by its number there."""
        assert self.as_root(f"kill -{number} {pid}") == ""

    def footprint(self) -> dict[str, list[str]]:
        """All there is on it: whatever a command could leave, change or harm."""
        script = "\n".join(f"echo '=={name}'\n{look}" for name, look in LOOKS.items())
        sections = self.as_root(script).split("==")[1:]
        found = {name: lines for name, *lines in map(str.splitlines, sections)}
        return found | {"processes": self._commands()}

    def _commands(self) -> list[str]:
        return [f"{pid} {command}" for pid, command in sorted(self.processes().items())]

    @contextlib.contextmanager
    def untouched(self) -> Iterator[None]:
        """It is after the ``with`` block as before, once the dead are buried."""
        before = self.footprint()
        yield
        with contextlib.suppress(DeadlineError):
            wait_until(
                lambda: self._commands() == before["processes"],
                timeout=60,
                what="nothing is left running",
            )
        after = self.footprint()
        for what, lines in before.items():
            assert after[what] == lines, what


@contextlib.contextmanager
def born(**options: Any) -> Iterator[Host]:  # noqa: ANN401 - what BIRTH knows
    """A machine until the ``with`` block ends.

    Args:
        options: ``small``, bytes of a file system at /srv/small; ``emptied``,
            directories with nothing in them; ``covered``, programs that are none;
            ``sysctls``, those of its user namespace; ``readonly``, whether all but
            /run, /srv and /etc is.
    """
    user = ["--user", "--map-current-user", "--keep-caps"] if os.geteuid() else []
    namespaces = ["--net", "--mount", "--pid", "--ipc", "--uts", "--mount-proc"]
    birth = [sys.executable, str(BIRTH), json.dumps(options)]
    with subprocess.Popen(
        ["unshare", *user, *namespaces, "--fork", "--kill-child", *birth],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "\n", "the machine was not born"
        yield Host(process)
        process.kill()


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with born() as host:
        yield host


@pytest.fixture
def born_with() -> Callable[..., contextlib.AbstractContextManager[Host]]:
    """A machine that differs from the others."""
    return born
