"""``testbed scenario new``: a complaint becomes a pytest file, to keep."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from testbed.cli import COULD_NOT
from testbed.cli.options import TOPOLOGY, NameOption, TopologyOption, built_testbed
from testbed.cli.questions import (
    Asked,
    DestinationArgument,
    PortOption,
    ProtocolOption,
    traffic_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbed.emulation.programming import Fault
    from testbed.scenario.complaint import Complaint

scenario = typer.Typer(
    help="Write scenarios: pytest files that say what must become of packets.",
    no_args_is_help=True,
)

_EXAMPLES = (
    "Examples:",
    "testbed scenario new --from shop/web svc:backend/db",
    "testbed scenario new --from shop/web backend/db-0 --dport 3306 --replay tonight",
    "testbed scenario new --from lab/client-a node:oc-03 -o test_it.py",
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@scenario.command(
    "new",
    epilog="\n\n".join(_EXAMPLES),
)
def new(  # noqa: PLR0913, PLR0917 - a command has as many options as it has
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="SRC",
            help="Who sends: as for `testbed probe`.",
            show_default=False,
        ),
    ],
    destination: DestinationArgument,
    protocol: ProtocolOption = None,
    dport: PortOption = None,
    name: NameOption = None,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--replay",
            metavar="DIR",
            help="What `testbed import` wrote; nothing needs to run, nor root.",
            show_default=False,
        ),
    ] = None,
    topology: TopologyOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.py",
            help="Where to.",
            show_default="test_…py here, named after what it claims",
        ),
    ] = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what is there.")
    ] = False,
) -> None:
    """Write a scenario that fails until a packet fares as it must.

    What must happen is told by the objects. The cluster that it runs in is named in it:
    an import's DIR, with what was collected, or a topology FILE. Of a running testbed
    the objects are written beside it, and flows and iptables of the nodes that have
    others than 3.11 would program.
    """
    given = [item for item in (name, directory, topology) if item is not None]
    if len(given) > 1:
        raise typer.BadParameter("--name, --replay and --topology exclude each other")
    asked = Asked(
        verb="explain",
        source=source,
        destination=destination,
        protocol=protocol,
        dport=dport,
        as_json=True,
    )
    if directory or topology:
        written = _of_files(asked, directory, topology, output, force=force)
    else:
        written = _of_running(asked, name, output, force=force)
    typer.echo(str(written))


def _of_files(
    asked: Asked,
    directory: Path | None,
    topology: Path | None,
    output: Path | None,
    *,
    force: bool,
) -> Path:
    """A scenario about an import's directory, or about a topology file."""
    there = directory or topology or Path()
    complaint = _traced(asked, there, str(there), is_replay=directory is not None)
    target = _target(complaint, output, force=force)
    path = os.path.relpath(there.resolve(), target.parent.resolve())
    return _written(complaint, target, "replay" if directory else "topology", path)


def _of_running(
    asked: Asked, name: str | None, output: Path | None, *, force: bool
) -> Path:
    """A scenario about a running testbed, of which a snapshot is kept beside it."""
    from dataclasses import replace

    from testbed.scenario.snapshot import not_kept, snapshot

    testbed = built_testbed(name)
    for told in not_kept(testbed):
        typer.echo(f"note: this is not kept with the scenario: {told}", err=True)
    place = f"testbed {testbed.name}"
    with tempfile.TemporaryDirectory(prefix="testbed-") as temporary:
        files = snapshot(testbed, TOPOLOGY)
        _keep(files, Path(temporary))
        is_replay = any(path.startswith("nodes/") for path in files)
        there = Path(temporary) if is_replay else Path(temporary, "topology.yaml")
        complaint = _traced(asked, there, place, is_replay=is_replay)
    seen = _asked(testbed.pid, asked)
    complaint = replace(complaint, told=seen["paragraph"], agrees=seen["agrees"])
    target = _target(complaint, output, force=force)
    beside = target.parent / target.stem.removeprefix("test_")
    if beside.exists() and not force:
        raise typer.BadParameter(f"{beside} is there; choose another, or say --force")
    _keep(files, beside)
    if is_replay:
        return _written(complaint, target, "replay", beside.name)
    return _written(complaint, target, "topology", f"{beside.name}/topology.yaml")


def _traced(asked: Asked, there: Path, place: str, *, is_replay: bool) -> "Complaint":
    """The complaint, traced in an import's directory or in a topology file."""
    from testbed.faults.reading import declared
    from testbed.replay.offline import traced
    from testbed.scenario.complaint import Complaint, must_be_answered

    faults: tuple[Fault, ...] = ()
    if is_replay:
        from testbed.replay.install import check_flows
        from testbed.replay.reading import replay

        found = replay(there)
        check_flows(found)
        topology, faults = found.topology, found.faults()
    else:
        from testbed.topology import load

        topology = load(there)
    cluster, faults = topology.cluster, (*faults, *declared(topology))
    traffic = traffic_of(cluster, asked)
    followed = traced(cluster, traffic, faults)
    verdict, answer = followed.verdict, followed.answer
    is_answered = must_be_answered(cluster, traffic, verdict.expected, followed.reply)
    is_lost = is_answered and answer is not None and not answer.agrees
    return Complaint(
        cluster=cluster,
        source=asked.source,
        destination=asked.destination,
        traffic=traffic,
        expected=verdict.expected,
        is_answered=is_answered,
        told=verdict.paragraph,
        agrees=verdict.agrees,
        answer=answer.paragraph if answer and is_lost else "",
        place=place,
    )


def _asked(pid: int, asked: Asked) -> Any:  # noqa: ANN401 - JSON
    """What all three witnesses say in a running testbed."""
    from dataclasses import asdict

    from testbed.emulation import sandbox

    question = json.dumps(asdict(asked))
    done = subprocess.run(
        [
            *sandbox.enter_argv(pid),
            *(sys.executable, "-m", "testbed.cli.answers", question),
        ],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    if not done.stdout:
        raise typer.Exit(COULD_NOT)  # it has said why
    return json.loads(done.stdout)


def _target(complaint: "Complaint", output: Path | None, *, force: bool) -> Path:
    """The file to write, which pytest must find and Python import."""
    from testbed.scenario.text import scenario_name

    target = output or Path(f"test_{scenario_name(complaint)}.py")
    if target.suffix != ".py" or not _NAME.fullmatch(target.stem):
        raise typer.BadParameter(
            f"{target} is no name for a Python file: letters, digits and _, then .py"
        )
    if target.exists() and not force:
        raise typer.BadParameter(f"{target} is there; choose another, or say --force")
    if not target.parent.is_dir():
        raise typer.BadParameter(f"there is no directory {target.parent}")
    return target


def _keep(files: "Mapping[str, str]", beside: Path) -> None:
    for path, text in files.items():
        (beside / path).parent.mkdir(parents=True, exist_ok=True)
        (beside / path).write_text(text)


def _written(complaint: "Complaint", target: Path, marker: str, path: str) -> Path:
    from testbed.scenario.text import scenario_text

    target.write_text(scenario_text(complaint, marker, path, target.name))
    if complaint.agrees and not complaint.answer:
        typer.echo(
            "note: nothing is wrong with this packet, as far as was seen; the scenario "
            "passes",
            err=True,
        )
    typer.echo(f"type: pytest {target}", err=True)
    return target
