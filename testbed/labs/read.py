"""A lab read from its directory; whatever is wrong with it is said, a line each."""

from __future__ import annotations

import ast
import re
import shlex
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from testbed.errors import LabError, NotFoundError, TopologyError
from testbed.labs import model
from testbed.model import Outcome
from testbed.openflow import Table
from testbed.selection import protocols
from testbed.topology import read_text
from testbed.topology.document import read
from testbed.topology.objects import Source, validated
from testbed.topology.problem import Problem, printable, shown

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.model import Transport

LAB, BACKGROUND = "lab.yaml", "background.md"
WIDTH = 80
"""Columns that a lab's text has room in."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_OUTCOMES = {
    "delivered": {Outcome.DELIVERED},
    "dropped": {Outcome.DROPPED},
    "rejected": {Outcome.REJECTED},
    "blocked": {Outcome.DROPPED, Outcome.REJECTED},
}
"""What a task may want of a packet, and how it may end for that."""


def _word(value: str) -> str:
    if _NAME.fullmatch(value):
        return value
    raise ValueError(
        f"must be up to 31 lower-case letters, digits and '_', not {shown(value)}"
    )


def _some_text(value: str) -> str:
    if value.strip():
        return value.strip()
    raise ValueError("says nothing")


def _page(value: str) -> str:
    for line in value.splitlines():
        if len(line) > WIDTH:
            raise ValueError(f"{shown(line)} is more than {WIDTH} columns wide")
    return value


def _table(value: int) -> int:
    if value in set(Table):
        return value
    raise ValueError(f"br0 has no table {value}")


_Word = Annotated[str, AfterValidator(_word)]
_Text = Annotated[str, AfterValidator(_some_text)]
_Page = Annotated[_Text, AfterValidator(_page)]
_Table = Annotated[int, AfterValidator(_table)]


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Packet(_Fields):
    sender: _Text = Field(alias="from")
    receiver: _Text = Field(alias="to")
    send: str = "icmp"
    outcome: Literal["delivered", "dropped", "rejected", "blocked"] = Field(alias="is")
    at: str = ""
    table: _Table | None = None

    @field_validator("send")
    @classmethod
    def _is_one_protocol(cls, value: str) -> str:
        _protocol(value)
        return value

    def value(self) -> model.Packet:
        transport, dport = _protocol(self.send)
        return model.Packet(
            sender=self.sender,
            receiver=self.receiver,
            transport=transport,
            dport=dport,
            outcomes=frozenset(_OUTCOMES[self.outcome]),
            at=self.at,
            table=self.table,
        )


class _Step(_Fields):
    """One of its first five fields says what is done; others go with it."""

    apply: _Text | None = None
    delete: _Text | None = None
    exec: _Text | None = None
    inject: _Text | None = None
    answer: _Text | None = None
    run: _Text | None = None
    fields: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _does_one_thing(self) -> _Step:
        done = [
            name
            for name in ("apply", "delete", "exec", "inject")
            if getattr(self, name) is not None
        ]
        if not done and self.answer is not None:
            done = ["answer"]
        if len(done) != 1:
            raise ValueError(
                "does one of apply, delete, exec, inject and answer, "
                f"not {' and '.join(done) or 'nothing'}"
            )
        if self.exec is not None:
            self._check_command()
        elif self.run is not None:
            raise ValueError("run goes with exec")
        elif self.answer is not None and done != ["answer"]:
            raise ValueError("answer goes with exec, or alone")
        if self.fields and self.inject is None:
            raise ValueError("fields go with inject")
        return self

    def _check_command(self) -> None:
        if self.run is None:
            raise ValueError("exec needs run: the command")
        try:
            shlex.split(self.run)
        except ValueError as error:
            raise ValueError(f"run: {str(error).lower()}") from error
        try:
            pattern = re.compile(self.answer or "()")
        except re.error as error:
            raise ValueError(f"answer: is no regular expression: {error}") from error
        if not pattern.groups:
            raise ValueError("answer: must have a group, (…), around what is typed in")

    def value(self) -> model.Step:
        if self.apply is not None:
            return model.Apply(text=self.apply)
        if self.delete is not None:
            return model.Apply(text=self.delete, deleted=True)
        if self.inject is not None:
            return model.Inject(kind=self.inject, fields=self.fields)
        if self.exec is not None and self.run is not None:
            return model.Run(
                where=self.exec,
                argv=tuple(shlex.split(self.run)),
                answer=re.compile(self.answer) if self.answer else None,
            )
        return model.Answer(text=self.answer or "")


class _Wrong(_Fields):
    why: _Text
    steps: list[_Step] = Field(min_length=1)

    def value(self) -> model.Wrong:
        return model.Wrong(why=self.why, steps=_steps(self.steps))


class _Task(_Fields):
    name: _Word
    text: _Page
    asks: str = ""
    packets: list[_Packet] = Field(default_factory=list)
    check: _Word | None = None
    hints: list[_Text] = Field(min_length=1)
    begin: list[_Step] = Field(default_factory=list)
    solution: list[_Step] = Field(min_length=1)
    wrong: list[_Wrong] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_judged(self) -> _Task:
        if not self.packets and not self.check:
            raise ValueError("is judged by nothing: give it packets or check")
        if self.asks and not self.check:
            raise ValueError("asks a question, so it needs a check of the answer")
        for way in (self.solution, *(wrong.steps for wrong in self.wrong)):
            if any(step.answer is not None for step in way) != bool(self.asks):
                raise ValueError("asks goes with an answer in solution and in wrong")
        return self

    def value(self) -> model.Task:
        return model.Task(
            name=self.name,
            text=self.text,
            asks=self.asks,
            packets=tuple(packet.value() for packet in self.packets),
            check=self.check or "",
            hints=tuple(self.hints),
            begin=_steps(self.begin),
            solution=_steps(self.solution),
            wrong=tuple(wrong.value() for wrong in self.wrong),
        )


class _Lab(_Fields):
    kind: Literal["Lab"]
    number: int = Field(ge=1)
    title: _Text
    minutes: int = Field(ge=1)
    goal: _Text
    tables: list[_Table] = Field(default_factory=list)
    tasks: list[_Task] = Field(min_length=1)

    @field_validator("tasks")
    @classmethod
    def _have_names_of_their_own(cls, tasks: list[_Task]) -> list[_Task]:
        names = [task.name for task in tasks]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two are called {name}")
        return tasks


def read_lab(directory: Path) -> model.Lab:
    """The lab of a directory.

    Its cluster's objects are read when the cluster is built.

    Raises:
        LabError: there is none, or something is wrong with it.
    """
    problems: list[Problem] = []
    file = directory / LAB
    text, background = _text(file), _text(directory / BACKGROUND)
    _refuse_wide_lines(background, str(directory / BACKGROUND), problems)
    documents = read(text, str(file), problems)
    if len(documents) != 1:
        problems.append(Problem(1, "must hold one document, of kind Lab", str(file)))
        raise _refused(problems)
    source = Source("Lab", directory.name, documents[0], str(file))
    fields = validated(_Lab, source, problems)
    if fields is None:
        raise _refused(problems)
    _check_functions(directory, fields, source, problems)
    if problems:
        raise _refused(problems)
    return model.Lab(
        directory=directory,
        number=fields.number,
        title=fields.title,
        minutes=fields.minutes,
        goal=fields.goal,
        background=background,
        tables=tuple(fields.tables),
        tasks=tuple(task.value() for task in fields.tasks),
    )


def _steps(steps: list[_Step]) -> tuple[model.Step, ...]:
    return tuple(step.value() for step in steps)


def _protocol(text: str) -> tuple[Transport, int | None]:
    try:
        found = protocols(text)
    except NotFoundError as error:
        raise ValueError(str(error)) from error
    if len(found) != 1:
        raise ValueError("one protocol a packet")
    return found[0]


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except TopologyError as error:
        raise LabError(error.problems) from error


def _refuse_wide_lines(text: str, file: str, problems: list[Problem]) -> None:
    problems += [
        Problem(number, f"is {len(line)} columns wide, more than {WIDTH}", file)
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > WIDTH
    ]


def _check_functions(
    directory: Path, lab: _Lab, source: Source, problems: list[Problem]
) -> None:
    """See that checks.py has every function that is named; it is not run for that."""
    wanted = {task.check for task in lab.tasks if task.check}
    if not wanted:
        return
    path = directory / "checks.py"
    try:
        tree = ast.parse(_text(path), str(path))
    except SyntaxError as error:
        text = f"is no Python: {error.msg}"
        problems.append(Problem(error.lineno or 1, text, str(path)))
        return
    has = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for number, task in enumerate(lab.tasks):
        if task.check and task.check not in has:
            text = f"{path.name} has no function {task.check}"
            problems.append(source.problem(("tasks", number, "check"), text))


def _refused(problems: list[Problem]) -> LabError:
    ordered = sorted(problems, key=lambda problem: (problem.file, problem.line))
    return LabError([printable(str(problem)) for problem in ordered])
