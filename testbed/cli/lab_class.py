"""``testbed lab class``: a sandbox per student, and what the teacher sees of it."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from testbed.cli.options import JsonOption, LabArgument, ShelfOption
from testbed.emulation.registry import state_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from testbed.labs.classroom import Classroom, Student
    from testbed.labs.model import Lab

ClassOption = Annotated[
    str,
    typer.Option("--class", metavar="NAME", help="What the class is called."),
]


def start(  # noqa: PLR0913, PLR0917 - a command has as many options as it has
    lab: LabArgument,
    count: Annotated[
        int | None,
        typer.Option(
            "-n",
            metavar="COUNT",
            min=1,
            max=500,
            help="So many students, called student-01 and so on.",
            show_default=False,
        ),
    ] = None,
    accounts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Who they are: CSV, its first column, or that headed account.",
            show_default=False,
        ),
    ] = None,
    name: ClassOption = "class",
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            help="How many sandboxes are built at a time.",
            show_default="one for each processor",
        ),
    ] = None,
    shelf: ShelfOption = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Even if memory may not suffice.")
    ] = False,
) -> None:
    """Start a lab for every student who has no testbed yet; root is not needed.

    Students work in the account that starts the class. Each gets a shell with
    `testbed lab class enter ACCOUNT`; there is no testbed in it but their own. Start
    again with a longer list for those who come late. Exit 1 if some could not start.
    """
    from testbed.labs.accounts import numbered, read_accounts
    from testbed.labs.shelf import find_lab

    if (count is None) == (accounts is None):
        raise typer.BadParameter("give one of -n and --accounts")
    wanted = numbered(count) if count else read_accounts(accounts or Path())
    chosen = find_lab(lab, shelf)
    room = _classroom(name)
    everybody = room.enrol(wanted)
    waiting = [account for account in everybody if not room.testbeds(account)]
    if not force:
        _refuse_too_many(chosen, waiting)
    if not _started(room, chosen, waiting, jobs or os.cpu_count() or 1):
        raise typer.Exit(1)


def status(name: ClassOption = "class", *, as_json: JsonOption = False) -> None:
    """Show how far every student is."""
    from testbed.cli.output import print_json, print_table

    students = _classroom(name).students()
    if as_json:
        print_json([asdict(student) for student in students])
        return
    print_table(
        ("ACCOUNT", "LAB", "AT", "DONE", "CHECKS", "HINTS", "SHOWN", "LAST"),
        map(_row, students),
    )
    running = [student for student in students if student.lab]
    finished = sum(student.done == student.tasks for student in running)
    typer.echo(
        f"{len(students)} students, {len(running)} at work or done, {finished} done",
        err=True,
    )


def enter(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Which student.")],
    name: ClassOption = "class",
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- COMMAND",
            help="What to run there.",
            show_default="an interactive shell",
        ),
    ] = None,
) -> NoReturn:
    """Be a student: a shell in which their testbed is the only one."""
    environment = _classroom(name).environment(account)
    argv = command or [os.environ.get("SHELL", "bash")]
    os.execvpe(argv[0], argv, environment)  # noqa: S606 - a shell is what is wanted


def stop(name: ClassOption = "class") -> None:
    """Take every student's testbed down, and forget the class."""
    stopped = set(_classroom(name).stop())
    typer.echo(f"class {name} is over: {len(stopped)} testbeds are down", err=True)


def _classroom(name: str) -> "Classroom":
    from testbed.emulation.registry import Registry
    from testbed.labs.accounts import check_account
    from testbed.labs.classroom import Classroom

    check_account(name)
    Registry(state_directory())  # sees that nobody else may write there
    return Classroom(state_directory() / "classes" / name)


def _refuse_too_many(lab: "Lab", waiting: "Sequence[str]") -> None:
    """Say how many sandboxes fit, if these do not.

    Raises:
        EmulationError: they do not.
    """
    from testbed.errors import EmulationError
    from testbed.labs.classroom import memory_available, memory_needed
    from testbed.topology import load

    each = memory_needed(load(lab.topology).cluster)
    has = memory_available()
    if len(waiting) * each > has:
        raise EmulationError(
            f"{len(waiting)} sandboxes of lab {lab.name} take about "
            f"{len(waiting) * each >> 20} MiB, {has >> 20} MiB are available: room for "
            f"{has // each}; --force starts them all the same"
        )


def _started(
    room: "Classroom", lab: "Lab", waiting: "Sequence[str]", jobs: int
) -> bool:
    """Start them with a bar on a terminal; whether all are up."""
    import time

    from rich.console import Console
    from rich.progress import Progress

    began = time.monotonic()
    failed = 0
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"lab {lab.name}", total=len(waiting))
        for account, problem in room.start(str(lab.directory), waiting, jobs=jobs):
            bar.advance(task)
            if problem:
                failed += 1
                bar.console.print(f"{account}: {problem}", markup=False)
    typer.echo(
        f"{len(waiting) - failed} testbeds with lab {lab.name} are up, in "
        f"{time.monotonic() - began:.1f} s; students type: "
        "testbed lab class enter ACCOUNT",
        err=True,
    )
    return not failed


def _row(student: "Student") -> tuple[str, ...]:
    if student.problem:
        return (student.account, student.problem, "", "", "", "", "", "")
    if not student.lab:
        what = "(no lab)" if student.runs else "(no testbed)"
        return (student.account, what, "", "", "", "", "", "")
    return (
        student.account,
        student.lab,
        student.at or "-",
        f"{student.done}/{student.tasks}",
        str(student.checks),
        str(student.hints),
        str(student.shown),
        student.last[11:16],
    )


lab_class = typer.Typer(
    help="Have a whole class at a lab: a sandbox per student.", no_args_is_help=True
)


def _add(name: str, function: "Callable[..., None]", *examples: str) -> None:
    lab_class.command(name, epilog="\n\n".join(["Examples:", *examples]))(function)


_add(
    "start",
    start,
    "testbed lab class start 1 -n 30",
    "testbed lab class start policies --accounts accounts.csv --jobs 4",
)
_add(
    "status",
    status,
    "testbed lab class status",
    "watch -n 5 testbed lab class status",
    "testbed lab class status --json > marks.json",
)
_add(
    "enter",
    enter,
    "testbed lab class enter anna",
    "testbed lab class enter anna -- testbed lab status",
)
_add("stop", stop, "testbed lab class stop")
