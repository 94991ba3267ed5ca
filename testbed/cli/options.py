"""Options that several commands have, and the testbed and cluster they lead to."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.emulation.machines import RUN_DIR
from testbed.emulation.registry import Registry, RunningTestbed, state_directory
from testbed.errors import EmulationError

if TYPE_CHECKING:
    from testbed.model import Cluster

TOPOLOGY = RUN_DIR / "topology.yaml"
"""What a testbed was built from, kept in its sandbox."""

NameArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        help="The testbed's name.",
        show_default="'default' if it runs, else the only one",
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="The testbed's name.",
        show_default="'default' if it runs, else the only one",
    ),
]
TopologyOption = Annotated[
    Path | None,
    typer.Option(
        "--topology",
        "-t",
        metavar="FILE",
        help="OpenShift API objects, as `oc get -o yaml` prints them.",
        show_default="four-node.yaml, which comes with the testbed",
    ),
]
LabArgument = Annotated[
    str,
    typer.Argument(
        metavar="LAB",
        help="Its number or name, or the directory of one of your own.",
        show_default=False,
    ),
]
ShelfOption = Annotated[
    Path | None,
    typer.Option(
        "--labs",
        metavar="DIR",
        envvar="TESTBED_LABS",
        help="Where labs are, each a directory.",
        show_default="those that come with the testbed",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def registry() -> Registry:
    """The registry of this user's testbeds."""
    return Registry(state_directory())


def built_testbed(name: str | None, *, made_by: str = "testbed up") -> RunningTestbed:
    """The testbed that a name, or no name, means; ``made_by`` is what makes one.

    Raises:
        NotFoundError: it does not run, or several do.
        EmulationError: it is still being built.
    """
    testbed = registry().find(name, made_by=made_by)
    if not testbed.ready:
        raise EmulationError(f"testbed {testbed.name} is still being built")
    return testbed


def cluster_of(testbed: RunningTestbed) -> "Cluster":
    """What a testbed was built from."""
    from testbed.topology import load

    return load(testbed.inside(TOPOLOGY)).cluster
