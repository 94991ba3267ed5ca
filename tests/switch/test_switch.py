"""Replacing flows, counting what hits them, and asking ovs-vswitchd."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from testbed.errors import FlowRejectedError, SwitchError
from testbed.openflow import Flow
from testbed.ovs import Appctl, Bridge, Counters, Port, configure, start_daemons
from testbed.ovs.daemons import create_database
from testbed.process import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.ovs import Switch

pytestmark = pytest.mark.switch

DROP_ARP = Flow(table=0, priority=100, match=("arp",), actions=("drop",))
DROP_IP = Flow(table=0, priority=100, match=("ip",), actions=("drop",))
MISS = Flow(table=0, priority=0, actions=("drop",))
ARP = (
    "eth(src=0a:58:0a:83:01:f1,dst=ff:ff:ff:ff:ff:ff),eth_type(0x0806),"
    "arp(sip=10.131.1.241,tip=10.131.0.16,op=1,sha=0a:58:0a:83:01:f1)"
)


def flows_of(switch: Switch) -> set[Flow]:
    return {dumped.flow for dumped in switch.dump_flows()}


def receive_arp(appctl: Appctl) -> None:
    """Have a packet come in, which another thread of the switch sees to."""
    before = Counters.read(appctl)
    appctl("netdev-dummy/receive", "web", f"in_port(3),{ARP}")
    wait_until(
        lambda: bool(Counters.read(appctl).since(before)),
        timeout=10.0,
        what="the packet is counted",
    )


def test_a_database_is_asked_without_ids_made_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libuuid notes those in a file of the machine's, open for ever in each thread."""

    def never() -> None:
        pytest.fail("uuid1() was called")

    monkeypatch.setattr(uuid, "uuid1", never)
    create_database(tmp_path / "empty.db")
    (tmp_path / "run").mkdir()
    with start_daemons(
        tmp_path / "run",
        database=tmp_path / "empty.db",
        options=["--enable-dummy=override", "--disable-system"],
    ) as daemons:
        bridge = Bridge(name="br0", datapath_type="dummy", ports=())

        configure(daemons.database_socket, [bridge], version="3.1.0")


def test_replacing_takes_away_what_is_not_wanted_any_more(br0: Switch) -> None:
    br0.replace_flows([DROP_ARP, MISS])

    br0.replace_flows([DROP_IP, MISS])

    assert flows_of(br0) == {DROP_IP, MISS}


def test_a_refused_flow_leaves_all_others_out_too(br0: Switch) -> None:
    br0.replace_flows([MISS])
    wrong = Flow(table=0, priority=1, match=("no_such_field=1",), actions=("drop",))

    with pytest.raises(FlowRejectedError, match="no_such_field"):
        br0.replace_flows([DROP_ARP, wrong])

    assert flows_of(br0) == {MISS}


def test_a_packet_is_counted_by_the_one_flow_it_hits(
    br0: Switch, appctl: Appctl
) -> None:
    br0.replace_flows([DROP_ARP, DROP_IP, MISS])
    before = Counters.read(appctl)

    receive_arp(appctl)

    assert Counters.read(appctl).since(before) == ((DROP_ARP, 1),)


def test_flows_that_stay_keep_their_counters(br0: Switch, appctl: Appctl) -> None:
    br0.replace_flows([DROP_ARP, MISS])
    before = Counters.read(appctl)
    receive_arp(appctl)

    br0.replace_flows([DROP_ARP, DROP_IP, MISS])

    assert Counters.read(appctl).since(before) == ((DROP_ARP, 1),)


def test_a_flow_is_missing_for_the_length_of_a_block(br0: Switch) -> None:
    br0.replace_flows([DROP_ARP, MISS])

    with br0.without_flow(DROP_ARP):
        assert flows_of(br0) == {MISS}

    assert flows_of(br0) == {DROP_ARP, MISS}


def test_a_flow_is_there_for_the_length_of_a_block(br0: Switch) -> None:
    br0.replace_flows([MISS])

    with br0.with_flow(DROP_ARP):
        assert flows_of(br0) == {DROP_ARP, MISS}

    assert flows_of(br0) == {MISS}


def test_an_unknown_command_is_an_error_with_its_name(appctl: Appctl) -> None:
    with pytest.raises(SwitchError, match="no/such"):
        appctl("no/such")


def test_a_connection_serves_many_commands(br0: Switch, appctl: Appctl) -> None:
    br0.replace_flows([MISS])

    replies = [Counters.read(appctl).dumped for _ in range(20)]

    assert all(list(reply) == [(0, "priority=0")] for reply in replies)


def test_nobody_on_the_socket_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(SwitchError, match="nobody-here"):
        Appctl(tmp_path / "nobody-here.ctl")


def test_a_port_that_cannot_be_is_an_error_with_its_name(tmp_path: Path) -> None:
    database = tmp_path / "empty.db"
    create_database(database)
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    lost = Port(name="lost0", type="no-such-type", ofport=7)
    bridge = Bridge(name="br0", datapath_type="dummy", ports=(lost,))
    options = ("--enable-dummy=override", "--disable-system")

    with (
        start_daemons(run_dir, database=database, options=options) as daemons,
        pytest.raises(SwitchError, match="port lost0"),
    ):
        configure(daemons.database_socket, [bridge], version="3.1.0")


def test_a_daemon_that_does_not_start_is_an_error_with_its_last_words(
    tmp_path: Path,
) -> None:
    database = tmp_path / "empty.db"
    database.write_text("no database")
    run_dir = tmp_path / "run"
    run_dir.mkdir()

    with (
        pytest.raises(SwitchError, match="unexpected file format"),
        start_daemons(run_dir, database=database),
    ):
        pass
