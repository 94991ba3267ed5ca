"""A machine's life and death; a script stands in for QEMU, which takes minutes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from testbed.process import wait_until
from vm.checkout import Job
from vm.errors import MachineError
from vm.image import Image
from vm.machine import (
    Descriptors,
    Hardware,
    kvm_works,
    memory_for_a_machine,
    qemu_argv,
    run,
)

pytestmark = pytest.mark.emulation

HARDWARE = Hardware(architecture="amd64", kvm=False, memory=1024)
IMAGE = Image(disk=Path("/d"), kernel=Path("/k"), initrd=Path("/i"))
JOB = Job(argv=["true"], environment={}, fetch=[])
UP = "testbed: the machine is up"
CHECKOUT = Path(__file__).parents[2]

# Where the machine's disks and console are, as QEMU finds them: on its command line.
STAND_IN = r"""#!/usr/bin/env bash
for word; do
  case $word in
    file,id=kernel,path=*) console=${word##*=} ;;
    *id=d1,*) job=${word##*file=}; job=${job%%,*} ;;
    *id=d2,*) results=${word##*file=} ;;
  esac
done
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of QEMU's name, found before QEMU; write ``STAND_IN`` and more."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "qemu-system-x86_64"
    program.touch(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return program


def start(checkout: Path, *, timeout: float = 60.0) -> int:
    return run(HARDWARE, IMAGE, checkout, JOB, timeout)


def answers(status: int) -> str:
    """What a machine does whose command exits so: says something, and gives back."""
    return f"""
        echo '{UP}' >>"$console"
        folder=$(mktemp -d); cd "$folder"
        mkdir captures; echo packets >captures/x; echo {status} >status
        tar -cf "$results" status captures
        rm -rf "$folder"
    """


@pytest.mark.parametrize(
    ("own", "found"),
    [
        ({}, "TESTBED_PATIENCE=10"),
        ({"TESTBED_PATIENCE": "3"}, "TESTBED_PATIENCE=3"),
    ],
    ids=["unasked", "as asked"],
)
def test_in_a_machine_that_is_emulated_the_testbed_waits_longer(
    stand_in: Path, tmp_path: Path, own: dict[str, str], found: str
) -> None:
    looks = """
        folder=$(mktemp -d); cd "$folder"
        mkdir captures; echo 0 >status
        tar -xOf "$job" job/environment >captures/x
        tar -cf "$results" status captures
        rm -rf "$folder"
    """
    stand_in.write_text(STAND_IN + looks)

    run(HARDWARE, IMAGE, tmp_path, replace(JOB, environment=own), 60.0)

    environment = (tmp_path / "captures" / "x").read_text()
    assert environment == f"{found}\0"


def test_where_no_machine_can_be_had_that_is_told_by_an_exit_status_of_its_own(
    tmp_path: Path,
) -> None:
    scripts = {"dpkg-query": "exit 1", "apt-get": "exit 100", "sudo": 'exec "$@"'}
    for name, script in scripts.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    done = subprocess.run(
        [CHECKOUT / "run", "vm", "--build"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    said = done.stderr.splitlines()
    assert said[0].startswith("installing qemu-system-")
    assert said[-1] == "vm: what a machine is made with cannot be installed here"
    assert done.returncode == 3


@pytest.mark.parametrize("status", [0, 3])
def test_the_exit_status_is_the_commands(
    stand_in: Path, tmp_path: Path, status: int
) -> None:
    stand_in.write_text(STAND_IN + answers(status))

    assert start(tmp_path) == status
    assert (tmp_path / "captures" / "x").read_text() == "packets\n"


def test_the_machine_finds_its_job_on_the_second_disk(
    stand_in: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    stand_in.write_text(
        STAND_IN
        + 'tar -xf "$job" -C / --to-stdout checkout/file job/argv >&2'
        + "\nexit 1"
    )

    with pytest.raises(MachineError, match="minetrue"):
        start(tmp_path)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Kernel panic - not syncing: Fatal exception", "kernel panicked"),
        (f"{UP}\nKernel panic - not syncing", "kernel panicked"),
        (UP, "went off before its command ended"),
        ("SeaBIOS", "did not start"),
    ],
)
def test_a_machine_that_dies_is_no_answer_and_the_end_of_its_console_is_shown(
    stand_in: Path, tmp_path: Path, said: str, why: str
) -> None:
    stand_in.write_text(STAND_IN + f"echo 'first'\necho '{said}' >>\"$console\"")

    with pytest.raises(MachineError, match=why) as caught:
        start(tmp_path)

    assert said in caught.value.console
    assert caught.value.came_up == (UP in said)


def test_a_machine_that_hangs_is_stopped(stand_in: Path, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    stand_in.write_text(
        STAND_IN + f"echo '{UP}' >>\"$console\"\necho $$ >{pid_file}\nexec sleep 600"
    )

    with pytest.raises(MachineError, match="stopped after"):
        start(tmp_path, timeout=1.0)

    assert not Path(f"/proc/{pid_file.read_text().strip()}").exists()


def test_an_error_inside_kvm_ends_the_machine_at_once(
    stand_in: Path, tmp_path: Path
) -> None:
    stand_in.write_text(
        STAND_IN + "echo 'KVM internal error. Suberror: 1' >&2\nexec sleep 600"
    )

    with pytest.raises(MachineError, match="inside KVM") as caught:
        start(tmp_path)

    assert not caught.value.came_up


def test_a_missing_emulator_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(MachineError, match="not installed"):
        start(tmp_path)


OWNER = """
import sys
from pathlib import Path
from vm.__main__ import _end
from vm.checkout import Job
from vm.image import Image
from vm.machine import Hardware, run
import signal
signal.signal(signal.SIGTERM, _end)
here = Path(sys.argv[1])
image = Image(disk=Path("/d"), kernel=Path("/k"), initrd=Path("/i"))
hardware = Hardware(architecture="amd64", kvm=False, memory=1024)
run(hardware, image, here, Job(argv=["true"], environment={}, fetch=[]), 600.0)
"""


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
)
def test_however_its_owner_ends_the_machine_is_gone(
    stand_in: Path, tmp_path: Path, number: signal.Signals
) -> None:
    pid_file = tmp_path / "pid"
    stand_in.write_text(
        STAND_IN + f"echo $$ >{pid_file}.new; mv {pid_file}.new {pid_file}\n"
        "exec sleep 600"
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as owner:
        try:
            wait_until(pid_file.exists, timeout=60, what="the machine runs")
            owner.send_signal(number)
            owner.wait(60)
        finally:
            owner.kill()
    machine = Path(f"/proc/{pid_file.read_text().strip()}")

    wait_until(lambda: not machine.exists(), timeout=60, what="the machine is gone")
    assert list(temporary.iterdir()) == []


def argv(*, tty: bool = False, kvm: bool = False, architecture: str = "amd64") -> str:
    hardware = Hardware(architecture=architecture, kvm=kvm, memory=2048)
    fds = Descriptors(job=3, results=4, console=5)
    return " ".join(qemu_argv(hardware, IMAGE, fds, tty=tty))


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_a_machine_has_no_network_and_listens_nowhere(architecture: str) -> None:
    line = argv(architecture=architecture)

    assert "-nic none" in line
    assert "-nodefaults" in line
    for open_to_others in ("netdev", "hostfwd", "socket", "vnc", "spice", "-monitor"):
        assert open_to_others not in line


def test_a_machine_leaves_the_image_as_it_is() -> None:
    assert "file=/d,snapshot=on" in argv()


def test_a_kvm_that_runs_only_kernels_made_for_it_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, pvm = tmp_path / "kvm", tmp_path / "kvm_pvm"
    device.touch()
    monkeypatch.setattr("vm.machine._KVM", device)
    monkeypatch.setattr("vm.machine._PVM", pvm)
    monkeypatch.setattr("vm.machine.fcntl.ioctl", lambda *_: 12)
    assert kvm_works()

    pvm.mkdir()

    assert not kvm_works()


def test_a_machine_is_emulated_where_there_is_no_kvm() -> None:
    assert "-accel tcg" in argv(kvm=False)
    assert "-accel kvm" in argv(kvm=True)


def test_a_command_sees_a_terminal_only_if_there_is_one() -> None:
    assert "virtconsole" in argv(tty=True)
    assert "virtconsole" not in argv(tty=False)


@pytest.mark.parametrize(
    ("available", "memory"), [(64 << 20, 4096), (6 << 20, 3072), (1 << 20, 1024)]
)
def test_a_machine_takes_half_of_the_memory_there_is(
    available: int, memory: int
) -> None:
    meminfo = f"MemTotal: 1 kB\nMemAvailable:   {available} kB\nHugepages: 0\n"

    assert memory_for_a_machine(meminfo) == memory
