"""What there is on this machine: looked up and tried, not judged.

Nothing of the machine is changed. What cannot be told by looking is tried in a
throw-away sandbox.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import mmap
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.emulation import sandbox
from testbed.emulation.neighbours import neighbour_table
from testbed.emulation.prerequisites import missing_programs, tun_problem
from testbed.emulation.registry import Registry, state_directory
from testbed.emulation.visitor import program_path
from testbed.errors import CommandError, DeadlineError, EmulationError
from testbed.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MODULES = (
    "openvswitch",
    "tun",
    "veth",
    "bridge",
    "sch_htb",
    "sch_netem",
    "nf_conntrack_netlink",
)
"""Kernel modules that may have to be loaded by hand; or are built into the kernel."""

_PROBE_TIMEOUT = 60.0
_SWITCHES = ("ovs-vswitchd", "ovsdb-server")
_KEEPER = "testbed.emulation.init"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A machine as it was found; everything a judgement is made of.

    Attributes:
        user: the effective user id.
        kernel: its release, as ``uname -r`` prints it.
        python: the interpreter's version.
        missing: programs of ``PROGRAMS`` that are not installed.
        switch: Open vSwitch's version, empty if it has none to tell.
        mininet: its version, empty if this Python does not see it.
        scapy: the same.
        iptables: its version and backend, as it prints them.
        dnsmasq: its version.
        modules: of each kernel module in ``MODULES``: loaded, loadable or absent.
        tun: what keeps this user from /dev/net/tun, and what to type.
        sandbox: what kept a sandbox from being made, and what to type.
        tried: what was tried in a sandbox: what went wrong, or nothing.
        memory: bytes that may still be used.
        cores: processors this process may run on.
        files: how many files one process may have open.
        neighbours: of the ARP table, how many entries there are and may be.
        switches: processes of Open vSwitch that are none of ours.
        state: where testbeds are noted.
        state_problem: what keeps them from being noted there.
        testbeds: the names of those that run.
        stale: notes of testbeds that are gone, which the registry has removed.
        orphans: sandboxes that run and are noted nowhere, by their PID 1.
    """

    user: int
    kernel: str
    python: tuple[int, int, int]
    missing: tuple[str, ...] = ()
    switch: str
    mininet: str
    scapy: str
    iptables: str
    dnsmasq: str
    modules: Mapping[str, str]
    tun: str = ""
    sandbox: str = ""
    tried: Mapping[str, str] = field(default_factory=dict)
    memory: int
    cores: int
    files: int
    neighbours: tuple[int, int]
    switches: tuple[str, ...] = ()
    state: Path
    state_problem: str = ""
    testbeds: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    orphans: tuple[int, ...] = ()


def gather() -> Facts:
    """Look at this machine, and try in a sandbox what can be tried."""
    problem, tried = _try_in_a_sandbox()
    noted = _Noted.look(state_directory())
    return Facts(
        user=os.geteuid(),
        kernel=platform.release(),
        python=sys.version_info[:3],
        missing=missing_programs(),
        switch=_version("ovs-vswitchd"),
        mininet=_mininet(),
        scapy=_distribution("scapy"),
        iptables=_first_line("iptables"),
        dnsmasq=_version("dnsmasq"),
        modules={name: _module(name) for name in MODULES},
        tun=tun_problem(),
        sandbox=problem,
        tried=tried,
        memory=_memory(),
        cores=len(os.sched_getaffinity(0)),
        files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        neighbours=_neighbours(),
        switches=tuple(_others(_SWITCHES)),
        state=noted.directory,
        state_problem=noted.problem,
        testbeds=noted.names,
        stale=noted.stale,
        orphans=noted.orphans,
    )


def _try_in_a_sandbox() -> tuple[str, dict[str, str]]:
    """What kept a sandbox from being made, and how the attempts inside went."""
    inside = [sys.executable, "-m", "testbed.doctor.probe"]
    argv = [sys.executable, "-m", "testbed.emulation.sandbox", *inside]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PROBE_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return f"it did not end within {_PROBE_TIMEOUT:g} s", {}
    said = done.stderr.strip()
    if said.startswith(sandbox.REFUSAL):
        return said.removeprefix(f"{sandbox.REFUSAL}: "), {}
    if done.returncode:
        raise CommandError(argv, done.returncode, said)
    return "", json.loads(done.stdout)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Noted:
    """The testbeds of this user."""

    directory: Path
    problem: str = ""
    names: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    orphans: tuple[int, ...] = ()

    @classmethod
    def look(cls, directory: Path) -> _Noted:
        was_there = directory.is_dir()
        before = {path.stem for path in directory.glob("*.json")} if was_there else ()
        try:
            running = Registry(directory).running()
        except EmulationError as error:
            return cls(directory=directory, problem=str(error))
        problem = _unwritable(directory)
        if not was_there:
            with contextlib.suppress(OSError):  # another's testbed is in it by now
                directory.rmdir()
        names = tuple(testbed.name for testbed in running)
        built = all(testbed.ready for testbed in running)
        known = {testbed.pid for testbed in running}
        return cls(
            directory=directory,
            problem=problem,
            names=names,
            stale=tuple(sorted(set(before) - set(names))),
            orphans=tuple(_keepers(directory, known)) if built else (),
        )


def _unwritable(directory: Path) -> str:
    """What keeps a file of some size from being written there."""
    try:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            file.write(bytes(mmap.PAGESIZE))
    except OSError as error:
        return f"{directory}: {(error.strerror or str(error)).lower()}"
    return ""


def _keepers(directory: Path, known: set[int]) -> Iterator[int]:
    """Yield PID 1 of each sandbox that was to be kept and noted there, and is not."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            words = (process / "cmdline").read_text().split("\0")
            if words[1:3] != ["-m", _KEEPER] or "keep" not in words:
                continue
            text = (process / "environ").read_bytes().decode(errors="replace")
            pairs = (item.partition("=") for item in text.split("\0"))
            own = state_directory({name: value for name, _, value in pairs})
            pid = int(process.name)
            if own == directory and pid not in known and _is_outside(process):
                yield pid


def _is_outside(process: Path) -> bool:
    """Whether a process's parent is in this PID namespace: no sandbox in a sandbox."""
    parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
    namespaces = (Path("/proc", who, "ns/pid").readlink() for who in (parent, "self"))
    return next(namespaces) == next(namespaces)


def _others(names: tuple[str, ...]) -> Iterator[str]:
    """Yield the processes of these names that are in no sandbox of ours."""
    own = Path("/proc/self/ns/pid").readlink()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            name = (process / "comm").read_text().strip()
            if name in names and _pid_namespace(process) in (own, None):
                yield name


def _pid_namespace(process: Path) -> Path | None:
    """A process's PID namespace; nothing where it is another user's."""
    try:
        return (process / "ns" / "pid").readlink()
    except PermissionError:
        return None


def _version(program: str) -> str:
    found = re.search(r"\d+(\.\d+)+", _first_line(program))
    return found.group() if found else ""


def _first_line(program: str) -> str:
    """What a program says of itself; nothing if it is not installed."""
    with contextlib.suppress(CommandError, DeadlineError, PermissionError):
        path = program_path(os.environ.get("PATH", os.defpath))
        if found := shutil.which(program, path=path):
            return run([found, "--version"], timeout=10).partition("\n")[0].strip()
    return ""


def _distribution(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _mininet() -> str:
    """Mininet's version, if it can be imported; not every packaging tells one."""
    if importlib.util.find_spec("mininet") is None:
        return ""
    return _distribution("mininet") or "of unknown version"


def _module(name: str) -> str:
    if Path("/sys/module", name).exists():
        return "loaded"
    path = program_path(os.environ.get("PATH", os.defpath))
    modprobe = shutil.which("modprobe", path=path)
    if not modprobe:
        return "absent"
    with contextlib.suppress(CommandError, DeadlineError):
        run([modprobe, "--dry-run", "--quiet", name], timeout=10)
        return "loadable"
    return "absent"


def _neighbours() -> tuple[int, int]:
    table = neighbour_table()
    return table.entries, table.limit


def _memory() -> int:
    """Bytes this process and its children may still take."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    available = int(fields["MemAvailable"].split()[0]) << 10
    with contextlib.suppress(OSError, ValueError, StopIteration):
        groups = Path("/proc/self/cgroup").read_text().splitlines()
        own = next(line for line in groups if line.startswith("0::"))
        group = Path("/sys/fs/cgroup", own[3:].lstrip("/"))
        limit = int((group / "memory.max").read_text())  # "max" where there is none
        used = int((group / "memory.current").read_text())
        return min(available, limit - used)
    return available
