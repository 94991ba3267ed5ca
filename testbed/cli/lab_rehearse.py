"""``testbed lab rehearse``: whether labs are as they should be, for who writes them."""

import subprocess
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.cli.options import ShelfOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbed.labs.model import Lab

_SIDE_BY_SIDE = 2
"""Labs that are rehearsed at a time."""


def rehearse(
    labs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="LAB",
            help="Numbers, names, or directories of your own.",
            show_default="all",
        ),
    ] = None,
    shelf: ShelfOption = None,
) -> None:
    """Try a lab's solutions: the right ones must pass, the wrong ones must not.

    For whoever writes labs. Builds and takes down clusters of its own, of several labs
    side by side; exit 1 if a lab is not as it should be.
    """
    from testbed.labs.shelf import all_labs, find_lab

    chosen = [find_lab(lab, shelf) for lab in labs] if labs else all_labs(shelf)
    if len(chosen) > 1:
        raise typer.Exit(_rehearse_all(chosen))
    from testbed.emulation import sandbox

    program = [sys.executable, "-m", "testbed.labs.rehearsal"]
    raise typer.Exit(sandbox.run([*program, *(str(lab.directory) for lab in chosen)]))


def _rehearse_all(labs: "Sequence[Lab]") -> int:
    """Rehearse labs in a process each, and return the worst exit status.

    They mostly wait for packets that do not come.
    """
    from concurrent.futures import ThreadPoolExecutor

    def rehearsed(lab: "Lab") -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "testbed", "lab", "rehearse"]
        return subprocess.run(
            [*program, f"{lab.directory}/"],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )

    worst = 0
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        for done in pool.map(rehearsed, labs):
            typer.echo(done.stdout, nl=False)
            worst = max(worst, done.returncode)
    return worst
