"""The command line where no testbed need run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from testbed.cli import main
from testbed.cli.app import app
from testbed.cli.execute import names
from testbed.cli.flows import in_order
from testbed.cli.status import NodeStatus, dead_daemons
from testbed.emulation import sandbox
from testbed.emulation.machines import Kind, Machine
from testbed.emulation.registry import Registry, RunningTestbed, process_start_time
from testbed.openflow import DumpedFlow, Flow, parse_dump
from testbed.pipeline import node_flows
from testbed.topology import load
from testbed.topology.shipped import shipped

COMMANDS = ("up", "down", "list", "status", "exec", "flows")

NODE = NodeStatus(
    name="oc-01.test",
    ip="172.16.1.15",
    subnet="10.128.0.0/23",
    pods=("shop/web",),
    expected=65,
    installed=65,
    missing=(),
    extra=(),
    dead=(),
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "state"
    monkeypatch.setenv("TESTBED_STATE_DIR", str(directory))
    return directory


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    status = ended.value.code
    assert isinstance(status, int)
    return status


@pytest.mark.parametrize(
    ("command", "made_by"),
    [(["status"], "testbed up"), (["lab", "check"], "testbed lab start 1")],
    ids=["status", "lab check"],
)
def test_what_makes_a_testbed_is_told_where_none_runs(
    command: list[str], made_by: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*command) == 2

    assert capsys.readouterr().err == f"no testbed is running; type: {made_by}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches_by_example(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])

    assert result.exit_code == 0
    assert f"testbed {command}" in result.output.partition("Examples:")[2]


def test_no_command_waits_for_what_it_does_not_need() -> None:
    script = (
        "import sys, testbed.cli.app\n"
        "print(*{'mininet', 'scapy', 'ovs', 'rich', 'yaml'} & sys.modules.keys())"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == []


def test_flows_are_printed_as_a_dump_that_nothing_has_hit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster = load(shipped("four-node.yaml")).cluster

    assert run("flows", "oc-04") == 0

    dumped = parse_dump(capsys.readouterr().out)
    assert tuple(item.flow for item in dumped) == node_flows(
        cluster, cluster.node("oc-04")
    )
    assert {(item.n_packets, item.duration) for item in dumped} == {(0, 0.0)}


def test_flows_as_json_name_their_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("flows", "oc-04", "--json") == 0

    first = json.loads(capsys.readouterr().out)[0]
    assert first == {
        "table": 0,
        "table_name": "DISPATCH",
        "priority": 250,
        "match": ["ip", "in_port=2", "nw_dst=224.0.0.0/4"],
        "actions": ["drop"],
        "cookie": "0x0",
    }


def test_flows_of_an_unknown_node_could_not_be_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("flows", "oc-99") == 2

    printed = capsys.readouterr()
    assert "oc-04.test" in printed.err
    assert printed.out == ""


@pytest.mark.parametrize("other", [["--live"], ["--name", "mine"]])
def test_flows_come_from_a_file_or_from_a_testbed(other: list[str]) -> None:
    assert run("flows", "oc-04", "--topology", "x.yaml", *other) == 2


def test_a_dump_is_put_in_the_pipelines_order() -> None:
    first, second, last = (
        Flow(table=10, priority=priority, match=(match,), actions=("drop",))
        for priority, match in ((100, "ip"), (100, "arp"), (0, "tcp"))
    )
    stranger = replace(first, match=("udp",))
    dump = [
        DumpedFlow(flow=flow, n_packets=0, n_bytes=0, duration=0.0)
        for flow in (last, stranger, second, first)
    ]

    ordered = in_order(dump, (first, second, last))

    assert [item.flow for item in ordered] == [first, second, stranger, last]


@pytest.mark.parametrize("command", ["up", "flows"])
def test_each_problem_of_a_topology_has_a_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("kind: Pod\n---\nkind: HostSubnet\n")
    arguments = [command, "--topology", str(path)]

    assert run(*arguments, *(["oc-01"] if command == "flows" else [])) == 2

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 1
    assert all(line.startswith(f"{path}:") for line in lines)


def test_up_with_a_bad_topology_starts_and_notes_nothing(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "kept", lambda *_, **__: pytest.fail("started"))

    assert run("up", "--topology", str(tmp_path / "missing.yaml")) == 2

    assert not state.exists()


def test_up_with_a_name_that_runs_starts_nothing(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sandbox, "kept", lambda *_, **__: pytest.fail("started"))
    monkeypatch.setattr("testbed.emulation.prerequisites.tun_problem", str)
    with Registry(state).claim(held_by_this_process("mine")):
        pass

    assert run("up", "--name", "mine") == 2

    assert "type: testbed down mine" in capsys.readouterr().err


def test_what_a_datapath_needs_is_told_before_anything_starts(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sandbox, "kept", lambda *_, **__: pytest.fail("started"))
    monkeypatch.setattr("testbed.emulation.prerequisites.TUN", Path("/no/device"))

    assert run("up", "--datapath", "netdev") == 2

    assert "type: sudo modprobe tun" in capsys.readouterr().err
    assert not state.exists()


def test_a_list_of_nothing_is_an_empty_list(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("list", "--json") == 0

    assert json.loads(capsys.readouterr().out) == []


def test_a_list_has_a_line_for_each_testbed(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("mine", "yours"):
        with Registry(state).claim(held_by_this_process(name)):
            pass

    assert run("list") == 0

    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["mine", "yours"]


def test_down_without_a_testbed_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("down") == 2

    assert "no testbed is running" in capsys.readouterr().err


def test_down_all_is_content_with_none() -> None:
    assert run("down", "--all") == 0


def test_down_takes_a_name_or_all() -> None:
    assert run("down", "mine", "--all") == 2


@pytest.mark.parametrize("arguments", [["status"], ["exec", "oc-01"]])
def test_a_testbed_that_is_being_built_is_not_entered(
    arguments: list[str], state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Registry(state).claim(replace(held_by_this_process("default"), ready=False)):
        pass

    assert run(*arguments) == 2

    assert "still being built" in capsys.readouterr().err


def test_machines_are_named_as_a_person_thinks_of_them() -> None:
    machines = [
        Machine(kind=kind, name=name, pid=pid)
        for pid, (kind, name) in enumerate(
            [
                (Kind.NODE, "oc-01.test"),
                (Kind.NODE, "twin.a.test"),
                (Kind.NODE, "twin.b.test"),
                (Kind.POD, "shop_web-1"),
                (Kind.EXTERNAL, "external:server"),
            ]
        )
    ]

    known = {name: machine.name for name, machine in names(machines).items()}

    assert known == {
        "oc-01.test": "oc-01.test",
        "oc-01": "oc-01.test",
        "twin.a.test": "twin.a.test",
        "twin.b.test": "twin.b.test",
        "shop/web-1": "shop_web-1",
        "external:server": "external:server",
    }


@pytest.mark.parametrize(
    ("node", "agrees", "flows", "daemons"),
    [
        (NODE, True, "65 flows, as computed", "alive"),
        (
            replace(NODE, installed=64, missing=("a", "b"), extra=("c",)),
            False,
            "64 flows, 2 missing and 1 extra",
            "alive",
        ),
        (
            replace(NODE, dead=("dnsmasq",)),
            False,
            "65 flows, as computed",
            "dead: dnsmasq",
        ),
        (replace(NODE, installed=None), False, "no answer; 65 computed", "alive"),
    ],
)
def test_a_nodes_status_is_told_in_a_few_words(
    node: NodeStatus,
    agrees: bool,  # noqa: FBT001 - a parameter of the test
    flows: str,
    daemons: str,
) -> None:
    assert (node.agrees, node.flows, node.daemons) == (agrees, flows, daemons)


def test_a_daemon_is_alive_if_a_process_has_its_name_and_its_nodes_files() -> None:
    run_dir = Path("/run/testbed/oc-01.test")
    processes = [
        ("ovsdb-server", "ovsdb-server /run/testbed/oc-01.test/conf.db "),
        ("ovs-vswitchd", "ovs-vswitchd unix:/run/testbed/oc-02.test/db.sock "),
        ("less", "less /run/testbed/oc-01.test/dnsmasq.conf "),
        ("dnsmasq", ""),
    ]

    assert dead_daemons(run_dir, processes) == ("ovs-vswitchd", "dnsmasq")


def held_by_this_process(name: str) -> RunningTestbed:
    return RunningTestbed(
        name=name,
        pid=os.getpid(),
        start_time=process_start_time(os.getpid()),
        ready=True,
        datapath="netdev",
        topology="/somewhere/four-node.yaml",
        nodes=4,
        pods=28,
        created="2019-05-04T12:00:00+00:00",
    )
