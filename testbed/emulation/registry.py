"""Which testbeds run: one small file each, outside their sandboxes.

A testbed is named by the process that holds its sandbox: PID 1, or while it is being
built the process that builds it. A file whose process is gone is removed by the next
one that looks, and so is half a file: they are put in place whole, so the machine went
down while this one was written, and its testbed too.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import signal
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.errors import DeadlineError, EmulationError, NotFoundError
from testbed.patience import patience

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEFAULT_NAME = "default"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_UNFINISHED = ".new"
_DEATH_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningTestbed:
    """A testbed as its file describes it.

    Attributes:
        name: what the user calls it.
        pid: PID 1 of its sandbox as seen from outside; while it is not ``ready``, the
            process that builds it.
        start_time: when that process began, in ticks since boot; tells it from a
            later process of the same number.
        ready: whether it is built.
        datapath: ``system`` or ``netdev``.
        topology: the file it was built from.
        nodes: how many it has.
        pods: how many it has.
        created: the moment ``testbed up`` began, in ISO 8601.
        replay: the import's directory whose flows and rules it was programmed with;
            empty where it has those that were computed.
    """

    name: str
    pid: int
    start_time: int
    ready: bool
    datapath: str
    topology: str
    nodes: int
    pods: int
    created: str
    replay: str = ""

    def is_same_as(self, other: RunningTestbed) -> bool:
        """Whether both are one testbed, though it may have changed since."""
        return (self.name, self.pid, self.start_time) == (
            other.name,
            other.pid,
            other.start_time,
        )

    @property
    def runs(self) -> bool:
        """Whether its process is alive."""
        try:
            return process_start_time(self.pid) == self.start_time
        except ProcessLookupError:
            return False

    def inside(self, path: Path) -> Path:
        """A path of the sandbox as it is reached from outside."""
        return Path(f"/proc/{self.pid}/root", path.relative_to("/"))


def process_start_time(pid: int) -> int:
    """When a process began, in ticks since boot (proc(5)).

    Raises:
        ProcessLookupError: it has ended.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError as error:
        raise ProcessLookupError(pid) from error
    state, *fields = text.rpartition(")")[2].split()
    if state in "ZX":
        raise ProcessLookupError(pid)
    return int(fields[18])


def state_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where this user's testbeds are noted."""
    if chosen := environment.get("TESTBED_STATE_DIR"):
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/run/testbed-state")
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "testbed"
    return Path(f"/tmp/testbed-{os.geteuid()}")  # noqa: S108 - Registry checks its owner


class Registry:
    """The testbeds noted in one directory, which is made if it is missing.

    Raises:
        EmulationError: it cannot be made, or others may write to it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError:
            pass  # and is told below
        except OSError as error:
            raise _unusable(directory, error) from error
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise EmulationError(f"{directory} is not a directory of this user")
        if found.st_mode & 0o022:
            raise EmulationError(
                f"others may write to {directory}; type: chmod 700 {directory}"
            )

    def running(self) -> tuple[RunningTestbed, ...]:
        """Every testbed that runs or is being built, by name."""
        with self._lock():
            return self._alive()

    def find(
        self, name: str | None = None, *, made_by: str = "testbed up"
    ) -> RunningTestbed:
        """The testbed of that name; without one ``default``, or else the only one.

        ``made_by`` is what to type where none runs.

        Raises:
            NotFoundError: none, or more than one, is meant.
        """
        found = {testbed.name: testbed for testbed in self.running()}
        if (name or DEFAULT_NAME) in found:
            return found[name or DEFAULT_NAME]
        if name is None and len(found) == 1:
            return next(iter(found.values()))
        if not found:
            what = f"testbed {name}" if name else "testbed"
            raise NotFoundError(f"no {what} is running; type: {made_by}")
        names = ", ".join(found)
        if name is None:
            raise NotFoundError(f"several testbeds are running, name one: {names}")
        raise NotFoundError(f"no testbed {name} is running; there are: {names}")

    @contextlib.contextmanager
    def claim(self, testbed: RunningTestbed) -> Iterator[None]:
        """Take a testbed's name for it; give it back if the ``with`` block fails.

        Raises:
            EmulationError: the name is no name, or another testbed has it.
        """
        if not _NAME.fullmatch(testbed.name):
            raise EmulationError(
                f"{testbed.name!r} is no name for a testbed: up to 63 letters, digits, "
                "'.', '_' and '-', the first a letter or digit"
            )
        with self._lock():
            for other in self._alive():
                if other.name == testbed.name:
                    raise EmulationError(_taken(other))
            self._write(testbed)
        try:
            yield
        except BaseException:
            self.forget(testbed)
            raise

    def update(self, testbed: RunningTestbed, now: RunningTestbed) -> None:
        """Note what a testbed that was claimed has become.

        Raises:
            NotFoundError: it has been taken down meanwhile.
        """
        with self._lock():
            noted = _read(self._path(testbed.name))
            if not noted or not noted.is_same_as(testbed):
                raise NotFoundError(f"testbed {testbed.name} was taken down meanwhile")
            self._write(now)

    def forget(self, testbed: RunningTestbed) -> None:
        """Remove a testbed's file, unless the name is another's by now."""
        with self._lock():
            path = self._path(testbed.name)
            noted = _read(path)
            if noted and noted.is_same_as(testbed):
                path.unlink()

    def end(self, testbed: RunningTestbed) -> None:
        """Kill a testbed; its processes and namespaces are gone on return.

        Raises:
            DeadlineError: the kernel did not get rid of it.
        """
        with contextlib.suppress(ProcessLookupError):
            # The descriptor keeps meaning this process, so look who it is afterwards.
            process = os.pidfd_open(testbed.pid)
            try:
                if testbed.runs:
                    _kill(process, testbed)
            finally:
                os.close(process)
        self.forget(testbed)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        try:
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise _unusable(self._directory, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _alive(self) -> tuple[RunningTestbed, ...]:
        for path in self._directory.glob(f"*{_UNFINISHED}"):
            path.unlink()  # its writer was killed: who writes has the lock
        alive = []
        for path in sorted(self._directory.glob("*.json")):
            testbed = _read(path)
            if testbed and testbed.runs:
                alive.append(testbed)
            else:
                path.unlink()
        return tuple(alive)

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.json"

    def _write(self, testbed: RunningTestbed) -> None:
        written = self._directory / f"{testbed.name}{_UNFINISHED}"
        try:
            written.write_text(json.dumps(asdict(testbed)))
            written.rename(self._path(testbed.name))
        except OSError as error:
            with contextlib.suppress(OSError):
                written.unlink(missing_ok=True)
            raise _unusable(written, error) from error


def _read(path: Path) -> RunningTestbed | None:
    """What a file says, or nothing if there is none or not the whole of it.

    Raises:
        EmulationError: it says something else, as another version would.
    """
    try:
        fields = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    except OSError as error:
        raise EmulationError(f"{path} cannot be read; type: rm -r {path}") from error
    try:
        return RunningTestbed(**fields)
    except TypeError as error:
        raise EmulationError(
            f"{path} is another version's; take that testbed down with it, "
            f"or type: rm {path}"
        ) from error


def _unusable(path: Path, error: OSError) -> EmulationError:
    return EmulationError(
        f"cannot note testbeds in {path}: {(error.strerror or str(error)).lower()}; "
        "TESTBED_STATE_DIR names another directory"
    )


def _taken(other: RunningTestbed) -> str:
    if not other.ready:
        return f"testbed {other.name} is being built already, by process {other.pid}"
    return (
        f"testbed {other.name} runs already, since {other.created}; "
        f"type: testbed down {other.name}"
    )


def _kill(process: int, testbed: RunningTestbed) -> None:
    signal.pidfd_send_signal(process, signal.SIGKILL)
    seconds = patience(_DEATH_TIMEOUT)
    gone, _, _ = select.select([process], [], [], seconds)
    if not gone:
        raise DeadlineError(
            f"testbed {testbed.name}: process {testbed.pid} survives SIGKILL "
            f"for {seconds:g} s"
        )
