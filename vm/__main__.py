"""``./run vm``: the command line."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from testbed.errors import SDNError
from testbed.patience import VARIABLE
from vm.checkout import RESULTS, USER, Job
from vm.errors import MachineError
from vm.image import cache_directory, image, read_inputs
from vm.machine import Hardware, kvm_works, memory_for_a_machine, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

    from vm.image import Image

CHECKOUT = Path(__file__).parents[1]
COULD_NOT_TELL = 2
"""The exit status when there is no answer: the machine, not its command, went wrong."""

SCENARIOS = ("pytest", "scenarios/")
TIMEOUT = 5400.0


def parser() -> argparse.ArgumentParser:
    """The options of ``./run vm``."""
    made = argparse.ArgumentParser(
        prog="./run vm",
        usage="%(prog)s [option ...] [command ...]",
        description="Run a command (default: pytest scenarios/) on this checkout in a "
        "Debian machine with the kernel's datapath. Exit status: the command's; "
        "2 if the machine did not start, hung or died.",
    )
    made.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    made.add_argument("--shell", action="store_true", help="a shell instead")
    made.add_argument(
        "--root", action="store_true", help="as root (default: an ordinary user)"
    )
    made.add_argument(
        "--fetch",
        action="append",
        default=[],
        metavar="PATH",
        help="bring this file or directory back as well; "
        f"{' and '.join(RESULTS)} always are",
    )
    made.add_argument(
        "--timeout",
        type=float,
        default=TIMEOUT,
        metavar="SECONDS",
        help="until the machine is taken for hung (default: %(default)g)",
    )
    made.add_argument(
        "--no-kvm", action="store_true", help="emulate, even where KVM works"
    )
    made.add_argument(
        "--rebuild", action="store_true", help="make the machine's disk afresh"
    )
    made.add_argument(
        "--build", action="store_true", help="make the disk if there is none, no more"
    )
    made.add_argument("--packages", default="", help=argparse.SUPPRESS)
    return made


def job(options: argparse.Namespace, environment: Mapping[str, str]) -> Job:
    """What the machine is to do, from the options and the caller's environment."""
    command = list(options.command) or list(SCENARIOS)
    if command[0] == "--":
        del command[0]
    if options.shell:
        command = ["bash", "--login", "-i"]
    terminal = options.shell or sys.stdout.isatty()
    size = shutil.get_terminal_size()
    return Job(
        argv=command,
        user="root" if options.root else USER,
        environment={
            name: environment[name]
            for name in ("TERM", "NO_COLOR", "CI", VARIABLE)
            if name in environment
        },
        fetch=[*RESULTS, *options.fetch],
        terminal=(size.lines, size.columns) if terminal else None,
        keyboard=options.shell,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command in a machine; its exit status."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    options = parser().parse_args(arguments)
    try:
        architecture = subprocess.run(
            ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
        ).stdout.strip()
        inputs = read_inputs(CHECKOUT, options.packages.split(), architecture)
        disk = image(CHECKOUT, inputs, cache_directory(), afresh=options.rebuild)
        if options.build:
            return 0
        hardware = Hardware(
            architecture=architecture,
            kvm=kvm_works() and not options.no_kvm,
            memory=memory_for_a_machine(Path("/proc/meminfo").read_text()),
        )
        return answer(hardware, disk, job(options, os.environ), options.timeout)
    except MachineError as error:
        if error.console:
            sys.stderr.write(f"the end of its console:\n{error.console}\n")
        sys.stderr.write(f"vm: {error}\n")
    except SDNError as error:
        sys.stderr.write(f"vm: {error}\n")
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return COULD_NOT_TELL


def answer(hardware: Hardware, disk: Image, task: Job, timeout: float) -> int:
    """The job's exit status, by KVM if the machine comes up with it, else emulated.

    Raises:
        MachineError: there is none.
    """
    sys.stderr.write(f"starting a machine: {hardware}\n")
    try:
        return run(hardware, disk, CHECKOUT, task, timeout)
    except MachineError as error:
        # A nested KVM may be there, and yet not run a kernel.
        if error.came_up or not hardware.kvm:
            raise
        sys.stderr.write(f"{error}; again, without KVM\n")
    return answer(replace(hardware, kvm=False), disk, task, timeout)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    """Leave through every ``with`` block on a signal that would skip them."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
