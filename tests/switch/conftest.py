"""A real ovs-vswitchd whose datapath moves no packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.openflow import OFPort
from testbed.ovs import (
    Appctl,
    Bridge,
    Port,
    Switch,
    SwitchDaemons,
    configure,
    start_daemons,
)
from testbed.ovs.daemons import create_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BR0 = Bridge(
    name="br0",
    datapath_type="dummy",
    fail_mode="secure",
    protocols=("OpenFlow13",),
    ports=(
        Port(name="vxlan0", type="dummy", ofport=OFPort.VXLAN0),
        Port(name="tun0", type="dummy", ofport=OFPort.TUN0),
        Port(name="web", type="dummy", ofport=3),
        Port(name="db", type="dummy", ofport=28),
    ),
)


@pytest.fixture
def br0(tmp_path: Path) -> Iterator[Switch]:
    """A bridge with the node's two ports and two pods'."""
    database = tmp_path / "empty.db"
    create_database(database)
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    options = ("--enable-dummy=override", "--disable-system")
    with start_daemons(run_dir, database=database, options=options) as daemons:
        configure(daemons.database_socket, [BR0], version="3.1.0")
        yield Switch(run_dir=run_dir)


@pytest.fixture
def appctl(br0: Switch) -> Iterator[Appctl]:
    with Appctl(SwitchDaemons(run_dir=br0.run_dir).control_socket) as connection:
        yield connection
