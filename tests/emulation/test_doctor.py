"""The doctor on machines that really lack something, and who points at it."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from testbed.emulation.wiring import Datapath
    from tests.emulation.conftest import Host

    BornWith = Callable[..., AbstractContextManager[Host]]

pytestmark = pytest.mark.emulation

TOPOLOGY = str(shipped("two-node.yaml"))
POINTER = "; all it lacks is told by: testbed doctor"


def doctor(host: Host, **environment: str) -> tuple[int, dict[str, Any]]:
    """Its exit status, and what it says of each thing."""
    done = host.testbed("doctor", "-t", TOPOLOGY, "--json", **environment)
    assert done.stderr == ""
    checks = json.loads(done.stdout)["checks"]
    return done.returncode, {check["name"]: check for check in checks}


def only_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


def test_a_machine_that_runs_testbeds_is_found_usable(
    host: Host, datapath: Datapath
) -> None:
    status, checks = doctor(host)

    assert {name for name, it in checks.items() if it["state"] == "missing"} == set()
    assert checks["datapath"]["found"].startswith(datapath)
    complete = all(check["state"] == "ok" for check in checks.values())
    assert status == (0 if complete else 1)
    assert "1 ovs-vswitchd; no conflict" in checks["other switches"]["found"]


def test_each_check_is_a_line(host: Host) -> None:
    done = host.testbed("doctor", "-t", TOPOLOGY)

    heading, *lines = done.stdout.splitlines()
    assert heading.split() == ["STATE", "CHECK", "FOUND"]
    assert {line.split()[0] for line in lines} <= {"ok", "warning", "missing"}
    assert done.stderr == ""


@pytest.mark.usefixtures("datapath")
def test_a_path_without_roots_programs_is_enough(host: Host) -> None:
    """As ordinary users of Debian have it."""
    user = ("env", "PATH=/usr/local/bin:/usr/bin:/bin", sys.executable, "-m", "testbed")

    up = host(*user, "up", "-t", TOPOLOGY)
    shown = host(*user, "exec", "node-1", "--", "iptables-save")
    host.testbed("down")

    assert up.returncode == 0, up.stderr
    assert "KUBE-SERVICES" in shown.stdout


def test_programs_and_devices_that_lack_are_named(born_with: BornWith) -> None:
    with born_with(
        emptied=["/usr/sbin", "/dev/net"], covered=["/usr/bin/mnexec"]
    ) as host:
        status, checks = doctor(host)
        up = host.testbed("up", "-t", TOPOLOGY)

    missing = {name for name, it in checks.items() if it["state"] == "missing"}
    assert {"openvswitch-switch", "mininet", "ethtool", "dnsmasq-base"} <= missing
    assert checks["mininet"]["found"] == "no mnexec"
    assert checks["ethtool"]["remedy"] == "sudo apt install ethtool"
    assert checks["/dev/net/tun"]["found"] == "no such file or directory"
    assert status == 2
    said = only_line(up.stderr)
    assert said.startswith("ovs-vswitchd, ovsdb-server, mnexec, ")
    assert said.endswith(POINTER)
    assert up.returncode == 2


def test_a_tun_that_is_closed_to_users_is_told(born_with: BornWith) -> None:
    with born_with(emptied=["/dev/net"]) as host:
        up = host.testbed("up", "-t", TOPOLOGY, "--datapath", "netdev")

    said = only_line(up.stderr)
    assert said == (
        "datapath netdev needs /dev/net/tun: no such file or directory; "
        f"type: sudo modprobe tun{POINTER}"
    )
    assert up.returncode == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root takes no user namespace")
def test_a_user_who_may_make_no_namespaces_is_told_what_to_type(
    born_with: BornWith,
) -> None:
    remedy = "sudo sysctl -w user.max_user_namespaces=10000"
    with born_with(sysctls={"user.max_user_namespaces": "0"}) as host:
        status, checks = doctor(host)
        (host.srv / "desk" / "test_it.py").write_text("def test_it(cluster): ...")
        run = host(sys.executable, "-m", "pytest", "/srv/desk/test_it.py")

    assert checks["sandbox"]["state"] == "missing"
    assert checks["sandbox"]["remedy"] == remedy
    assert status == 2
    assert f"type: {remedy}{POINTER}" in run.stderr
    assert run.returncode == pytest.ExitCode.USAGE_ERROR


def test_a_state_directory_without_room_is_told(born_with: BornWith) -> None:
    with born_with(small=4096) as host:
        host("sh", "-c", "head -c 1M /dev/zero >/srv/small/full")

        status, checks = doctor(host, TESTBED_STATE_DIR="/srv/small")

    found = checks["state directory"]["found"]
    assert found == "/srv/small: no space left on device"
    assert status == 2


def test_too_few_files_are_told(host: Host) -> None:
    few = f"ulimit -n 50; exec {sys.executable} -m testbed doctor --json"

    done = host("sh", "-c", few)

    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["open files"]["found"].startswith("50 may be open; ")
    assert checks["open files"]["remedy"] == "ulimit -n 124"
    assert done.returncode == 2


@pytest.mark.usefixtures("datapath")
def test_a_sandbox_that_is_noted_nowhere_is_found(host: Host) -> None:
    assert host.testbed("up", "-t", TOPOLOGY).returncode == 0
    (testbed,) = json.loads(host.testbed("list", "--json").stdout)
    (host.srv / "state" / "default.json").unlink()

    _, checks = doctor(host)

    host.kill("TERM", testbed["pid"])
    assert checks["testbeds"]["remedy"] == f"kill {testbed['pid']}"
    assert checks["testbeds"]["state"] == "warning"
