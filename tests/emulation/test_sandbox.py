"""A sandbox dies with its owner, however the owner ends, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.emulation import sandbox, visitor
from testbed.emulation.build import running_cluster
from testbed.emulation.wiring import Datapath
from testbed.errors import EmulationError
from testbed.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Cluster

pytestmark = pytest.mark.emulation

MARK = "TESTBED_TEST_MARK"

IN_A_SANDBOX = """
import sys
from testbed.emulation import sandbox
sys.exit(sandbox.run(sys.argv[1:]))
"""


class Owner:
    """A process that runs a program in a sandbox, and all that comes of it."""

    def __init__(self, *program: str) -> None:
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_A_SANDBOX, *program],
            env={**os.environ, MARK: self.mark},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def processes(self) -> set[int]:
        """Every process that was started by it, by the mark in its environment."""
        wanted = f"{MARK}={self.mark}".encode()
        found = set()
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if wanted in path.read_bytes():
                    found.add(int(path.parent.name))
            except OSError:
                continue  # it has ended, or is another user's
        return found

    def wait_until_running(self, program: str) -> None:
        """Return when a program of that name runs inside."""

        wait_until(
            lambda: any(_runs(pid, program) for pid in self.processes()),
            timeout=60,
            what=f"{program} runs in the sandbox",
        )

    def is_gone(self) -> None:
        """Return when nothing of it is left."""
        wait_until(lambda: not self.processes(), timeout=60, what="nothing is left")


def _runs(pid: int, program: str) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == program
    except OSError:
        return False  # it has ended


def run(*program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", IN_A_SANDBOX, *program],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def footprint() -> dict[str, str]:
    """What a sandbox could leave on the machine."""
    return {
        "links": subprocess.check_output(["ip", "-o", "link"], text=True),
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "namespaces": subprocess.check_output(["ip", "netns", "list"], text=True),
        "run": "\n".join(sorted(os.listdir("/run"))),  # noqa: PTH208 - names only
    }


@pytest.fixture
def untouched() -> Iterator[None]:
    """The machine looks after the test as it looked before."""
    before = footprint()
    yield
    assert footprint() == before


@pytest.mark.parametrize("status", [0, 1, 42])
def test_the_exit_status_is_the_programs(status: int) -> None:
    assert run("bash", "-c", f"exit {status}").returncode == status


def test_a_program_that_was_killed_gives_the_shells_exit_status() -> None:
    assert run("bash", "-c", "kill -KILL $$").returncode == 128 + signal.SIGKILL


def test_the_program_has_the_callers_stdin_and_stdout() -> None:
    owner = Owner("cat")

    out, _ = owner.process.communicate("hello\n", timeout=30)

    assert out == "hello\n"


def test_the_program_is_root_and_alone() -> None:
    shown = run("bash", "-c", "id -u; ls -d /proc/[0-9]* | wc -l; ip -o link | wc -l")

    uid, processes, links = shown.stdout.split()
    assert uid == "0"
    assert int(processes) < 6
    assert links == "1"


@pytest.mark.usefixtures("untouched")
def test_run_is_private() -> None:
    assert run("touch", "/run/left-behind").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_the_owner_reaches_the_program(number: signal.Signals) -> None:
    script = f"trap 'echo caught; exit 3' {number.name}; while sleep 0.01; do :; done"
    owner = Owner("bash", "-c", script)
    owner.wait_until_running("sleep")
    owner.process.send_signal(number)

    out, _ = owner.process.communicate(timeout=60)
    assert (out, owner.process.returncode) == ("caught\n", 3)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_the_owner_ends(number: signal.Signals) -> None:
    owner = Owner("bash", "-c", "setsid sleep 1000 & ip netns add left; sleep 1000")
    owner.wait_until_running("sleep")

    owner.process.send_signal(number)

    owner.process.communicate(timeout=60)
    owner.is_gone()


@pytest.mark.usefixtures("untouched")
def test_nothing_is_left_when_only_unshare_is_killed() -> None:
    owner = Owner("sleep", "1000")
    owner.wait_until_running("sleep")
    (unshare,) = (
        pid
        for pid in owner.processes()
        if Path(f"/proc/{pid}/comm").read_text() == "unshare\n"
    )

    os.kill(unshare, signal.SIGKILL)

    owner.process.communicate(timeout=60)
    owner.is_gone()


@pytest.mark.usefixtures("untouched")
def test_daemons_of_a_program_that_ended_do_not_outlive_it() -> None:
    owner = Owner("bash", "-c", "setsid sleep 1000 & exit 0")

    owner.process.communicate(timeout=60)

    owner.is_gone()


def test_no_cluster_is_built_outside_a_sandbox(
    four_nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "inside", lambda: False)

    with (
        pytest.raises(EmulationError, match="nowhere else"),
        running_cluster(four_nodes, Datapath.NETDEV),
    ):
        pass


def test_a_command_that_comes_when_all_are_dead_is_killed_like_them() -> None:
    user = ["--user", "--map-root-user"] if os.geteuid() else []
    unshare = ["unshare", *user, "--pid", "--fork", "--kill-child", "sleep", "60"]
    with subprocess.Popen(unshare) as outside, contextlib.ExitStack() as stack:
        children = Path(f"/proc/{outside.pid}/task/{outside.pid}/children")
        wait_until(lambda: bool(children.read_text()), timeout=60, what="it is born")
        first = int(children.read_text())
        names = ["user", "pid"] if user else ["pid"]
        entrances = {
            name: stack.enter_context(Path(f"/proc/{first}/ns/{name}").open("rb"))
            for name in names
        }
        os.kill(first, signal.SIGKILL)
        outside.wait()
        entered = [f"--{n}=/proc/self/fd/{f.fileno()}" for n, f in entrances.items()]

        same = ["--preserve-credentials"] if user else []
        visit = [sys.executable, str(visitor.__file__), "/", "true"]
        done = subprocess.run(
            ["nsenter", *entered, *same, "--no-fork", "--", *visit],
            pass_fds=[f.fileno() for f in entrances.values()],
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stderr == ""
