"""A lab's pages, in Markdown that is read well as it is, and in 80 columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from testbed.labs.progress import State
from testbed.labs.read import WIDTH
from testbed.openflow import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.labs.findings import Done, Finding
    from testbed.labs.model import Lab
    from testbed.labs.progress import Progress

_MARKS = {True: "✓", False: "✗", None: "?"}
_STATES = {State.OPEN: " ", State.SOLVED: "✓", State.SHOWN: "s"}


def lab_page(lab: Lab) -> str:
    """The page to read before: goal and background."""
    takes = f"It takes about {lab.minutes} minutes."
    if lab.tables:
        tables = ", ".join(str(Table(number)) for number in lab.tables)
        takes = f"It is about table {tables}, and takes about {lab.minutes} minutes."
    return "\n\n".join(
        [
            f"## Lab {lab.number}: {lab.title}",
            filled(lab.goal),
            filled(takes),
            lab.background,
        ]
    )


def task_page(lab: Lab, number: int, suffix: str = "") -> str:
    """What is to be done; tasks count from 0.

    ``suffix`` is what every command has to be given, to mean this testbed.
    """
    task = lab.tasks[number]
    parts = [f"## Task {number + 1} of {len(lab.tasks)}: {task.name}", task.text]
    answer = ""
    if task.asks:
        parts.append(filled(f"**{task.asks}**"))
        answer = " ANSWER"
    parts.append(
        f"- When you are there: `testbed lab check{answer}{suffix}`\n"
        f"- If you are stuck: `testbed lab hint{suffix}`"
    )
    return "\n\n".join(parts)


def end_page(lab: Lab, following: Lab | None) -> str:
    """What is said after the last task."""
    said = f"That was lab {lab.number}, {lab.title}."
    if following is None:
        return f"{said} There is no other."
    return filled(
        f"{said} Take it down with `testbed down`, and go on with "
        f"`testbed lab start {following.name}`: {following.title}."
    )


def hint_page(lab: Lab, number: int, place: int) -> str:
    """One hint for a task; both count from 0."""
    hints = lab.tasks[number].hints
    return filled(f"**Hint {place + 1} of {len(hints)}.** {hints[place]}")


def finding_line(finding: Finding) -> str:
    """One thing that was looked at."""
    return f"{_MARKS[finding.passed]} {finding.text}"


def task_lines(lab: Lab, progress: Progress) -> Iterator[str]:
    """Yield a line for each task: its mark, its name, and what it took."""
    for number, (task, noted) in enumerate(
        zip(lab.tasks, progress.tasks, strict=True), 1
    ):
        took = ", ".join(
            f"{count} {what if count == 1 else f'{what}s'}"
            for count, what in ((noted.checks, "check"), (noted.hints, "hint"))
            if count
        )
        yield f"  [{_STATES[noted.state]}] {number} {task.name:<12} {took}".rstrip()


def filled(text: str) -> str:
    """A paragraph, broken into lines that fit."""
    return textwrap.fill(
        text, WIDTH - 1, break_long_words=False, break_on_hyphens=False
    )


def done_lines(done: Done) -> Iterator[str]:
    """Yield what a step is typed as, and what it wrote, cut to fit."""
    yield from (f"$ {done.command}").splitlines()
    for line in done.output.splitlines():
        yield line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"
