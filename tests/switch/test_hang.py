"""A daemon that hangs or has died is told by a deadline, by whoever asks it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.errors import SwitchError
from testbed.openflow import Flow
from testbed.ovs import Appctl, Port, SwitchDaemons, change_ports, database
from testbed.ovs import switch as switches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.ovs import Switch

pytestmark = pytest.mark.switch

MISS = Flow(table=0, priority=0, actions=("drop",))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switches, "_TIMEOUT", 0.3)
    monkeypatch.setattr(database, "_TIMEOUT", 0.3)


@pytest.fixture
def daemons(br0: Switch) -> SwitchDaemons:
    return SwitchDaemons(run_dir=br0.run_dir)


@pytest.fixture
def hanging_vswitchd(daemons: SwitchDaemons) -> Iterator[None]:
    os.kill(daemons.vswitchd_pid, signal.SIGSTOP)
    yield
    os.kill(daemons.vswitchd_pid, signal.SIGCONT)


@pytest.fixture
def ovsdb_pid(daemons: SwitchDaemons) -> int:
    return int((daemons.run_dir / "ovsdb-server.pid").read_text())


@pytest.mark.usefixtures("hanging_vswitchd")
def test_a_dump_of_a_switch_that_hangs_is_given_up(br0: Switch) -> None:
    with pytest.raises(SwitchError, match=r"^ovs-vswitchd of run says nothing for 0.3"):
        br0.dump_flows()


def test_a_switch_that_hangs_begins_no_round(daemons: SwitchDaemons) -> None:
    with Appctl(daemons.control_socket, timeout=0.3) as appctl:
        appctl.wait_for_a_round()
        os.kill(daemons.vswitchd_pid, signal.SIGSTOP)
        try:
            with pytest.raises(SwitchError, match="timed out"):
                appctl.wait_for_a_round()
        finally:
            os.kill(daemons.vswitchd_pid, signal.SIGCONT)


@pytest.mark.usefixtures("hanging_vswitchd")
def test_flows_for_a_switch_that_hangs_are_given_up(br0: Switch) -> None:
    with pytest.raises(SwitchError, match="says nothing"):
        br0.replace_flows([MISS])


@pytest.mark.usefixtures("hanging_vswitchd")
def test_ports_of_a_switch_that_hangs_are_given_up(daemons: SwitchDaemons) -> None:
    port = Port(name="new", type="dummy")

    with pytest.raises(SwitchError, match="in vain for ovs-vswitchd to set up"):
        change_ports(daemons.database_socket, "br0", added=[port])


def test_a_database_that_hangs_is_given_up(
    daemons: SwitchDaemons, ovsdb_pid: int
) -> None:
    os.kill(ovsdb_pid, signal.SIGSTOP)

    with pytest.raises(SwitchError, match="in vain for"):
        change_ports(daemons.database_socket, "br0", removed=["web"])

    os.kill(ovsdb_pid, signal.SIGCONT)


def test_a_database_that_hangs_keeps_no_socket_open(
    daemons: SwitchDaemons, ovsdb_pid: int
) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    os.kill(ovsdb_pid, signal.SIGSTOP)

    with pytest.raises(SwitchError) as caught:
        change_ports(daemons.database_socket, "br0", removed=["web"])

    # What failed is still in the error's traceback, and open if it was not closed.
    assert caught.traceback
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    os.kill(ovsdb_pid, signal.SIGCONT)


def test_a_database_that_hangs_amid_a_change_is_given_up(
    daemons: SwitchDaemons, ovsdb_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = database._finish

    def late(*arguments: object) -> None:
        os.kill(ovsdb_pid, signal.SIGSTOP)
        finish(*arguments)

    monkeypatch.setattr(database, "_finish", late)

    with pytest.raises(SwitchError, match="in vain for OVSDB to make the change"):
        change_ports(daemons.database_socket, "br0", removed=["web"])

    os.kill(ovsdb_pid, signal.SIGCONT)


def test_daemons_that_run_pass_the_check(daemons: SwitchDaemons) -> None:
    daemons.check()


@pytest.mark.parametrize("program", ["ovsdb-server", "ovs-vswitchd"])
def test_a_daemon_that_died_is_named(daemons: SwitchDaemons, program: str) -> None:
    pid = int((daemons.run_dir / f"{program}.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet buried

    with pytest.raises(SwitchError, match=f"^{program} of run has died; .*{program}"):
        daemons.check()
