"""Start and stop the idle process that is a machine: it holds its namespaces open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from testbed.emulation.machines import Machine
from testbed.errors import EmulationError
from testbed.process import end, run, spawn, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbed.emulation.machines import Kind

HOLDER = ("mnexec", "-n", "sleep", "infinity")
"""The process: Mininet's mnexec gives it a network and a mount namespace."""

_TIMEOUT = 60.0
_QUIET = {
    "net.ipv6.conf.all.disable_ipv6": "1",
    "net.ipv6.conf.default.disable_ipv6": "1",
}
"""3.11's pods have no IPv6, and its chatter would move the flows' counters."""


def start_machines(wanted: Iterable[tuple[Kind, str]]) -> dict[str, Machine]:
    """Start machines in a cluster that runs, side by side, and return them by name.

    They outlive this process, and end with the sandbox.

    Raises:
        EmulationError: one did not come up.
    """
    started = {
        name: Machine(kind=kind, name=name, pid=spawn(HOLDER)) for kind, name in wanted
    }
    make_ready(started.values())
    return started


def make_ready(machines: Iterable[Machine]) -> None:
    """Wait until new machines are apart from all else, and give them their names.

    Raises:
        EmulationError: one ended instead.
    """
    machines = tuple(machines)
    own = Path("/proc/self/ns/mnt").readlink()
    for machine in machines:
        _wait_until_apart(machine, own)
    run(
        ["ip", "-batch", "-"],
        stdin="".join(f"netns attach {m.name} {m.pid}\n" for m in machines),
    )
    for machine in machines:
        machine.write_sysctls(_QUIET)


def stop_machine(machine: Machine) -> None:
    """End a machine, if it runs; its namespaces go with the last process in them."""
    end(machine.pid)
    run(["ip", "netns", "delete", machine.name])


def _wait_until_apart(machine: Machine, own: Path) -> None:
    """Until the holder is in namespaces of its own; mount comes with network."""

    def is_apart() -> bool:
        state = Path(f"/proc/{machine.pid}/stat").read_text().rpartition(")")[2]
        if state.split()[0] == "Z":
            raise EmulationError(f"{machine.name}: {' '.join(HOLDER)} ended at once")
        return Path(f"/proc/{machine.pid}/ns/mnt").readlink() != own

    wait_until(
        is_apart,
        timeout=_TIMEOUT,
        what=f"{machine.name} has namespaces of its own",
    )
