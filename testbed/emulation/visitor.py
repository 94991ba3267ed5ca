"""A process that stands for one command inside a sandbox.

Run as ``nsenter … python visitor.py DIRECTORY COMMAND …``, the command line that
``testbed.emulation.sandbox.enter_argv`` begins. Only a child can be in another PID
namespace, so somebody has to wait outside for it. nsenter would, but it dies of the
first Ctrl-C and leaves the command behind; this process lives and ends as it does.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import sys

_FORWARDED = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
}

SI_KERNEL = 0x80
"""Who sent a signal: the kernel, for a terminal (sigaction(2)).

Not told by the sender's pid, which is 0 too for one outside the PID namespace.
"""

_PR_SET_PDEATHSIG = 1
_ADMINISTRATORS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def program_path(path: str) -> str:
    """A PATH on which root's programs are found too, as users' own lacks them.

    In a sandbox everybody is root; ovs-vswitchd and iptables are in /usr/sbin.
    """
    named = path.split(os.pathsep)
    return os.pathsep.join(
        [path, *(name for name in _ADMINISTRATORS if name not in named)]
    )


def main() -> None:
    """Run the command and end as it ends."""
    directory, *command = sys.argv[1:]
    os.environ["PATH"] = program_path(os.environ.get("PATH", os.defpath))
    # Not every directory outside is there inside; then it is the root.
    with contextlib.suppress(OSError):
        os.chdir(directory)
    # As every other program has it; these three Python has changed, or may have.
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    watched = {*_FORWARDED, signal.SIGCHLD}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    child = _start(command, mask)
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        received = signal.sigwaitinfo(watched)
        # What a terminal sends has reached the command already.
        if received.si_signo in _FORWARDED and received.si_code != SI_KERNEL:
            os.kill(child, received.si_signo)
    code = os.waitstatus_to_exitcode(ended[1])
    if code < 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _start(command: list[str], mask: set[int | signal.Signals]) -> int:
    """Start the command, which dies with this process: whoever kills it means both."""
    libc = ctypes.CDLL(None)
    parent = os.getpid()
    try:
        child = os.fork()
    except OSError as error:
        if error.errno != errno.ENOMEM:
            sys.exit(f"{command[0]}: {error.strerror}")
        # PID 1 in there is dead, so the command dies like all the others with it.
        os.kill(parent, signal.SIGKILL)
        raise
    if child:
        return child
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have died before it could be heeded. A parent outside shows as 0.
    if os.getppid() in (0, parent):
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            os.execvp(command[0], command)  # noqa: S606 - a shell is not wanted
        except OSError as error:
            os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    os._exit(127)


if __name__ == "__main__":
    main()
