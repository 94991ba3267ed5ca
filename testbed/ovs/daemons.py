"""One switch's two daemons, with a run directory of their own.

Everything lives in the run directory: database, sockets, pid files and logs, so any
number of switches run side by side, as any user.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.errors import DeadlineError, PrerequisiteError, SwitchError
from testbed.process import end, run, runs, spawn, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
_START_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchDaemons:
    """Where a running ovsdb-server and ovs-vswitchd are to be reached."""

    run_dir: Path

    @property
    def database_socket(self) -> Path:
        """The socket that OVSDB clients connect to."""
        return self.run_dir / "db.sock"

    @property
    def vswitchd_pid(self) -> int:
        """ovs-vswitchd's process id, from its pid file."""
        return int((self.run_dir / "ovs-vswitchd.pid").read_text())

    @property
    def control_socket(self) -> Path:
        """The socket that ``ovs-appctl`` connects to."""
        return self.run_dir / f"ovs-vswitchd.{self.vswitchd_pid}.ctl"

    @property
    def log(self) -> Path:
        """ovs-vswitchd's log."""
        return self.run_dir / "ovs-vswitchd.log"

    def check(self) -> None:
        """See that both run, before something is asked of them.

        Raises:
            SwitchError: one has died.
        """
        for program in ("ovsdb-server", "ovs-vswitchd"):
            pid = (self.run_dir / f"{program}.pid").read_text().strip()
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except FileNotFoundError:
                command = b""
            # A dead process that nobody has waited for has no command line.
            if program.encode() not in command:
                raise SwitchError(
                    f"{program} of {self.run_dir.name} has died; "
                    f"what it did last is in {self.run_dir / program}.log"
                )


def create_database(path: Path) -> None:
    """Create an empty Open_vSwitch database.

    Raises:
        PrerequisiteError: Open vSwitch is not installed.
    """
    if not SCHEMA.exists() or not shutil.which("ovsdb-tool"):
        raise PrerequisiteError(
            "Open vSwitch is not installed; run './run setup' "
            "or install the package openvswitch-switch"
        )
    run(["ovsdb-tool", "create", str(path), str(SCHEMA)])


@contextlib.contextmanager
def start_daemons(
    run_dir: Path,
    *,
    database: Path,
    enter: Sequence[str] = (),
    options: Sequence[str] = (),
) -> Iterator[SwitchDaemons]:
    """Run ovsdb-server and ovs-vswitchd until the ``with`` block ends.

    Args:
        run_dir: an existing directory that becomes theirs.
        database: an empty database (``create_database``), which is copied.
        enter: what to put before each command line, to run it in a namespace.
        options: more options of ovs-vswitchd, as ``--disable-system``.

    Raises:
        SwitchError: a daemon did not come up.
    """
    daemons = SwitchDaemons(run_dir=run_dir)
    shutil.copyfile(database, run_dir / "conf.db")
    with contextlib.ExitStack() as stack:
        stack.callback(_end_restarted, daemons)
        stack.enter_context(
            _daemon(
                daemons,
                [
                    *enter,
                    "ovsdb-server",
                    *_common_options(run_dir, "ovsdb-server"),
                    f"--remote=punix:{daemons.database_socket}",
                    str(run_dir / "conf.db"),
                ],
                ready=daemons.database_socket,
            )
        )
        stack.enter_context(
            _daemon(
                daemons,
                _vswitchd_argv(daemons, enter, options),
                ready=run_dir / "ovs-vswitchd.pid",
            )
        )
        yield daemons


def kill_vswitchd(daemons: SwitchDaemons) -> None:
    """Kill ovs-vswitchd, as a crash would; on return it is gone.

    Its pid file and its control socket stay behind.

    Raises:
        SwitchError: it does not run.
    """
    daemons.check()
    end(daemons.vswitchd_pid)


def restart_vswitchd(daemons: SwitchDaemons, *, enter: Sequence[str] = ()) -> None:
    """Start ovs-vswitchd again where it was killed, and return when it serves.

    Bridges and ports are as OVSDB has them; there are no flows. It outlives this
    process, and ends with the daemons that were started first.

    Args:
        daemons: where; ovsdb-server must run there.
        enter: what to put before its command line.

    Raises:
        SwitchError: it did not come up.
    """
    pid_file = daemons.run_dir / "ovs-vswitchd.pid"
    stale = daemons.control_socket
    pid_file.unlink()
    stale.unlink(missing_ok=True)
    log = daemons.run_dir / "ovs-vswitchd.words"
    child = spawn(
        _vswitchd_argv(daemons, enter, ()),
        output=log,
        environment={**os.environ, "OVS_RUNDIR": str(daemons.run_dir)},
    )
    try:
        wait_until(
            lambda: (
                (pid_file.exists() and daemons.control_socket.exists())
                or not runs(child)
            ),
            timeout=_START_TIMEOUT,
            what=f"{pid_file} exists",
        )
    except DeadlineError as error:
        raise SwitchError(str(error)) from error
    if not pid_file.exists():
        raise SwitchError(f"ovs-vswitchd did not start again: {log.read_text()}")


def _vswitchd_argv(
    daemons: SwitchDaemons, enter: Sequence[str], options: Sequence[str]
) -> list[str]:
    return [
        *enter,
        "ovs-vswitchd",
        *_common_options(daemons.run_dir, "ovs-vswitchd"),
        *options,
        f"unix:{daemons.database_socket}",
    ]


def _end_restarted(daemons: SwitchDaemons) -> None:
    """End the ovs-vswitchd that is there, if it is another than was started first."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        pid = daemons.vswitchd_pid
        if runs(pid, f"--log-file={daemons.run_dir / 'ovs-vswitchd'}.log"):
            end(pid)


def _common_options(run_dir: Path, program: str) -> list[str]:
    return [
        "--no-chdir",
        "--pidfile",
        f"--log-file={run_dir / program}.log",
        "-vconsole:off",
        "-vsyslog:off",
    ]


@contextlib.contextmanager
def _daemon(
    daemons: SwitchDaemons, argv: Sequence[str], *, ready: Path
) -> Iterator[None]:
    # In memory, for a full disk is among the things that it may have to tell.
    with os.fdopen(os.memfd_create("last words"), "r+b") as last_words:
        process = subprocess.Popen(
            argv,
            env={**os.environ, "OVS_RUNDIR": str(daemons.run_dir)},
            stdin=subprocess.DEVNULL,
            stdout=last_words,
            stderr=last_words,
            start_new_session=True,
        )
        try:
            try:
                wait_until(
                    lambda: ready.exists() or process.poll() is not None,
                    timeout=_START_TIMEOUT,
                    what=f"{ready} exists",
                )
            except DeadlineError as error:
                raise SwitchError(str(error)) from error
            if not ready.exists():
                last_words.seek(0)
                said = last_words.read().decode(errors="replace").strip()
                raise SwitchError(
                    f"{' '.join(argv)} exited {process.returncode}: {said}"
                    f"{_warnings(argv)}"
                )
            yield
        finally:
            process.kill()  # it has nothing to save, and asking politely takes 0.3 s
            process.wait()


def _warnings(argv: Sequence[str]) -> str:
    """What a daemon warned of in its log; since OVS 3.5 the cause is only there."""
    log = next(
        Path(word.partition("=")[2]) for word in argv if word.startswith("--log-file=")
    )
    if not log.exists():
        return ""
    lines = log.read_text(errors="replace").splitlines()
    return "".join(
        f"\n{line}" for line in lines if re.search(r"\|(WARN|ERR|EMER)\|", line)
    )
