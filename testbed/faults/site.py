"""Where a fault is put: the machines of a running cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.emulation import machines
from testbed.emulation.machines import Kind, node_run_dir
from testbed.emulation.wiring import Datapath
from testbed.ovs import SwitchDaemons

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from testbed.emulation.machines import Machine
    from testbed.model import Cluster, HostSubnet


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running cluster's objects and machines.

    Attributes:
        cluster: the objects.
        datapath: who forwards its packets.
        machines: its machines by name.
    """

    cluster: Cluster
    datapath: Datapath
    machines: Mapping[str, Machine]

    @classmethod
    def here(cls, cluster: Cluster) -> Site:
        """The cluster that runs in this sandbox.

        Raises:
            EmulationError: none does.
        """
        return cls(
            cluster=cluster,
            datapath=Datapath(machines.load_datapath()),
            machines={machine.name: machine for machine in machines.load()},
        )

    def node(self, name: str) -> HostSubnet:
        """A node's object."""
        return self.cluster.node(name)

    def machine(self, node: str) -> Machine:
        """A node's machine."""
        return self.machines[node]

    def pod_machine(self, key: str) -> str:
        """The name of a pod's machine, whether there is one or not."""
        return key.replace("/", "_", 1)

    def run_dir(self, node: str) -> Path:
        """Where a node's daemons keep their files."""
        return node_run_dir(self.node(node))

    def daemons(self, node: str) -> SwitchDaemons:
        """A node's ovsdb-server and ovs-vswitchd."""
        return SwitchDaemons(run_dir=self.run_dir(node))

    @property
    def switch(self) -> Machine:
        """The underlay's switch."""
        return next(m for m in self.machines.values() if m.kind is Kind.SWITCH)
