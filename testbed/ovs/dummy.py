"""A cluster's bridges without a cluster: real flows, real traces, no packet.

One ovs-vswitchd holds a bridge for each node. Its datapath is OVS's dummy one, which
any user may run, needs no kernel module and no privilege, and connects nothing.

Source: ovs-vswitchd(8); lib/dpif-netdev.c, lib/netdev-dummy.c
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.ovs.appctl import Appctl
from testbed.ovs.daemons import create_database, start_daemons
from testbed.ovs.database import Bridge, Port, configure
from testbed.ovs.switch import OPENFLOW_VERSION, Switch
from testbed.ovs.trace import TracedSwitch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from testbed.openflow import Flow

_OPTIONS = ("--enable-dummy=override", "--disable-system")
_VERSION = "3.1.0"


@dataclass(frozen=True, slots=True)
class DummySwitches:
    """Bridges of one ovs-vswitchd, to be programmed again and again."""

    run_dir: Path
    appctl: Appctl
    bridges: tuple[str, ...]

    def program(self, flows: Mapping[str, Iterable[Flow]]) -> dict[str, TracedSwitch]:
        """Give each of these names a bridge with its flows, and no others.

        Raises:
            FlowRejectedError: Open vSwitch refused a flow.
        """
        programmed = {}
        for bridge, (name, of_name) in zip(self.bridges, flows.items(), strict=False):
            Switch(run_dir=self.run_dir, bridge=bridge).replace_flows(of_name)
            programmed[name] = TracedSwitch(self.appctl, bridge)
        return programmed


@contextlib.contextmanager
def start_dummy_switches(
    run_dir: Path, *, bridges: int, ofports: Iterable[int]
) -> Iterator[DummySwitches]:
    """Run a vswitchd with this many bridges, which all have these ports.

    Args:
        run_dir: an existing, empty directory that becomes theirs.
        bridges: as many as the largest cluster has nodes.
        ofports: vxlan0's, tun0's and every pod's; an output to another port is
            nowhere, and traced so. Idle ones cost: measured, ovs-vswitchd takes 41 µs
            for a trace with 3 bridges of 9 ports, 56 µs with 10 of 39.

    Raises:
        SwitchError: the daemons or a bridge did not come up.
    """
    names = tuple(f"br{number}" for number in range(bridges))
    numbers = tuple(ofports)
    database = run_dir / "empty.db"
    create_database(database)
    with start_daemons(run_dir, database=database, options=_OPTIONS) as daemons:
        configure(
            daemons.database_socket,
            [_bridge(name, numbers) for name in names],
            version=_VERSION,
        )
        for name in names:
            Switch(run_dir=run_dir, bridge=name).set_fragment_handling("nx-match")
        with Appctl(daemons.control_socket) as appctl:
            yield DummySwitches(run_dir, appctl, names)


def _bridge(name: str, ofports: tuple[int, ...]) -> Bridge:
    return Bridge(
        name=name,
        datapath_type="dummy",
        fail_mode="secure",
        protocols=(OPENFLOW_VERSION,),
        ports=tuple(
            Port(name=f"{name}-{ofport}", type="dummy", ofport=ofport)
            for ofport in ofports
        ),
    )
