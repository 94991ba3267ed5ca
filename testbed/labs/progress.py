"""How far somebody is in a lab, noted in the testbed it is done in."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from testbed.emulation.machines import RUN_DIR
from testbed.errors import EmulationError, LabError, NotFoundError
from testbed.process import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.labs.model import Lab


PROGRESS = RUN_DIR / "lab.json"
"""The note, kept in the sandbox."""


class State(enum.StrEnum):
    """What has become of a task."""

    OPEN = "open"
    SOLVED = "solved"
    SHOWN = "shown"
    """The reference solution did it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskProgress:
    """One task.

    Attributes:
        name: the task's.
        state: whether it is done, and by whom.
        checks: how often it was judged.
        hints: how many hints were given.
        ended: when it was done, in ISO 8601; empty while it is open.
    """

    name: str
    state: State = State.OPEN
    checks: int = 0
    hints: int = 0
    ended: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far somebody is.

    Attributes:
        directory: the lab's.
        started: when, in ISO 8601.
        tasks: the tasks, in order.
    """

    directory: str
    started: str
    tasks: tuple[TaskProgress, ...]

    @classmethod
    def at_the_start(cls, lab: Lab) -> Progress:
        """Nothing done yet."""
        return cls(
            directory=str(lab.directory),
            started=now(),
            tasks=tuple(TaskProgress(name=task.name) for task in lab.tasks),
        )

    @property
    def current(self) -> int | None:
        """The first open task, from 0; ``None`` when all are done."""
        for number, task in enumerate(self.tasks):
            if task.state is State.OPEN:
                return number
        return None

    @property
    def done(self) -> int:
        """How many tasks are done."""
        return sum(task.state is not State.OPEN for task in self.tasks)

    def with_task(self, number: int, **changes: object) -> Progress:
        """The same with something else about one task."""
        tasks = list(self.tasks)
        tasks[number] = replace(tasks[number], **changes)  # type: ignore[arg-type]
        return replace(self, tasks=tuple(tasks))

    def ended(self, number: int, state: State) -> Progress:
        """The same with a task done just now."""
        return self.with_task(number, state=state, ended=now())

    def back_at(self, number: int) -> Progress:
        """The same when the tasks from this one on are open again.

        Who has looked a hint up has seen it: they stay counted, as do checks.
        """
        kept = tuple(
            task if place < number else replace(task, state=State.OPEN, ended="")
            for place, task in enumerate(self.tasks)
        )
        return replace(self, tasks=kept)

    def save(self, path: Path) -> None:
        """Note it.

        Raises:
            EmulationError: it cannot be written.
        """
        try:
            write_whole(path, json.dumps(asdict(self)))
        except OSError as error:
            raise EmulationError(f"{path}: {(error.strerror or '').lower()}") from error


def load_progress(path: Path, testbed: str) -> Progress:
    """What was noted.

    Args:
        path: the file.
        testbed: the name of the testbed it is of.

    Raises:
        NotFoundError: no lab is done there.
        LabError: it is no such note.
    """
    try:
        return TypeAdapter(Progress).validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise NotFoundError(
            f"testbed {testbed} runs no lab; type: testbed lab start 1"
        ) from error
    except (OSError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise LabError([f"{path}: is no note of a lab's progress: {said}"]) from error


def now() -> str:
    """This moment in ISO 8601, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
