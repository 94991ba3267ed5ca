"""PID 1 of a sandbox: it makes the place ready, runs one program and buries the dead.

Run as ``python -m testbed.emulation.init FD keep|end -- PROGRAM …`` inside fresh
namespaces by ``testbed.emulation.sandbox``, to which the socket FD leads. When that
socket closes, the owner is gone, and PID 1 ends; the kernel then ends every process of
the sandbox with it. With ``keep`` a program that succeeded leaves the sandbox running,
owned by nobody.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

STDIO = 3
"""How many descriptors the owner sends first: stdin, stdout, stderr."""

READY = b"\0"
"""What the owner is sent when the sandbox is one; then the program's exit status."""

MARK = Path("/run/testbed/sandbox")
"""Exists inside a sandbox, and nowhere else."""

_DIRECTORIES = ("/run/netns", "/run/openvswitch", "/run/lock", str(MARK.parent))


def main() -> NoReturn:
    """Be PID 1 until the program ends or the owner is gone."""
    descriptor, mode, _, *program = sys.argv[1:]
    owner = socket.socket(fileno=int(descriptor))
    owner.set_inheritable(False)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        prepare()
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))  # the owner tells it
    owner.send(READY)
    wakeup, child_died = os.pipe()
    os.set_blocking(child_died, False)
    signal.set_wakeup_fd(child_died, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child = _start(program, owner)
    # What the terminal sends goes to the program; PID 1 outlives it to report.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    status = _attend(child, owner, wakeup)
    owner.send(bytes([status]))
    # An owner who has noted where this sandbox is says so; one who died does not.
    if mode == "keep" and status == 0 and owner.recv(1):
        owner.close()
        _keep()
    sys.exit(status)


def prepare() -> None:
    """Give the sandbox a private /run, its own /sys and a loopback."""
    # Before /run is its own: no notes of mounts in the one outside.
    _run("mount", "--no-mtab", "-t", "tmpfs", "tmpfs", "/run")
    for directory in _DIRECTORIES:
        Path(directory).mkdir(parents=True)
    MARK.touch()
    _run("mount", "-t", "sysfs", "sysfs", "/sys")
    _run("ip", "link", "set", "lo", "up")


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def _start(program: list[str], owner: socket.socket) -> int:
    """Start the program with the owner's stdin, stdout and stderr."""
    _, descriptors, _, _ = socket.recv_fds(owner, 1, STDIO)
    # Not subprocess: a Popen that goes out of scope would bury its child unseen.
    child = os.posix_spawnp(
        program[0],
        program,
        os.environ,
        file_actions=[
            *(
                (os.POSIX_SPAWN_DUP2, had, number)
                for number, had in enumerate(descriptors)
            ),
            *((os.POSIX_SPAWN_CLOSE, had) for had in descriptors),
        ],
    )
    for descriptor in descriptors:
        os.close(descriptor)
    return child


def _attend(child: int, owner: socket.socket, wakeup: int) -> int:
    """Reap, and pass signals on, until the program ends; return its exit status."""
    with selectors.DefaultSelector() as selector:
        selector.register(owner, selectors.EVENT_READ)
        selector.register(wakeup, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj == wakeup:
                    os.read(wakeup, 512)
                    statuses = dict(_reap())
                    if child in statuses:
                        return statuses[child]
                elif signal_number := owner.recv(1):
                    os.kill(child, signal_number[0])
                else:
                    sys.exit(128 + signal.SIGKILL)


def _reap() -> list[tuple[int, int]]:
    """Bury every dead child; the shell's exit status of each."""
    dead: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return dead
        if not pid:
            return dead
        code = os.waitstatus_to_exitcode(status)
        dead.append((pid, code if code >= 0 else 128 - code))


def _keep() -> NoReturn:
    """Bury the dead until somebody asks for the end: a user, or the machine's."""
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, {*ends, signal.SIGCHLD})
    # Ignored ones would not even be waited for.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    while True:
        _reap()
        if (received := signal.sigwait({*ends, signal.SIGCHLD})) in ends:
            sys.exit(128 + received)


if __name__ == "__main__":
    main()
