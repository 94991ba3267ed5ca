"""Mininet, with the parts that would reach outside the sandbox left out.

Mininet starts a shell per machine and a handful of programs per wire. Here a machine
begins as one idle process, all wires are made by one ``ip -batch``, and a shell comes
when somebody first calls ``cmd``: 24 machines take 50 ms instead of a second.
"""

from __future__ import annotations

import subprocess
import warnings
from typing import TYPE_CHECKING, Any

from testbed.emulation.machines import Machine
from testbed.emulation.start import HOLDER, make_ready
from testbed.errors import PrerequisiteError
from testbed.process import run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbed.emulation.machines import Kind
    from testbed.emulation.wiring import Wire

try:
    with warnings.catch_warnings():
        # Mininet 2.3 still imports distutils.
        warnings.simplefilter("ignore", DeprecationWarning)
        from mininet.link import Link
        from mininet.net import Mininet
        from mininet.node import Host
except ImportError as error:
    raise PrerequisiteError(
        "Mininet is not installed; run './run setup' or install the package mininet, "
        "and use a virtual environment that sees the system's packages"
    ) from error


class NetnsHost(Host):  # type: ignore[misc]  # Mininet has no types
    """A Mininet host that is only a namespace until it is asked for a shell."""

    def startShell(self, mnopts: str | None = None) -> None:  # noqa: ARG002 - Mininet's
        """Start the process that holds the namespaces; called by Mininet."""
        self.holder = subprocess.Popen(
            HOLDER,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.pid = self.holder.pid

    def cmd(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command in this machine's shell, as ``mininet.node.Node.cmd``."""
        if not self.shell:
            holder = self.pid
            super().startShell(mnopts=f"-cda{holder}")
            self.pid = holder
        return super().cmd(*args, **kwargs)

    def terminate(self) -> None:
        """End the shell, if there is one, and the namespaces with their holder."""
        super().terminate()
        self.holder.kill()
        self.holder.wait()


class VethLink(Link):  # type: ignore[misc]  # Mininet has no types
    """A Mininet link whose veth pair exists already."""

    @classmethod
    def makeIntfPair(cls, *_args: Any, **_kwargs: Any) -> None:
        """Make nothing; ``ClusterNet`` made every pair at once."""

    def delete(self) -> None:
        """Delete nothing; the pair goes with its namespaces."""


class ClusterNet(Mininet):  # type: ignore[misc]  # Mininet has no types
    """The machines and wires of one cluster as a Mininet network."""

    def __init__(self) -> None:
        # What Mininet does once per process is to raise limits of the whole machine.
        Mininet.inited = True
        super().__init__(build=False, controller=None)

    def add_machines(self, wanted: Iterable[tuple[Kind, str]]) -> dict[str, Machine]:
        """Start every machine, side by side, and return them by name.

        Raises:
            EmulationError: one did not come up.
        """
        hosts = [(kind, self.addHost(name, cls=NetnsHost)) for kind, name in wanted]
        started = {
            host.name: Machine(kind=kind, name=host.name, pid=host.pid)
            for kind, host in hosts
        }
        make_ready(started.values())
        return started

    def add_wires(self, wires: Iterable[Wire]) -> None:
        """Create all veth pairs, each end in its machine."""
        wires = tuple(wires)
        run(["ip", "-batch", "-"], stdin="".join(wire.creation for wire in wires))
        for wire in wires:
            self.addLink(
                self[wire.near.machine],
                self[wire.far.machine],
                cls=VethLink,
                up=None,  # ip sets it up; Mininet would start a shell for it
                intfName1=wire.near.interface,
                intfName2=wire.far.interface,
            )
