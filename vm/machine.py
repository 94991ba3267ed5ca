"""One machine, from power-on to the exit status of its command."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from testbed.patience import VARIABLE
from vm.checkout import pack, unpack
from vm.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vm.checkout import Job
    from vm.image import Image

BOOT_TIMEOUT = 300.0
"""Seconds until the machine must be up; emulated, on a busy host, it takes thirty."""

KVM_BOOT_TIMEOUT = 60.0
"""Seconds until a machine must be up that runs at the processor's own speed."""

RESULTS_BYTES = 2 << 30
"""What the machine can give back: the size of a sparse file."""

_PROCESSORS = {
    # A fifth level of page tables is walked by software where it is emulated.
    "amd64": ("qemu-system-x86_64", "q35", "max,la57=off", "ttyS0"),
    "arm64": ("qemu-system-aarch64", "virt", "max", "ttyAMA0"),
}
"""Program, machine, processor and serial port of each architecture."""

_UP = "testbed: the machine is up"
_KVM_GAVE_UP = "KVM internal error"
_POLL_INTERVAL = 0.5
_KVM = Path("/dev/kvm")
_PVM = Path("/sys/module/kvm_pvm")
_KVM_GET_API_VERSION = 0xAE00
_KVM_API_VERSION = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """The machine to emulate.

    Attributes:
        architecture: as dpkg names it: ``amd64`` or ``arm64``.
        kvm: whether the processor runs it; else QEMU translates every instruction.
        cpus: how many.
        memory: in MiB.
    """

    architecture: str
    kvm: bool
    cpus: int = 2
    memory: int

    @property
    def patience(self) -> int:
        """How many times as long the testbed waits in it.

        Seen: emulated, on a host with much else to do, ovs-vswitchd was silent for more
        than ten seconds over its first flows.
        """
        return 1 if self.kvm else 10

    def __str__(self) -> str:
        """As said when it starts."""
        how = "KVM" if self.kvm else "software emulation"
        return f"{self.cpus} processors, {self.memory} MiB, {how}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptors:
    """Open files without a name: gone with their last user, however that ends.

    Attributes:
        job: the disk that goes in.
        results: the disk that comes back.
        console: where the kernel's console goes.
    """

    job: int
    results: int
    console: int


def kvm_works() -> bool:
    """Whether this user may use KVM, and the kernel has one that runs any kernel."""
    # A PVM without a processor's help runs kernels made for it, and hangs with others.
    if _PVM.exists():
        return False
    try:
        with _KVM.open("r+b", buffering=0) as kvm:
            return fcntl.ioctl(kvm, _KVM_GET_API_VERSION) == _KVM_API_VERSION
    except OSError:
        return False


def memory_for_a_machine(meminfo: str) -> int:
    """Half of what is available, between 1 and 4 GiB; in MiB.

    Args:
        meminfo: the text of ``/proc/meminfo``.
    """
    fields = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    available = int(fields["MemAvailable"].split()[0]) // 1024
    return max(1024, min(4096, available // 2))


def qemu_argv(
    hardware: Hardware, image: Image, fds: Descriptors, *, tty: bool
) -> list[str]:
    """The command that starts the machine; it ends with the process that runs it.

    It has three disks and no network. What the job's command says comes through a
    device of its own, a console if it is to see a terminal, and goes to stdout.
    """
    program, machine, cpu, serial = _PROCESSORS[hardware.architecture]
    kernel = f"root=/dev/vda rw rootfstype=ext4 console={serial} quiet"
    death = "panic=-1 oops=panic init=/usr/local/sbin/testbed-init"
    # Nobody to hide secrets from, and a cluster is hundreds of waits for RCU.
    speed = "mitigations=off rcupdate.rcu_expedited=1"
    # An emulated timer that comes late on a busy machine is no broken one.
    timer = "no_timer_check"
    argv = ["setpriv", "--pdeathsig", "KILL", program, "-nodefaults", "-no-user-config"]
    argv += ["-machine", machine, "-display", "none", "-nic", "none", "-no-reboot"]
    argv += ["-sandbox", "on,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
    argv += ["-accel", "kvm" if hardware.kvm else "tcg,thread=multi,tb-size=1024"]
    argv += ["-cpu", cpu, "-smp", str(hardware.cpus), "-m", str(hardware.memory)]
    argv += ["-kernel", str(image.kernel), "-initrd", str(image.initrd)]
    argv += ["-append", f"{kernel} {death} {speed} {timer}"]
    disks = [f"file={image.disk},snapshot=on"]
    disks += [f"file=/dev/fd/{fds.job},read-only=on", f"file=/dev/fd/{fds.results}"]
    for index, disk in enumerate(disks):
        argv += ["-drive", f"if=none,id=d{index},format=raw,cache=unsafe,{disk}"]
        argv += ["-device", f"virtio-blk-pci,drive=d{index}"]
    argv += ["-chardev", f"file,id=kernel,path=/dev/fd/{fds.console}"]
    argv += ["-serial", "chardev:kernel", "-device", "virtio-serial-pci"]
    argv += ["-chardev", "stdio,id=command,signal=off"]
    argv += ["-device", f"{'virtconsole' if tty else 'virtserialport'},chardev=command"]
    return argv


def run(
    hardware: Hardware, image: Image, checkout: Path, job: Job, timeout: float
) -> int:
    """Run one job in a machine of its own, and bring back what it left.

    Args:
        hardware: the machine.
        image: what it boots from.
        checkout: what the job works on, and where its results go.
        job: what it does.
        timeout: seconds until the machine is taken for hung.

    Returns:
        The exit status of the job's command.

    Raises:
        MachineError: there is none: the machine did not come up, died, or hung.
    """
    with (
        tempfile.TemporaryFile() as disk,
        tempfile.TemporaryFile() as results,
        tempfile.TemporaryFile() as console,
    ):
        environment = {VARIABLE: str(hardware.patience), **job.environment}
        pack(checkout, replace(job, environment=environment), disk)
        disk.flush()
        results.truncate(RESULTS_BYTES)
        fds = Descriptors(
            job=disk.fileno(), results=results.fileno(), console=console.fileno()
        )
        tty = job.terminal is not None
        argv = qemu_argv(hardware, image, fds, tty=tty)
        boot_timeout = KVM_BOOT_TIMEOUT if hardware.kvm else BOOT_TIMEOUT
        with _qemu(argv, fds, keyboard=job.keyboard) as (qemu, complaints):
            why = _wait(qemu, complaints, console, boot_timeout, timeout)
            said = _text(complaints)
        status = unpack(results, checkout)
        if status is not None and why is None:
            return status
        kernel = _text(console)
        raise MachineError(
            why or _death(kernel, said),
            came_up=_UP in kernel,
            console=f"{kernel}\n{said}".strip(),
        )


@contextlib.contextmanager
def _qemu(
    argv: list[str], fds: Descriptors, *, keyboard: bool
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """A running QEMU and what it complains of; gone after the block.

    The terminal is then as it was before.
    """
    # Without a keyboard its input is a pipe that nobody writes to: at the end of its
    # input QEMU would take the other side for gone, and the machine's output with it.
    terminal = sys.stdin.fileno() if keyboard and sys.stdin.isatty() else None
    before = termios.tcgetattr(terminal) if terminal is not None else None
    try:
        with (
            tempfile.TemporaryFile() as complaints,
            subprocess.Popen(
                argv,
                stdin=subprocess.PIPE if terminal is None else terminal,
                stderr=complaints,
                pass_fds=(fds.job, fds.results, fds.console),
            ) as qemu,
        ):
            try:
                yield qemu, complaints
            finally:
                qemu.kill()
    except FileNotFoundError as error:
        raise MachineError(f"{error.filename} is not installed") from error
    finally:
        if terminal is not None and before is not None:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _wait(
    qemu: subprocess.Popen[bytes],
    complaints: IO[bytes],
    console: IO[bytes],
    boot_timeout: float,
    timeout: float,
) -> str | None:
    """Until the machine is off, or given up: then why."""
    started = time.monotonic()
    up = False
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            qemu.wait(_POLL_INTERVAL)
            return None
        up = up or _UP in _text(console)
        elapsed = time.monotonic() - started
        if not up and elapsed > boot_timeout:
            return f"the machine is not up after {boot_timeout:g} s"
        if elapsed > timeout:
            return f"the machine was stopped after {timeout:g} s"
        if _KVM_GAVE_UP in _text(complaints):
            return "the machine is stopped by an error inside KVM"


def _death(console: str, complaints: str) -> str:
    """Why a machine without results went off."""
    if "Kernel panic" in console:
        return "the machine's kernel panicked"
    if _UP in console:
        return "the machine went off before its command ended"
    return f"the machine did not start: {complaints or 'qemu says nothing'}"


def _bytes(file: IO[bytes]) -> bytes:
    """All of it; QEMU writes to the same file, at a position of its own."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)


def _text(file: IO[bytes]) -> str:
    return _bytes(file).decode(errors="replace").replace("\r", "")
