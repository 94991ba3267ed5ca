"""Fresh namespaces that die with their owner, and ways into them.

::

    owner ── unshare ─┬─ PID 1 (testbed.emulation.init) ── the program ── …
      └── socket ─────┘

The owner holds one end of a socket, PID 1 the other: however the owner ends, PID 1
notices, ends too, and the kernel removes every process, interface, mount and
namespace of the sandbox. Nothing has to be cleaned up. As an ordinary user the sandbox
begins with a user namespace, in which that user is root.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.emulation.init import MARK
from testbed.errors import CommandError, PrerequisiteError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FORWARDED = {signal.SIGTERM, signal.SIGHUP, signal.SIGINT}
_NAMESPACES = ("--net", "--mount", "--pid", "--ipc", "--uts")


def inside() -> bool:
    """Whether this process runs in a sandbox."""
    return MARK.exists()


def run(program: Sequence[str]) -> int:
    """Run a program in a sandbox of its own and return its exit status.

    Terminal, working directory and environment are the caller's. SIGTERM, SIGHUP and
    SIGINT reach the program.

    Raises:
        PrerequisiteError: this user may not create the namespaces.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_FORWARDED, signal.SIGCHLD})
    process, owner = _unshare(program, mode="end", new_session=False)
    with owner:
        while process.poll() is None:
            received = signal.sigwaitinfo({*_FORWARDED, signal.SIGCHLD})
            # What a terminal sends has reached the program already.
            if received.si_signo in _FORWARDED and received.si_pid:
                _forward(owner, received.si_signo)
        return _status(process, owner)


@contextlib.contextmanager
def kept(program: Sequence[str], *, stdin: int = 0) -> Iterator[int]:
    """Run a program in a sandbox that outlives both, and yield the sandbox's PID 1.

    The ``with`` block begins when the program has ended well. Until the block has, too,
    this process owns the sandbox: note in it where the sandbox is to be found.

    Args:
        program: the command line.
        stdin: the descriptor that becomes the program's stdin.

    Raises:
        PrerequisiteError: this user may not create the namespaces.
        CommandError: the program failed; its sandbox is gone.
    """
    process, owner = _unshare(program, mode="keep", new_session=True, stdin=stdin)
    with owner:
        if status := _status(process, owner):
            raise CommandError(program, status, "")
        yield _only_child(process)
        owner.send(b"\0")


def enter_argv(pid: int) -> tuple[str, ...]:
    """What to put before a command to run it in the sandbox whose PID 1 this is.

    The process of this command line has the command's terminal, directory, signals and
    exit status.
    """
    argv = ["nsenter", f"--target={pid}"]
    if (
        Path(f"/proc/{pid}/ns/user").stat().st_ino
        != Path("/proc/self/ns/user").stat().st_ino
    ):
        argv += ["--user", "--preserve-credentials"]
    # The visitor needs nothing but the standard library, and starts fast without more.
    visitor = [sys.executable, "-I", "-S", str(Path(__file__).with_name("visitor.py"))]
    return (*argv, *_NAMESPACES, "--no-fork", "--", *visitor, str(Path.cwd()))


def _unshare(
    program: Sequence[str], *, mode: str, new_session: bool, stdin: int = 0
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    user = ["--user", "--map-root-user"] if os.geteuid() else []
    init = [sys.executable, "-m", "testbed.emulation.init"]
    with theirs:
        process = subprocess.Popen(
            [
                *("unshare", *user, *_NAMESPACES),
                *("--mount-proc", "--fork", "--kill-child"),
                *(*init, str(theirs.fileno()), mode, "--", *program),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            start_new_session=new_session,
        )
    socket.send_fds(ours, [b"\0"], [stdin, 1, 2])
    return process, ours


def _forward(owner: socket.socket, signal_number: int) -> None:
    try:
        owner.send(bytes([signal_number]))
    except BrokenPipeError:
        return  # PID 1 is gone, and with it the program


def _status(process: subprocess.Popen[bytes], owner: socket.socket) -> int:
    """The program's exit status as PID 1 reported it.

    Raises:
        PrerequisiteError: PID 1 never came to run it.
    """
    try:
        report = owner.recv(1)
    except ConnectionResetError:
        report = b""
    if report:
        return report[0]
    status = process.wait()
    said = (
        process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
    )
    if status < 0 or not said:
        return 128 - status if status < 0 else status
    raise PrerequisiteError(f"cannot create a sandbox: {said}{_advice()}")


def _advice() -> str:
    """Which switch of this machine may be in the way."""
    switches = {
        "kernel/unprivileged_userns_clone": ("0", "1"),
        "kernel/apparmor_restrict_unprivileged_userns": ("1", "0"),
        "user/max_user_namespaces": ("0", "10000"),
    }
    for name, (bad, good) in switches.items():
        path = Path("/proc/sys") / name
        if path.exists() and path.read_text().strip() == bad:
            return f"; type: sudo sysctl -w {name.replace('/', '.')}={good}"
    return "; try it as root" if os.geteuid() else ""


def _only_child(process: subprocess.Popen[bytes]) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return int(children.split()[0])
