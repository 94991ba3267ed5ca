"""``testbed apply`` and ``testbed delete``: change a running testbed's objects."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.cli import COULD_NOT, HALFWAY
from testbed.cli.options import TOPOLOGY, NameOption, built_testbed, registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.emulation.registry import RunningTestbed
    from testbed.errors import SDNError
    from testbed.topology import Topology

_STDIN = Path("/dev/stdin")

FileOption = Annotated[
    Path,
    typer.Option(
        "--filename",
        "-f",
        metavar="FILE",
        help="OpenShift API objects; - is stdin.",
        show_default=False,
    ),
]


def apply(filename: FileOption, name: NameOption = None) -> None:
    """Apply objects to a running testbed: they replace those of their name, and add.

    Whatever a cluster would hand out (addresses, VNIDs) stays as it is. Flows that do
    not change keep their counters.
    """
    text, shown = _read(filename)
    with changing(name) as (testbed, before):
        _change(testbed, before, before.applied(text, shown))


def delete(filename: FileOption, name: NameOption = None) -> None:
    """Delete objects from a running testbed; only their kinds and names matter.

    With a Namespace goes everything that is in it.
    """
    text, shown = _read(filename)
    with changing(name) as (testbed, before):
        _change(testbed, before, before.deleted(text, shown))


def _read(filename: Path) -> tuple[str, str]:
    from testbed.topology import read_text

    if str(filename) == "-":
        return read_text(_STDIN), "stdin"
    return read_text(filename), str(filename)


@contextlib.contextmanager
def changing(name: str | None) -> "Iterator[tuple[RunningTestbed, Topology]]":
    """Have a testbed to oneself, and what it is."""
    from testbed.topology import load

    testbed = built_testbed(name)
    path = testbed.inside(TOPOLOGY)
    # Not the file, which a change replaces.
    locked = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(locked, fcntl.LOCK_EX)
        yield testbed, load(path)
    finally:
        os.close(locked)


def run_inside(testbed: "RunningTestbed", module: str, stdin: str) -> None:
    """Run the part of a command that changes a testbed, inside its sandbox.

    Raises:
        NotFoundError: the testbed was taken down meanwhile.
        EmulationError: the change was killed.
    """
    from testbed.emulation import sandbox

    # A change that has begun is not left halfway by Ctrl-C; its deadlines end it.
    heeded = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = subprocess.run(
            [*sandbox.enter_argv(testbed.pid), sys.executable, "-m", module],
            input=stdin,
            text=True,
            check=False,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, heeded)
    if done.returncode == COULD_NOT:
        raise typer.Exit(COULD_NOT)  # it has said why
    if done.returncode:
        raise _killed(testbed, done.returncode)


def _change(testbed: "RunningTestbed", before: "Topology", after: "Topology") -> None:
    from testbed.errors import EmulationError

    for warning in after.warnings:
        if warning not in before.warnings:
            typer.echo(warning, err=True)
    if _listed_faults(before) != _listed_faults(after):
        raise EmulationError(
            "the Underlay's faults are those that a testbed begins with; "
            "while it runs, type: testbed fault"
        )
    run_inside(testbed, "testbed.cli.changer", after.text())
    registry().update(testbed, replace(testbed, pods=len(after.cluster.pods)))
    typer.echo("\n".join(_told(before, after)) or "nothing changed")


def _listed_faults(topology: "Topology") -> object:
    from testbed.topology.document import plain

    for source in topology.objects:
        fields = plain(source.node)
        if source.kind == "Underlay" and isinstance(fields, dict):
            return fields.get("faults")
    return None


def _killed(testbed: "RunningTestbed", status: int) -> "SDNError":
    """What to say of a changer that could not say it."""
    from testbed.errors import DeadlineError, EmulationError, NotFoundError
    from testbed.process import wait_until

    with contextlib.suppress(DeadlineError):
        # The changer of a testbed that is taken down ends before its PID 1.
        wait_until(lambda: not testbed.runs, timeout=5, what="it is down")
        return NotFoundError(f"testbed {testbed.name} was taken down meanwhile")
    return EmulationError(f"the change was killed ({status}); {HALFWAY}")


def _told(before: "Topology", after: "Topology") -> "Iterator[str]":
    """A line for each object that is not what it was."""
    old = {(source.kind, source.key): source for source in before.objects}
    new = {(source.kind, source.key): source for source in after.objects}
    for key, source in new.items():
        if key not in old:
            yield f"{source} created"
        elif not source.says_the_same_as(old[key]):
            yield f"{source} configured"
    for key, source in old.items():
        if key not in new:
            yield f"{source} deleted"
