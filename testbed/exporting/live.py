"""A running testbed's machines, asked from outside its sandbox."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from typing import IO, TYPE_CHECKING

from testbed.emulation import sandbox
from testbed.errors import EmulationError
from testbed.exporting.answers import Computed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.emulation.registry import RunningTestbed
    from testbed.model import Cluster

_RUN = frozenset(
    {"brctl", "ip", "iptables-save", "ovs-ofctl", "ovs-vsctl", "sysctl", "tc"}
)
"""What is run. Other programs would tell of the machine that the testbed runs on."""

_TOLD = frozenset({"hostname", "cat /etc/hosts", "cat /etc/resolv.conf"})
"""What all machines have in common with that machine, and is as it should be."""


class Live:
    """What commands print in the machines of a running testbed.

    ``silent`` are the commands that did not end in time, as ``NODE: command``.
    """

    def __init__(self, cluster: Cluster, stdin: IO[str], stdout: IO[str]) -> None:
        self.silent: list[str] = []
        self._computed = Computed(cluster)
        self._stdin = stdin
        self._stdout = stdout

    def node(self, name: str, command: str) -> str | None:
        """What a command prints on a node."""
        if command in _TOLD:
            return self._computed.node(name, command)
        printed = self._ask(name, command)
        if printed and command == "sysctl -a":
            # The rest is the machine's that the testbed runs on.
            lines = printed.splitlines(keepends=True)
            return "".join(line for line in lines if line.startswith("net."))
        return printed

    def pod(self, key: str, command: str) -> str | None:
        """What a command prints in a pod's network namespace."""
        return self._ask(key.replace("/", "_", 1), command)

    def _ask(self, machine: str, command: str) -> str | None:
        if command.partition(" ")[0] not in _RUN:
            return None
        try:
            self._stdin.write(f"{json.dumps([machine, command.split()])}\n")
            self._stdin.flush()
            line = self._stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise EmulationError("the testbed was taken down meanwhile")
        answer = json.loads(line)
        if answer["silent"]:
            self.silent.append(f"{machine}: {command}")
        printed: str | None = answer["printed"]
        return printed


@contextlib.contextmanager
def live(testbed: RunningTestbed, cluster: Cluster) -> Iterator[Live]:
    """Have somebody inside who runs commands, for as long as the block lasts.

    Args:
        testbed: which.
        cluster: what it was built from.
    """
    argv = [
        *sandbox.enter_argv(testbed.pid),
        *(sys.executable, "-m", "testbed.exporting.asked"),
    ]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin  # noqa: S101 - asked for
        assert process.stdout  # noqa: S101 - asked for
        try:
            yield Live(cluster, process.stdin, process.stdout)
        finally:
            with contextlib.suppress(OSError):
                process.stdin.close()
