"""Servers inside machines, known to serve before anybody asks them."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.errors import EmulationError
from testbed.process import runs, spawn, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbed.emulation.machines import Machine

_TIMEOUT = 60.0
_TCP_LISTEN = "0A"


@contextlib.contextmanager
def serving(
    machine: Machine, command: Sequence[str], *, ports: Sequence[int], udp: bool = True
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the ``with`` block ends, which begins when it listens.

    What it writes goes to a log in the machine's directory.

    Args:
        machine: where it runs.
        command: what runs.
        ports: the TCP ports it is waited for to listen on.
        udp: whether to wait for the same ports on UDP.

    Raises:
        EmulationError: it exited instead; says what it wrote.
        DeadlineError: it does not listen.
    """
    log = machine.directory() / f"{Path(command[0]).name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            machine.argv(*command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(
            lambda: process.poll() is not None or _listens(machine, ports, udp=udp),
            timeout=_TIMEOUT,
            what=f"{command[0]} on {machine.name} listens on {ports}",
        )
        if process.poll() is not None:
            said = log.read_text(errors="replace").strip()
            raise EmulationError(f"{' '.join(command)} on {machine.name}: {said}")
        yield process
    finally:
        process.kill()  # it has nothing to save, and asking politely takes 0.3 s
        process.wait()


def started(machine: Machine, command: Sequence[str], *, ports: Sequence[int]) -> int:
    """Start a server that outlives this process; return its process id when it listens.

    On TCP and UDP. What it writes goes to the same log.

    Raises:
        EmulationError: it exited instead; says what it wrote.
        DeadlineError: it does not listen.
    """
    log = machine.directory() / f"{Path(command[0]).name}.log"
    pid = spawn(machine.argv(*command), output=log)
    wait_until(
        lambda: not runs(pid) or _listens(machine, ports, udp=True),
        timeout=_TIMEOUT,
        what=f"{command[0]} on {machine.name} listens on {ports}",
    )
    if not runs(pid):
        said = log.read_text(errors="replace").strip()
        raise EmulationError(f"{' '.join(command)} on {machine.name}: {said}")
    return pid


def _listens(machine: Machine, ports: Sequence[int], *, udp: bool) -> bool:
    bound = _bound_ports(machine, "tcp")
    if udp:
        bound &= _bound_ports(machine, "udp")
    return bound.issuperset(ports)


def _bound_ports(machine: Machine, protocol: str) -> set[int]:
    """The ports that proc(5) shows as bound, for TCP as listening."""
    table = Path(f"/proc/{machine.pid}/net/{protocol}").read_text()
    sockets = [line.split() for line in table.splitlines()[1:]]
    return {
        int(fields[1].rpartition(":")[2], 16)
        for fields in sockets
        if protocol == "udp" or fields[3] == _TCP_LISTEN
    }
