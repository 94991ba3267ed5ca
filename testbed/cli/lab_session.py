"""What the commands of ``testbed lab`` share: whose lab it is, what is done in it."""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from testbed.cli import COULD_NOT
from testbed.cli.options import TOPOLOGY, built_testbed, registry
from testbed.emulation.registry import DEFAULT_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from testbed.emulation.registry import RunningTestbed
    from testbed.labs.findings import Done, Finding
    from testbed.labs.model import Lab
    from testbed.labs.progress import Progress
    from testbed.labs.request import Request


def under_way(name: str | None) -> "tuple[RunningTestbed, Lab, Progress]":
    """The testbed, the lab that is done in it, and how far that is."""
    from testbed.errors import LabError
    from testbed.labs.progress import PROGRESS, load_progress
    from testbed.labs.read import read_lab

    testbed = built_testbed(name, made_by="testbed lab start 1")
    progress = load_progress(testbed.inside(PROGRESS), testbed.name)
    lab = read_lab(Path(progress.directory))
    if [task.name for task in lab.tasks] != [task.name for task in progress.tasks]:
        raise LabError([f"{lab.directory}: has other tasks than when it was started"])
    return testbed, lab, progress


def number_at(lab: "Lab", progress: "Progress") -> int:
    """The task that is open, from 0.

    Raises:
        NotFoundError: all are done.
    """
    from testbed.errors import NotFoundError

    if progress.current is None:
        raise NotFoundError(
            f"lab {lab.name} is done; to do a task again: testbed lab reset TASK"
        )
    return progress.current


def work(
    testbed: "RunningTestbed",
    lab: "Lab",
    *,
    do: "Iterable[tuple[int, str]]" = (),
    check: int | None = None,
    answer: str = "",
) -> "tuple[list[Done], list[Finding]]":
    """Have steps done and a task judged inside; nobody else changes it meanwhile."""
    from testbed.labs.findings import Done, Finding
    from testbed.labs.request import Request

    request = Request(
        directory=str(lab.directory), do=list(do), check=check, answer=answer
    )
    with _locked(testbed):
        answered = _asked(testbed, request)
    registry().update(testbed, replace(testbed, pods=answered["pods"]))
    return (
        [Done(**item) for item in answered["done"]],
        [Finding(**item) for item in answered["findings"]],
    )


def _asked(testbed: "RunningTestbed", request: "Request") -> dict[str, Any]:
    from testbed.emulation import sandbox

    program = [sys.executable, "-m", "testbed.cli.lab_worker"]
    done = subprocess.run(
        [
            *sandbox.enter_argv(testbed.pid),
            *program,
            json.dumps(asdict(request)),
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise typer.Exit(COULD_NOT)  # it has said why
    answered: dict[str, Any] = json.loads(done.stdout)
    return answered


@contextlib.contextmanager
def _locked(testbed: "RunningTestbed") -> "Iterator[None]":
    """Have a testbed to oneself, as ``testbed apply`` does."""
    directory = testbed.inside(TOPOLOGY).parent
    locked = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(locked, fcntl.LOCK_EX)
        yield
    finally:
        os.close(locked)


def print_now(testbed: "RunningTestbed", lab: "Lab", progress: "Progress") -> None:
    """Print what is to be done now."""
    from testbed.labs.shelf import next_lab
    from testbed.labs.text import end_page

    if progress.current is None:
        print_pages(end_page(lab, next_lab(lab)))
    else:
        print_pages(page_of(lab, progress.current, testbed))


def page_of(lab: "Lab", number: int, testbed: "RunningTestbed") -> str:
    """A task's page, with commands as they are typed for this testbed."""
    from testbed.labs.text import task_page

    suffix = "" if testbed.name == DEFAULT_NAME else f" --name {testbed.name}"
    return task_page(lab, number, suffix)


def print_pages(*pages: str) -> None:
    """Print Markdown; as it is, where it goes to a file or a pipe."""
    from rich.console import Console
    from rich.markdown import Markdown

    from testbed.labs.read import WIDTH

    console = Console()
    if not console.is_terminal:
        typer.echo("\n\n".join(pages))
        return
    console.width = min(console.width, WIDTH)
    for page in pages:
        console.print(Markdown(page))
        console.print()
