"""``testbed lab``: learn the SDN in a cluster of your own."""

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.cli import COULD_NOT
from testbed.cli.lab_session import (
    number_at,
    page_of,
    print_now,
    print_pages,
    under_way,
    work,
)
from testbed.cli.options import JsonOption, NameOption, built_testbed, registry
from testbed.emulation.registry import DEFAULT_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from testbed.emulation.registry import RunningTestbed
    from testbed.labs.findings import Finding
    from testbed.labs.model import Lab
    from testbed.labs.progress import Progress, State


_SIDE_BY_SIDE = 2
"""Labs that are rehearsed at a time."""

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
TaskArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="TASK",
        help="Its number or name.",
        show_default="the one you are at",
    ),
]


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


def status(name: NameOption = None, *, as_json: JsonOption = False) -> None:
    """Say how far you are, and what is to be done now; exit 1 until all is done."""
    from testbed.cli.output import print_json
    from testbed.labs.text import task_lines

    testbed, lab, progress = under_way(name)
    current = progress.current
    if as_json:
        print_json(
            {
                "testbed": testbed.name,
                "lab": lab.name,
                "started": progress.started,
                "current": None if current is None else lab.tasks[current].name,
                "tasks": [asdict(task) for task in progress.tasks],
            }
        )
    else:
        typer.echo(f"lab {lab.number} {lab.name}: {lab.title}")
        typer.echo("\n".join(task_lines(lab, progress)))
        print_now(testbed, lab, progress)
    raise typer.Exit(0 if current is None else 1)


def hint(name: NameOption = None) -> None:
    """Give the next hint for the task you are at; each says more than the last."""
    from testbed.labs.progress import PROGRESS
    from testbed.labs.text import hint_page

    testbed, lab, progress = under_way(name)
    number = number_at(lab, progress)
    hints, given = lab.tasks[number].hints, progress.tasks[number].hints
    shown = range(min(given + 1, len(hints)))
    print_pages(*(hint_page(lab, number, place) for place in shown))
    if given < len(hints):
        progress.with_task(number, hints=given + 1).save(testbed.inside(PROGRESS))
    else:
        typer.echo("there are no more; a solution is shown by: testbed lab solve")


def check(
    answer: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ANSWER", help="To the task's question.", show_default=False
        ),
    ] = None,
    name: NameOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Send packets and see whether the task is solved; exit 0 if it is.

    What was seen is told, not what to do. Exit status 1: it is not; 2: it could not be
    told.
    """
    from testbed.errors import NotFoundError
    from testbed.labs.progress import PROGRESS, State

    testbed, lab, progress = under_way(name)
    number = number_at(lab, progress)
    task = lab.tasks[number]
    if task.asks and not answer:
        raise NotFoundError(
            f"task {task.name} asks: {task.asks}\ntype: testbed lab check ANSWER"
        )
    if answer and not task.asks:
        raise NotFoundError(f"task {task.name} asks nothing; type: testbed lab check")
    _, findings = work(testbed, lab, check=number, answer=" ".join(answer or ()))
    progress = progress.with_task(number, checks=progress.tasks[number].checks + 1)
    progress.save(testbed.inside(PROGRESS))
    _judged(testbed, lab, progress, findings, State.SOLVED, as_json=as_json)


def solve(
    name: NameOption = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show it only; do nothing.")
    ] = False,
) -> None:
    """Show a solution of the task you are at, and do it; the next task begins."""
    testbed, lab, progress = under_way(name)
    number = number_at(lab, progress)
    task = lab.tasks[number]
    if dry_run:
        for step in task.solution:
            typer.echo(f"$ {step.command}")
        return
    from testbed.labs.findings import answer_of
    from testbed.labs.progress import State
    from testbed.labs.text import done_lines

    done, findings = work(testbed, lab, do=[(number, "solution")], check=number)
    for item in done:
        typer.echo("\n".join(done_lines(item)))
    if task.asks:
        typer.echo(f"$ testbed lab check {answer_of(done)}")
    _judged(testbed, lab, progress, findings, State.SHOWN)


def reset(task: TaskArgument = None, name: NameOption = None) -> None:
    """Build the cluster anew, as it was when a task began.

    Tasks before it are done as the reference does them; those from it on are open.
    """
    from testbed.cli.up import up
    from testbed.emulation.wiring import Datapath
    from testbed.labs.progress import PROGRESS

    testbed, lab, progress = under_way(name)
    current = len(lab.tasks) - 1 if progress.current is None else progress.current
    number = current if task is None else lab.place(task)
    registry().end(testbed)
    up(
        topology=lab.topology,
        name=testbed.name,
        datapath=Datapath(testbed.datapath),
    )
    testbed = built_testbed(testbed.name)
    progress = progress.back_at(number)
    progress.save(testbed.inside(PROGRESS))
    before = [(place, which) for place in range(number) for which in _BOTH]
    work(testbed, lab, do=[*before, (number, "begin")])
    print_now(testbed, lab, progress)


_BOTH = ("begin", "solution")


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


def _judged(  # noqa: PLR0913 - of one judgement
    testbed: "RunningTestbed",
    lab: "Lab",
    progress: "Progress",
    findings: "list[Finding]",
    state: "State",
    *,
    as_json: bool = False,
) -> None:
    """Say what was found; where all is well, go on to the next task."""
    from testbed.cli.output import print_json
    from testbed.labs.findings import passed
    from testbed.labs.progress import PROGRESS
    from testbed.labs.text import finding_line

    number = number_at(lab, progress)
    verdict = passed(findings)
    if verdict:
        progress = progress.ended(number, state)
        progress.save(testbed.inside(PROGRESS))
        if progress.current is not None:
            work(testbed, lab, do=[(progress.current, "begin")])
    if as_json:
        print_json(
            {
                "task": lab.tasks[number].name,
                "passed": verdict,
                "findings": [asdict(finding) for finding in findings],
                "done": progress.done,
                "tasks": len(lab.tasks),
            }
        )
    else:
        typer.echo("\n".join(map(finding_line, findings)))
        if verdict:
            typer.echo(f"task {lab.tasks[number].name} is {state}\n")
            print_now(testbed, lab, progress)
        elif verdict is None:
            typer.echo("it could not be told; try again, or: testbed lab reset")
    raise typer.Exit({True: 0, False: 1, None: COULD_NOT}[verdict])


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
