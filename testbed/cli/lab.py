"""``testbed lab``: learn the SDN in a cluster of your own."""

from typing import TYPE_CHECKING, Annotated

import typer

from testbed.cli.lab_rehearse import rehearse
from testbed.cli.lab_session import page_of, print_pages, under_way, work
from testbed.cli.lab_task import check, hint, reset, solve, status
from testbed.cli.options import (
    JsonOption,
    LabArgument,
    NameOption,
    ShelfOption,
    built_testbed,
)
from testbed.emulation.registry import DEFAULT_NAME

if TYPE_CHECKING:
    from collections.abc import Callable


def list_labs(shelf: ShelfOption = None, *, as_json: JsonOption = False) -> None:
    """List the labs, in the order in which they teach."""
    from testbed.cli.output import print_json, print_table
    from testbed.labs.shelf import all_labs

    labs = all_labs(shelf)
    if as_json:
        print_json(
            [
                {
                    "number": lab.number,
                    "name": lab.name,
                    "title": lab.title,
                    "minutes": lab.minutes,
                    "tables": list(lab.tables),
                    "tasks": [task.name for task in lab.tasks],
                    "directory": str(lab.directory),
                }
                for lab in labs
            ]
        )
        return
    print_table(
        ("LAB", "NAME", "TASKS", "MINUTES", "ABOUT"),
        (
            (
                str(lab.number),
                lab.name,
                str(len(lab.tasks)),
                str(lab.minutes),
                lab.title,
            )
            for lab in labs
        ),
    )


def start(
    lab: LabArgument,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What to call the testbed.")
    ] = DEFAULT_NAME,
    shelf: ShelfOption = None,
) -> None:
    """Build a lab's cluster, and say what it is about and what is to be done first."""
    from testbed.cli.up import up
    from testbed.labs.progress import PROGRESS, Progress
    from testbed.labs.shelf import find_lab
    from testbed.labs.text import lab_page

    wanted = find_lab(lab, shelf)
    up(topology=wanted.topology, name=name, datapath=None)
    testbed = built_testbed(name)
    Progress.at_the_start(wanted).save(testbed.inside(PROGRESS))
    work(testbed, wanted, do=[(0, "begin")])
    print_pages(lab_page(wanted), page_of(wanted, 0, testbed))


def show(
    lab: Annotated[
        str | None,
        typer.Argument(metavar="LAB", help="Which.", show_default="the one you are at"),
    ] = None,
    name: NameOption = None,
    shelf: ShelfOption = None,
) -> None:
    """Print a lab's goal and background again."""
    from testbed.labs.shelf import find_lab
    from testbed.labs.text import lab_page

    print_pages(lab_page(find_lab(lab, shelf) if lab else under_way(name)[1]))


lab = typer.Typer(
    help="Learn the SDN in a cluster of your own, step by step.",
    no_args_is_help=True,
)


def _add(name: str, function: "Callable[..., None]", *examples: str) -> None:
    lab.command(name, epilog="\n\n".join(["Examples:", *examples]))(function)


_add("list", list_labs, "testbed lab list", "testbed lab list --labs ~/my-labs")
_add("start", start, "testbed lab start 1", "testbed lab start ~/my-labs/routes/")
_add("show", show, "testbed lab show", "testbed lab show vxlan | less")
_add("status", status, "testbed lab status", "testbed lab status --json")
_add("hint", hint, "testbed lab hint")
_add("check", check, "testbed lab check", "testbed lab check 0 20 21 30")
_add("solve", solve, "testbed lab solve --dry-run", "testbed lab solve")
_add("reset", reset, "testbed lab reset", "testbed lab reset mend")
_add("rehearse", rehearse, "testbed lab rehearse", "testbed lab rehearse ./routes")
