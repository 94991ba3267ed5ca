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

from testbed.emulation.init import MARK, READY
from testbed.emulation.visitor import SI_KERNEL, program_path
from testbed.errors import CommandError, EmulationError, PrerequisiteError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REFUSAL = "cannot create a sandbox"
"""What the message begins with where this user may not."""

_FORWARDED = {signal.SIGTERM, signal.SIGHUP, signal.SIGINT}

_SWITCHES: Mapping[str, tuple[str, str]] = {
    "kernel.unprivileged_userns_clone": ("0", "1"),
    "kernel.apparmor_restrict_unprivileged_userns": ("1", "0"),
    "user.max_user_namespaces": ("0", "10000"),
}
"""Sysctls that keep users from a sandbox: the value that does, one that does not."""

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
    watched = {*_FORWARDED, signal.SIGCHLD}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        process, owner = _unshare(program, mode="end", new_session=False)
        with owner:
            while process.poll() is None:
                received = signal.sigwaitinfo(watched)
                # What a terminal sends has reached the program already.
                if received.si_signo in _FORWARDED and received.si_code != SI_KERNEL:
                    _forward(owner, received.si_signo)
            return _status(process, owner)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def python_argv() -> tuple[str, ...]:
    """What to put before a Python's arguments to run it in a sandbox of its own.

    Program and sandbox end with the process that starts this command line.
    """
    python = (sys.executable, "-m", "testbed.emulation.sandbox", sys.executable)
    return ("setpriv", "--pdeathsig", "KILL", *python)


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
        EmulationError: the sandbox was killed.
    """
    process, owner = _unshare(program, mode="keep", new_session=True, stdin=stdin)
    with owner:
        if status := _status(process, owner):
            raise CommandError(program, status, "")
        try:
            yield _only_child(process)
            owner.send(b"\0")
        except (BrokenPipeError, ProcessLookupError) as error:
            raise EmulationError("the sandbox was killed when it was built") from error


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


def _advice() -> str:
    """Which of the switches is in the way, and what to type; begins with "; "."""
    for name, (bad, good) in _SWITCHES.items():
        path = Path("/proc/sys", name.replace(".", "/"))
        if path.exists() and path.read_text().strip() == bad:
            return f"; type: sudo sysctl -w {name}={good}"
    return "; try it as root" if os.geteuid() else ""


def _unshare(
    program: Sequence[str], *, mode: str, new_session: bool, stdin: int = 0
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    user = ["--user", "--map-root-user"] if os.geteuid() else []
    init = [sys.executable, "-m", "testbed.emulation.init"]
    try:
        with theirs:
            process = subprocess.Popen(
                [
                    *("unshare", *user, *_NAMESPACES),
                    *("--mount-proc", "--fork", "--kill-child"),
                    *(*init, str(theirs.fileno()), mode, "--", *program),
                ],
                env={
                    **os.environ,
                    "PATH": program_path(os.environ.get("PATH", os.defpath)),
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                start_new_session=new_session,
            )
    except FileNotFoundError as error:
        ours.close()
        raise PrerequisiteError("unshare (util-linux) is not installed") from error
    with contextlib.suppress(BrokenPipeError):  # it has ended, and said why
        socket.send_fds(ours, [b"\0"], [stdin, 1, 2])
    return process, ours


def _forward(owner: socket.socket, signal_number: int) -> None:
    try:
        owner.send(bytes([signal_number]))
    except BrokenPipeError:
        return  # PID 1 is gone, and with it the program


def _status(process: subprocess.Popen[bytes], owner: socket.socket) -> int:
    """The program's exit status as PID 1 reported it, or that of one that was killed.

    Raises:
        PrerequisiteError: PID 1 never came to run it.
    """
    if _report(owner) == READY:
        status = _report(owner)
        return status[0] if status else 128 + signal.SIGKILL
    status_of_unshare = process.wait()
    said = process.stderr.read().decode(errors="replace") if process.stderr else ""
    if status_of_unshare < 0 or not said:
        return 128 + abs(status_of_unshare)
    raise PrerequisiteError(f"{REFUSAL}: {said.strip()}{_advice()}")


def _report(owner: socket.socket) -> bytes:
    """The next byte from PID 1, or nothing if it is gone."""
    try:
        return owner.recv(1)
    except ConnectionResetError:
        return b""


def _only_child(process: subprocess.Popen[bytes]) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    if not children:
        raise ProcessLookupError(process.pid)
    return int(children.split()[0])


def main() -> None:
    """Run the program on this command line in a sandbox of its own."""
    try:
        sys.exit(run(sys.argv[1:]))
    except PrerequisiteError as error:
        sys.exit(error.lack)


if __name__ == "__main__":
    main()
