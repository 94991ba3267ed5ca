"""The commands of ``testbed lab`` about the task that a student is at."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.cli import COULD_NOT
from testbed.cli.lab_session import (
    number_at,
    print_now,
    print_pages,
    under_way,
    work,
)
from testbed.cli.options import JsonOption, NameOption, built_testbed, registry

if TYPE_CHECKING:
    from testbed.emulation.registry import RunningTestbed
    from testbed.labs.findings import Finding
    from testbed.labs.model import Lab
    from testbed.labs.progress import Progress, State

TaskArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="TASK",
        help="Its number or name.",
        show_default="the one you are at",
    ),
]

_BOTH = ("begin", "solution")
"""What is done of a task that is passed over."""


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
