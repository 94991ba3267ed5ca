"""Handles to the machines of a sandbox: small values that anybody inside can use.

A machine is a network and a mount namespace, held open by one idle process.
"""

from __future__ import annotations

import ctypes
import enum
import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from testbed.errors import EmulationError, PrerequisiteError
from testbed.process import run, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from testbed.model import HostSubnet

_Result = TypeVar("_Result")

RUN_DIR = Path("/run/testbed")
FILE = RUN_DIR / "machines.json"
"""The machines of a sandbox, and which datapath its nodes have."""
_FILES = RUN_DIR / "files"


class Kind(enum.StrEnum):
    """What a machine is to the cluster."""

    NODE = "node"
    POD = "pod"
    SWITCH = "switch"
    GATEWAY = "gateway"
    EXTERNAL = "external"
    ROGUE = "rogue"
    GHOST = "ghost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One emulated machine.

    ``name`` is also its name for ``ip netns``; ``pid`` is the idle process's, as seen
    inside the sandbox.
    """

    kind: Kind
    name: str
    pid: int

    def argv(self, *command: str) -> list[str]:
        """The command line that runs a command inside this machine."""
        return ["mnexec", "-a", str(self.pid), *command]

    def run(self, *command: str, stdin: str = "") -> str:
        """Run a command inside and return what it wrote.

        Raises:
            CommandError: it is not installed, or exited with an error.
        """
        return run(self.argv(*command), stdin=stdin)

    def configure_links(self, batch: str) -> None:
        """Run ``ip -batch`` inside; it stops at the first line that fails."""
        run(["ip", "-n", self.name, "-batch", "-"], stdin=batch)

    def bind(self, source: Path, target: str) -> None:
        """Put a file or directory in the place of another, inside this machine only.

        A link that leads into /run, which is empty in a sandbox, gets its target made.

        Raises:
            PrerequisiteError: there is nothing at that place to cover.
        """
        place = Path(target).resolve()
        if not place.exists():
            if Path("/run") not in place.parents:
                raise PrerequisiteError(
                    f"{target} is missing; type: sudo touch {place}"
                )
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        self.run("mount", "--bind", str(source), str(place))

    def directory(self) -> Path:
        """Where this machine's files and logs are kept, made when it is not there."""
        directory = _FILES / self.name
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def replace_file(self, path: str, text: str) -> None:
        """Give a file new contents, inside this machine only."""
        source = self.directory() / Path(path).name
        source.write_text(text)
        self.bind(source, path)

    def rewrite_file(self, path: str, text: str) -> None:
        """Change the contents of a file that was replaced before."""
        (self.directory() / Path(path).name).write_text(text)

    def write_sysctls(self, values: dict[str, str]) -> None:
        """Set sysctls of the network namespace; a name without a file is passed over.

        A kernel without IPv6 lacks the names that would switch it off.
        """

        def write() -> None:
            for name, value in values.items():
                path = _sysctl(name)
                if path.exists():
                    path.write_text(value)

        self.call(write)

    def read_sysctls(self, names: Iterable[str]) -> dict[str, str]:
        """Sysctls of the network namespace, by name."""
        return self.call(
            lambda: {name: _sysctl(name).read_text().strip() for name in names}
        )

    def call(self, function: Callable[[], _Result]) -> _Result:
        """Run a function in this machine's network namespace, in a thread of its own.

        Sockets that it opens stay in the namespace and may be used from anywhere.
        """
        outcome: list[_Result] = []
        failure: list[BaseException] = []

        def body() -> None:
            try:
                _set_namespace(self.pid)
                outcome.append(function())
            except BaseException as error:  # noqa: BLE001 - raised again below
                failure.append(error)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return outcome[0]


def node_run_dir(node: HostSubnet) -> Path:
    """Where a node's daemons keep their sockets, pid files and logs."""
    return RUN_DIR / node.name


def save(machines: Iterable[Machine], datapath: str) -> None:
    """Note the machines where whoever enters the sandbox later finds them."""
    noted = {
        "datapath": datapath,
        "machines": [asdict(machine) for machine in machines],
    }
    write_whole(FILE, json.dumps(noted))


def load(file: Path = FILE) -> tuple[Machine, ...]:
    """The machines of the sandbox this process is in, or of the one the file is in.

    Raises:
        EmulationError: nothing was built here.
    """
    return tuple(
        Machine(**{**item, "kind": Kind(item["kind"])})
        for item in _noted(file)["machines"]
    )


def load_datapath(file: Path = FILE) -> str:
    """The datapath of the same nodes: ``system`` or ``netdev``.

    Raises:
        EmulationError: nothing was built here.
    """
    return str(_noted(file)["datapath"])


def _noted(file: Path) -> dict[str, Any]:
    try:
        noted: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError as error:
        raise EmulationError("no cluster runs in this sandbox") from error
    return noted


def _sysctl(name: str) -> Path:
    """A sysctl's file; what is in it depends on who looks."""
    return Path("/proc/sys") / name.replace(".", "/")


def _set_namespace(pid: int) -> None:
    """Move the calling thread into a network namespace (setns(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, 0):
            errno = ctypes.get_errno()
            raise OSError(errno, f"setns: {os.strerror(errno)}")
    finally:
        os.close(descriptor)
