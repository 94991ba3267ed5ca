"""A process that stands for one command inside a sandbox.

Run as ``nsenter … python visitor.py DIRECTORY COMMAND …``, the command line that
``testbed.emulation.sandbox.enter_argv`` begins. Only a child can be in another PID
namespace, so somebody has to wait outside for it. nsenter would, but it dies of the
first Ctrl-C and leaves the command behind; this process lives and ends as it does.
"""

from __future__ import annotations

import contextlib
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


def main() -> None:
    """Run the command and end as it ends."""
    directory, *command = sys.argv[1:]
    # Not every directory outside is there inside; then it is the root.
    with contextlib.suppress(OSError):
        os.chdir(directory)
    # As every other program has it; these three Python has changed, or may have.
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    watched = {*_FORWARDED, signal.SIGCHLD}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    # Whoever kills this process means the command.
    argv = ["setpriv", "--pdeathsig", "KILL", *command]
    child = os.posix_spawnp(argv[0], argv, os.environ, setsigmask=mask)
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        received = signal.sigwaitinfo(watched)
        # What a terminal sends (no sender) has reached the command already.
        if received.si_signo in _FORWARDED and received.si_pid:
            os.kill(child, received.si_signo)
    code = os.waitstatus_to_exitcode(ended[1])
    if code < 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main()
