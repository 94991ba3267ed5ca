"""However a command or a part of a testbed ends, nothing is left and the next begins.

On a machine of their own (``conftest``), so to the last process and file.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from testbed.errors import DeadlineError
from testbed.process import wait_until
from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.emulation.conftest import Host

    BornWith = Callable[..., AbstractContextManager[Host]]

pytestmark = [pytest.mark.emulation, pytest.mark.usefixtures("datapath")]

TOPOLOGY = str(shipped("two-node.yaml"))
TIMEOUT = 60.0
KILLS = int(os.environ.get("TESTBED_KILLS", "8"))
"""How many builds are killed at random points."""

CTRL_C = b"\x03"
NEWCOMER = """\
kind: Pod
metadata: {name: newcomer, namespace: lab}
spec: {nodeName: node-1.test}
"""
SCENARIO = """
import pathlib, signal

def test_a_scenario_that_never_ends(cluster):
    pathlib.Path("/srv/desk/reached").touch()
    signal.pause()
"""
PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "--topology", TOPOLOGY)


@pytest.fixture(autouse=True)
def _untouched(host: Host) -> Iterator[None]:
    """Whatever a test does: at its end the machine is as it was."""
    with host.untouched():
        yield
        host.testbed("down", "--all")
        # Made with the first testbed, and kept empty.
        if (host.srv / "state").exists():
            (host.srv / "state").rmdir()
        for path in (host.srv / "desk").iterdir():
            path.unlink()


@pytest.fixture
def scenario(host: Host) -> str:
    """A file with a scenario that reaches its cluster and stays there."""
    path = host.srv / "desk" / "test_mine.py"
    path.write_text(SCENARIO)
    return "/srv/desk/test_mine.py"


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A terminal: what a user types into, and what a command has for it."""
    keyboard, screen = pty.openpty()
    yield keyboard, screen
    os.close(keyboard)
    with contextlib.suppress(OSError):
        os.close(screen)


def wait_for_scenario(host: Host, run: subprocess.Popen[str]) -> None:
    reached = host.srv / "desk" / "reached"
    wait_until(
        lambda: reached.exists() or run.poll() is not None,
        timeout=TIMEOUT,
        what="the scenario runs",
    )
    assert run.poll() is None, run.communicate()


def up(host: Host, **environment: str) -> None:
    done = host.testbed("up", "-t", TOPOLOGY, **environment)
    assert done.returncode == 0, done.stderr


def newcomer(host: Host) -> None:
    """Objects that any change begins with: a pod."""
    (host.srv / "desk" / "newcomer.yaml").write_text(NEWCOMER)


def was_built(host: Host) -> bool:
    try:
        noted = json.loads((host.srv / "state" / "default.json").read_text())
    except FileNotFoundError:
        return False
    ready: bool = noted["ready"]
    return ready


def smaller_run(directory: Path, kibibytes: int) -> str:
    """A PATH on which a sandbox's /run is mounted with so many KiB and no more."""
    script = directory / "mount"
    real = shutil.which("mount")
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *tmpfs*) set -- -o size={kibibytes}k "$@" ;; esac\n'
        f'exec {real} "$@"\n'
    )
    script.chmod(0o755)
    return f"{directory}:{os.environ['PATH']}"


def only_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


@pytest.mark.parametrize(
    ("number", "workers"),
    [
        (signal.SIGKILL, ()),
        (signal.SIGTERM, ()),
        (signal.SIGKILL, ("-n", "2")),
    ],
    ids=["killed", "terminated", "killed with workers"],
)
def test_pytest_that_is_ended_leaves_nothing(
    host: Host, scenario: str, number: signal.Signals, workers: tuple[str, ...]
) -> None:
    run = host.start(sys.executable, *PYTEST, *workers, scenario)
    wait_for_scenario(host, run)

    run.send_signal(number)

    run.communicate(timeout=TIMEOUT)
    assert run.returncode != 0


def test_pytest_that_is_interrupted_says_so_and_leaves_nothing(
    host: Host, scenario: str, terminal: tuple[int, int]
) -> None:
    keyboard, screen = terminal
    run = host.start(sys.executable, *PYTEST, scenario, terminal=screen)
    wait_for_scenario(host, run)

    os.write(keyboard, CTRL_C)

    out, _ = run.communicate(timeout=TIMEOUT)
    assert "KeyboardInterrupt" in out
    assert run.returncode == pytest.ExitCode.INTERRUPTED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_up_that_is_ended_takes_its_note_away(
    host: Host, number: signal.Signals
) -> None:
    run = host.starts_testbed("up", "-t", TOPOLOGY)
    assert run.stderr
    run.stderr.readline()

    run.send_signal(number)

    _, said = run.communicate(timeout=TIMEOUT)
    assert "Traceback" not in said
    assert run.returncode == 128 + number
    assert list((host.srv / "state").iterdir()) == []


def test_up_that_is_interrupted_takes_its_note_away(
    host: Host, terminal: tuple[int, int]
) -> None:
    keyboard, screen = terminal
    run = host.starts_testbed("up", "-t", TOPOLOGY, terminal=screen)
    assert run.stderr
    run.stderr.readline()

    os.write(keyboard, CTRL_C)

    _, said = run.communicate(timeout=TIMEOUT)
    assert "Traceback" not in said
    assert run.returncode == 128 + signal.SIGINT
    assert list((host.srv / "state").iterdir()) == []


@pytest.mark.parametrize("number", ["KILL", "INT"])
def test_a_builder_that_is_ended_ends_its_up_with_a_line(
    host: Host, number: str
) -> None:
    run = host.starts_testbed("up", "-t", TOPOLOGY)
    assert run.stderr
    run.stderr.readline()

    host.kill(number, host.process("testbed.cli.builder", without="emulation"))

    _, said = run.communicate(timeout=TIMEOUT)
    assert "testbed.cli.builder netdev exited" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert run.returncode == 2


@pytest.mark.parametrize("number", ["KILL", "TERM"])
def test_a_keeper_that_is_ended_takes_its_testbed_along(
    host: Host, number: str
) -> None:
    up(host)
    (testbed,) = json.loads(host.testbed("list", "--json").stdout)

    host.kill(number, testbed["pid"])

    host.waits_until_gone(testbed["pid"])
    assert host.testbed("status").stderr == "no testbed is running; type: testbed up\n"


def test_a_daemon_that_died_is_told_in_a_line(host: Host) -> None:
    """As out of memory ends them."""
    up(host)
    kill = "cd /run/testbed && kill -KILL $(cat %s)"
    dead = "node-1.test/ovs-vswitchd.pid node-2.test/ovsdb-server.pid"
    host.testbed("exec", "node-1", "--", "sh", "-c", kill % dead)
    newcomer(host)

    commands = [
        host.starts_testbed("status"),
        host.starts_testbed("apply", "-f", "/srv/desk/newcomer.yaml"),
        host.starts_testbed("flows", "node-1", "--live"),
    ]
    (shown, _), (_, applied), (_, flows) = [
        command.communicate(timeout=TIMEOUT) for command in commands
    ]

    assert [command.returncode for command in commands] == [1, 2, 2]
    assert "dead: ovs-vswitchd" in shown
    assert "dead: ovsdb-server" in shown
    assert "ovs-vswitchd of node-1.test has died" in only_line(applied)
    assert "Connection refused" in only_line(flows)
    assert host.testbed("down").returncode == 0


def test_a_switch_that_hangs_keeps_no_command_for_ever(host: Host) -> None:
    up(host)
    stop = "kill -STOP $(cat /run/openvswitch/ovs-vswitchd.pid)"
    host.testbed("exec", "node-1", "--", "sh", "-c", stop)
    commands = [
        host.starts_testbed("status"),
        host.starts_testbed("flows", "node-1", "--live"),
    ]
    (shown, _), (_, flows) = [
        command.communicate(timeout=TIMEOUT) for command in commands
    ]

    assert [command.returncode for command in commands] == [1, 2]
    assert "no answer" in shown
    assert only_line(flows) == "ovs-vswitchd of node-1.test says nothing for 10 s"
    assert host.testbed("down").returncode == 0


@pytest.mark.parametrize("kibibytes", [4, 64, 128])
def test_a_sandbox_without_room_is_told_in_a_line(
    host: Host, tmp_path: Path, kibibytes: int
) -> None:
    """What the builder writes, /run holds: in the end no more than that."""
    path = smaller_run(tmp_path, kibibytes)

    done = host.testbed("up", "-t", TOPOLOGY, PATH=path)

    assert "Traceback" not in done.stderr
    assert "no space left on device" in done.stderr.splitlines()[-1].lower()
    assert done.returncode == 2


def test_a_change_without_room_says_what_to_do(host: Host, tmp_path: Path) -> None:
    up(host, PATH=smaller_run(tmp_path, 512))
    newcomer(host)
    fill = "head -c 1M /dev/zero >/run/full"
    filled = host.testbed("exec", "node-1", "--", "sh", "-c", fill)
    assert "No space left on device" in filled.stderr

    applied = host.testbed("apply", "-f", "/srv/desk/newcomer.yaml")

    assert "no space left on device" in only_line(applied.stderr).lower()
    assert applied.returncode == 2
    assert host.testbed("down").returncode == 0


def test_a_full_state_directory_is_told_in_a_line(born_with: BornWith) -> None:
    with born_with(small=4096) as host, host.untouched():
        host("sh", "-c", "head -c 1M /dev/zero >/srv/small/full; true")

        done = host.testbed("up", TESTBED_STATE_DIR="/srv/small")

        said = only_line(done.stderr).lower()
        assert "no space left on device; testbed_state_dir names" in said
        assert done.returncode == 2
        assert [path.name for path in (host.srv / "small").iterdir()] == ["full"]
        (host.srv / "small" / "full").unlink()


def test_half_a_state_file_keeps_nobody_from_a_testbed(host: Host) -> None:
    (host.srv / "state").mkdir(mode=0o700)
    (host.srv / "state" / "default.json").write_text('{"name": "default", "pid": 1')

    up(host)

    assert host.testbed("down").returncode == 0


def test_down_ends_what_runs_inside(host: Host) -> None:
    up(host)
    asleep = host.starts_testbed("exec", "node-1", "--", "sleep", "4711")
    host.process("sleep 4711", without="testbed")

    assert host.testbed("down").returncode == 0

    asleep.communicate(timeout=TIMEOUT)
    assert asleep.returncode == -signal.SIGKILL


def test_down_ends_a_change_with_a_line(host: Host) -> None:
    up(host)
    newcomer(host)
    # Hold it where the change has begun: ovs-vswitchd does not answer.
    stop = "kill -STOP $(cat /run/openvswitch/ovs-vswitchd.pid)"
    host.testbed("exec", "node-1", "--", "sh", "-c", stop)
    change = host.starts_testbed("apply", "-f", "/srv/desk/newcomer.yaml")
    host.process("testbed.cli.changer")

    assert host.testbed("down").returncode == 0

    _, said = change.communicate(timeout=TIMEOUT)
    assert only_line(said) == "testbed default was taken down meanwhile"
    assert change.returncode == 2


def test_a_build_that_is_killed_at_any_moment_leaves_nothing(host: Host) -> None:
    began = time.monotonic()
    up(host)
    whole = time.monotonic() - began
    host.testbed("down")
    moments = random.Random(4711)  # noqa: S311 - no secret
    alone = host.processes()
    for _ in range(KILLS):
        number = moments.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
        run = host.starts_testbed("up", "-t", TOPOLOGY)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(moments.uniform(0, whole))

        run.send_signal(number)

        run.communicate(timeout=TIMEOUT)
        if was_built(host):  # all but the last words of `up`
            assert host.testbed("down").returncode == 0
        with contextlib.suppress(DeadlineError):
            wait_until(lambda: host.processes() == alone, timeout=60, what="gone")
        assert host.processes() == alone
    up(host)
    assert host.testbed("status").returncode == 0
