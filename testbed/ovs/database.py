"""OVSDB: a switch's bridges and ports, written and changed in one transaction each.

Source: ovs-vswitchd.conf.db(5); openshift/origin release-3.11 pkg/util/ovs/ovs.go
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ovs.poller
from ovs.db import idl

from testbed.errors import SwitchError
from testbed.ovs.daemons import SCHEMA
from testbed.patience import patience

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Collection,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )
    from pathlib import Path

_TIMEOUT = 60.0
_POLL_MS = 2


class _RandomIds:
    """The standard library's ``uuid`` for ``ovs.db.idl``, without ids made of time.

    libuuid writes those to a file of the machine's, /var/lib/libuuid/clock.txt, and
    keeps it open once for every thread that ever asked.
    """

    UUID = uuid.UUID
    uuid1 = uuid4 = staticmethod(uuid.uuid4)


idl.uuid = _RandomIds

_COLUMNS = {
    "Open_vSwitch": ("bridges", "next_cfg", "cur_cfg", "ovs_version"),
    "Bridge": (
        "name",
        "ports",
        "fail_mode",
        "protocols",
        "datapath_type",
        "other_config",
    ),
    "Port": ("name", "interfaces", "qos"),
    "QoS": ("type", "other_config", "external_ids"),
    "Interface": (
        "name",
        "type",
        "options",
        "ofport",
        "ofport_request",
        "error",
        "external_ids",
        "mtu_request",
        "mac",
        "ingress_policing_rate",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port with its one interface, both of the same name.

    ``ofport`` and ``mac`` are insisted on where they are given; ``mtu`` is in bytes.
    What leaves br0 here is shaped to ``max_rate`` bits/s, what enters is policed to
    ``ingress_policing_rate`` kbits/s; 0 is no limit.
    """

    name: str
    type: str = ""
    ofport: int | None = None
    mtu: int | None = None
    mac: str | None = None
    max_rate: int | None = None
    ingress_policing_rate: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    external_ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """A bridge and its ports; the internal port of its own name comes by itself."""

    name: str
    datapath_type: str
    ports: tuple[Port, ...]
    fail_mode: str | None = None
    protocols: tuple[str, ...] = ()
    other_config: Mapping[str, str] = field(default_factory=dict)


def configure(database_socket: Path, bridges: Sequence[Bridge], version: str) -> None:
    """Give a fresh switch its bridges, and return when every port is up.

    Raises:
        SwitchError: the database or ovs-vswitchd refused something; says which port.
    """
    with _connected(database_socket) as database:
        _insert(database, bridges, version)
        _wait_for_vswitchd(database)
        _check_ports(database, [port for bridge in bridges for port in bridge.ports])


def change_ports(
    database_socket: Path,
    bridge: str,
    *,
    added: Sequence[Port] = (),
    removed: Collection[str] = (),
) -> None:
    """Take ports from a running bridge and give it others, in one transaction.

    A port that is to come back as another must be taken away first, by a call of its
    own: ovs-vswitchd would keep the device that it had open.

    Raises:
        SwitchError: the database or ovs-vswitchd refused something; says which port.
    """
    with _connected(database_socket) as database:
        transaction = idl.Transaction(database)
        row = _row(database, "Bridge", bridge)
        kept = [port for port in row.ports if port.name not in removed]
        for port in row.ports:
            if port.name in removed and port.qos:
                (qos,) = port.qos
                port.qos = []
                qos.delete()
        row.ports = [
            *kept,
            *(_insert_port(transaction, database.tables, port) for port in added),
        ]
        _commit(database, transaction)
        _wait_for_vswitchd(database)
        _check_ports(database, added)


def set_hardware_address(database_socket: Path, bridge: str, mac: str) -> None:
    """Give a running bridge, and its own port, another MAC address.

    Raises:
        SwitchError: the database or ovs-vswitchd refused it.
    """
    with _connected(database_socket) as database:
        transaction = idl.Transaction(database)
        row = _row(database, "Bridge", bridge)
        row.other_config = {**row.other_config, "hwaddr": mac}
        _commit(database, transaction)
        _wait_for_vswitchd(database)


def interface_options(database_socket: Path, name: str) -> dict[str, str]:
    """The ``options`` of a running switch's interface.

    Raises:
        SwitchError: the database does not answer, or has no such interface.
    """
    with _connected(database_socket) as database:
        return dict(_row(database, "Interface", name).options)


def set_interface_options(
    database_socket: Path, name: str, options: Mapping[str, str]
) -> None:
    """Give a running switch's interface these ``options`` and no others.

    Raises:
        SwitchError: the database or ovs-vswitchd refused them.
    """
    with _connected(database_socket) as database:
        transaction = idl.Transaction(database)
        row = _row(database, "Interface", name)
        row.options = dict(options)
        _commit(database, transaction)
        _wait_for_vswitchd(database)
        if row.error:
            raise SwitchError(f"interface {name}: {row.error[0]}")


def set_interface_mtu(database_socket: Path, name: str, mtu: int | None) -> int | None:
    """Ask for another MTU of an interface, in bytes; ``None`` leaves it to OVS.

    Returns:
        What was asked for before.

    Raises:
        SwitchError: the database or ovs-vswitchd refused it.
    """
    with _connected(database_socket) as database:
        transaction = idl.Transaction(database)
        row = _row(database, "Interface", name)
        before: list[int] = row.mtu_request
        row.mtu_request = [] if mtu is None else [mtu]
        _commit(database, transaction)
        _wait_for_vswitchd(database)
        return before[0] if before else None


@contextlib.contextmanager
def _connected(database_socket: Path) -> Iterator[Any]:
    helper = idl.SchemaHelper(schema_json=json.loads(_schema()))
    for table, columns in _COLUMNS.items():
        helper.register_columns(table, list(columns))
    database = idl.Idl(f"unix:{database_socket}", helper)
    try:
        _run_until(
            database, database.has_ever_connected, what=f"{database_socket} to answer"
        )
        yield database
    finally:
        database.close()


def _row(database: Any, table: str, name: str) -> Any:
    for row in database.tables[table].rows.values():
        if row.name == name:
            return row
    raise SwitchError(f"OVSDB has no {table} {name}")


def _commit(database: Any, transaction: Any) -> None:
    """Commit, and have ovs-vswitchd say when it has caught up."""
    (root,) = database.tables["Open_vSwitch"].rows.values()
    root.next_cfg = root.next_cfg + 1
    _finish(database, transaction)


def _finish(database: Any, transaction: Any) -> None:
    """Commit by the deadline, which the library's own ``commit_block`` lacks."""
    _run_until(
        database,
        lambda: transaction.commit() != idl.Transaction.INCOMPLETE,
        what="OVSDB to make the change",
    )
    if transaction.commit() != idl.Transaction.SUCCESS:
        raise SwitchError(f"OVSDB refused the change: {transaction.get_error()}")


def _wait_for_vswitchd(database: Any) -> None:
    (root,) = database.tables["Open_vSwitch"].rows.values()
    _run_until(
        database,
        lambda: root.cur_cfg >= root.next_cfg,
        what="ovs-vswitchd to set up its bridges",
    )


@functools.cache
def _schema() -> str:
    return SCHEMA.read_text()


def _run_until(
    database: Any,
    condition: Callable[[], bool],
    *,
    what: str,
) -> None:
    """Run the IDL until the condition holds.

    The poll is short because the library misses its first wake-up: measured, 100 ms
    lost per connection with a poll of 100 ms.
    """
    timeout = patience(_TIMEOUT)
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise SwitchError(f"waited {timeout:g} s in vain for {what}")
        database.run()
        poller = ovs.poller.Poller()
        database.wait(poller)
        poller.timer_wait(_POLL_MS)
        poller.block()


def _insert(
    database: Any,
    bridges: Sequence[Bridge],
    version: str,
) -> None:
    transaction = idl.Transaction(database)
    tables = database.tables
    root = transaction.insert(tables["Open_vSwitch"])
    rows = []
    for bridge in bridges:
        own = Port(name=bridge.name, type="internal")
        row = transaction.insert(tables["Bridge"])
        row.name = bridge.name
        row.datapath_type = bridge.datapath_type
        row.protocols = list(bridge.protocols)
        row.other_config = dict(bridge.other_config)
        if bridge.fail_mode:
            row.fail_mode = bridge.fail_mode
        row.ports = [
            _insert_port(transaction, tables, port) for port in (own, *bridge.ports)
        ]
        rows.append(row)
    root.bridges = rows
    root.next_cfg = 1
    root.ovs_version = version
    _finish(database, transaction)


def _insert_port(
    transaction: Any,
    tables: Any,
    port: Port,
) -> Any:
    interface = transaction.insert(tables["Interface"])
    interface.name = port.name
    interface.type = port.type
    interface.options = dict(port.options)
    interface.external_ids = dict(port.external_ids)
    if port.ofport is not None:
        interface.ofport_request = port.ofport
    if port.mtu is not None:
        interface.mtu_request = port.mtu
    if port.mac is not None:
        interface.mac = port.mac
    interface.ingress_policing_rate = port.ingress_policing_rate
    row = transaction.insert(tables["Port"])
    row.name = port.name
    row.interfaces = [interface]
    if port.max_rate is not None:
        qos = transaction.insert(tables["QoS"])
        qos.type = "linux-htb"
        qos.other_config = {"max-rate": str(port.max_rate)}
        qos.external_ids = {
            key: value for key, value in port.external_ids.items() if key == "sandbox"
        }
        row.qos = qos
    return row


def _check_ports(database: Any, ports: Iterable[Port]) -> None:
    interfaces = {row.name: row for row in database.tables["Interface"].rows.values()}
    for port in ports:
        row = interfaces[port.name]
        if row.error:
            raise SwitchError(f"port {port.name}: {row.error[0]}")
        if port.ofport is not None and row.ofport != [port.ofport]:
            raise SwitchError(
                f"port {port.name}: got ofport {row.ofport}, asked for {port.ofport}"
            )
