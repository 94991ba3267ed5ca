"""What a running cluster's kernels would do, by their own rules and routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from testbed.emulation import machines
from testbed.emulation.machines import Kind
from testbed.netfilter import Kernel, Routes, Ruleset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.emulation.machines import Machine

_ROUTERS = {Kind.NODE, Kind.GATEWAY}
_SYSCTLS = (
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.all.route_localnet",
)


class LiveKernels(Mapping[str, Kernel]):
    """The kernels of nodes and gateway by name, each read when first asked for."""

    def __init__(self) -> None:
        self._machines = {
            machine.name: machine
            for machine in machines.load()
            if machine.kind in _ROUTERS
        }
        self._read: dict[str, Kernel] = {}

    def __getitem__(self, name: str) -> Kernel:
        if name not in self._read:
            self._read[name] = read_kernel(self._machines[name])
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._machines)

    def __len__(self) -> int:
        return len(self._machines)


def read_kernel(machine: Machine) -> Kernel:
    """A machine's rules, routes, addresses and sysctls as they are now.

    Raises:
        CommandError: a program that lists them is missing or refused.
    """
    sysctls = machine.read_sysctls(_SYSCTLS)
    return Kernel(
        name=machine.name,
        ruleset=Ruleset.parse(machine.run("iptables-save")),
        routes=Routes.parse(
            addresses=machine.run("ip", "-json", "address"),
            routes=machine.run("ip", "-json", "route", "show", "table", "all"),
        ),
        is_router=sysctls["net.ipv4.ip_forward"] == "1",
        rp_filter=int(sysctls["net.ipv4.conf.all.rp_filter"]),
        route_localnet=sysctls["net.ipv4.conf.all.route_localnet"] == "1",
    )
