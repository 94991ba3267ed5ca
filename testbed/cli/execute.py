"""``testbed exec``: run a command in a machine of a running testbed."""

import os
from collections import Counter
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from testbed.cli.options import NameOption, built_testbed, cluster_of
from testbed.emulation import machines, sandbox
from testbed.emulation.machines import Kind, Machine

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from testbed.emulation.registry import RunningTestbed
    from testbed.errors import NotFoundError


def execute(
    where: Annotated[
        str,
        typer.Argument(
            metavar="WHERE",
            help="A node, NAMESPACE/POD, external:NAME or rogue:NAME.",
            show_default=False,
        ),
    ],
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- COMMAND",
            help="What to run.",
            show_default="an interactive shell",
        ),
    ] = None,
    name: NameOption = None,
) -> NoReturn:
    """Run a command in a node, a pod or another machine.

    Terminal, signals and exit status are the command's own.
    """
    testbed = built_testbed(name)
    machine = _find(testbed, where.removeprefix("node:"))
    command = command or [os.environ.get("SHELL", "bash")]
    argv = [*sandbox.enter_argv(testbed.pid), *machine.argv(*command)]
    os.execvp(argv[0], argv)  # noqa: S606 - a shell is what there must not be


def _find(testbed: "RunningTestbed", where: str) -> Machine:
    known = names(machines.load(testbed.inside(machines.FILE)))
    if where not in known:
        # Only now, because reading the topology takes longer than all the rest.
        for pod in cluster_of(testbed).pods:
            if pod.host_network:
                known[pod.key] = known[pod.node]
    if where not in known:
        raise _unknown(where, known, testbed)
    return known[where]


def names(machines: "Iterable[Machine]") -> dict[str, Machine]:
    """The machines by each name that a user may give them."""
    machines = tuple(machines)
    known = {
        machine.name.replace("_", "/") if machine.kind is Kind.POD else machine.name: (
            machine
        )
        for machine in machines
    }
    nodes = [machine for machine in machines if machine.kind is Kind.NODE]
    labels = Counter(node.name.split(".", 1)[0] for node in nodes)
    for node in nodes:
        label = node.name.split(".", 1)[0]
        if labels[label] == 1:
            known.setdefault(label, node)
    return known


def _unknown(
    where: str, known: "Collection[str]", testbed: "RunningTestbed"
) -> "NotFoundError":
    from difflib import get_close_matches

    from testbed.errors import NotFoundError

    close = get_close_matches(where, known) or sorted(known)
    return NotFoundError(
        f"no machine {where} in testbed {testbed.name}; there are: {', '.join(close)}"
    )
