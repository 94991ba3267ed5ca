"""What a lab consists of: values, as read from its directory."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from testbed.errors import NotFoundError

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping
    from pathlib import Path

    from testbed.model import Outcome, Transport

Outcomes: TypeAlias = "frozenset[Outcome]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """A packet that a task is judged by, and how it must end.

    Attributes:
        sender: who sends it, as ``testbed probe`` has it.
        receiver: for whom: the same, ``svc:NAMESPACE/NAME`` or an address.
        transport: what it carries.
        dport: the port it is sent to; ``None`` without ports.
        outcomes: how it may end.
        at: the node that must drop it; empty if any may.
        table: the table of that node's br0 that must.
    """

    sender: str
    receiver: str
    transport: Transport
    dport: int | None
    outcomes: Outcomes
    at: str = ""
    table: int | None = None

    @property
    def wanted(self) -> str:
        """How it must end, in words."""
        where = f" on {self.at}" if self.at else ""
        where += "" if self.table is None else f" in table {self.table}"
        return f"{' or '.join(sorted(self.outcomes))}{where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """Objects are applied, or deleted."""

    text: str
    deleted: bool = False

    @property
    def command(self) -> str:
        """What a person types for it."""
        verb = "delete" if self.deleted else "apply"
        return f"testbed {verb} -f - <<END\n{self.text.rstrip()}\nEND"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A command is run in a machine, without a shell.

    ``answer`` finds in what it writes the answer to a task's question: its first group,
    wherever it matches.
    """

    where: str
    argv: tuple[str, ...]
    answer: re.Pattern[str] | None = None

    @property
    def command(self) -> str:
        """What a person types for it."""
        return f"testbed exec {self.where} -- {shlex.join(self.argv)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inject:
    """A fault is injected, and nothing tells the student which."""

    kind: str
    fields: Mapping[str, str]

    @property
    def command(self) -> str:
        """What a person types for it."""
        fields = (f"{name}={value}" for name, value in self.fields.items())
        return f"testbed fault inject {shlex.join((self.kind, *fields))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer is given that was found by thinking."""

    text: str

    @property
    def command(self) -> str:
        """What a person types for it."""
        return f"testbed lab check {shlex.quote(self.text)}"


Step: TypeAlias = Apply | Run | Inject | Answer


_PROGRAMS = {"ovs-ofctl", "iptables"}
"""What these do is undone by the flows and rules of before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """A wrong solution, which must not pass, and what is wrong with it."""

    why: str
    steps: tuple[Step, ...]

    @property
    def is_undone_by_programming(self) -> bool:
        """Whether objects, flows and rules of before are all it takes to undo it."""
        return all(
            isinstance(step, Apply | Answer)
            or (isinstance(step, Run) and (step.answer or step.argv[0] in _PROGRAMS))
            for step in self.steps
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing to do or to find out; its beginning is a checkpoint.

    Attributes:
        name: a word to call it by.
        text: what is to be done, in Markdown.
        asks: the question, where an answer is to be typed in; else empty.
        packets: what it is judged by.
        check: the function of the lab's checks.py that judges what packets of this form
            cannot; empty without.
        hints: from a nudge to all but the solution.
        begin: what is done to the cluster before it.
        solution: a right one.
        wrong: others.
    """

    name: str
    text: str
    asks: str = ""
    packets: tuple[Packet, ...] = ()
    check: str = ""
    hints: tuple[str, ...]
    begin: tuple[Step, ...] = ()
    solution: tuple[Step, ...]
    wrong: tuple[Wrong, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """A lab: a cluster, something to read, and tasks.

    Attributes:
        directory: where it was read from.
        number: its place among the labs.
        title: what it is about, in a few words.
        minutes: how long it takes somebody who sees this for the first time.
        goal: what somebody can do afterwards.
        background: a page to read before, in Markdown.
        tables: the tables of br0 that it is about.
        tasks: what is to be done, one after the other.
    """

    directory: Path
    number: int
    title: str
    minutes: int
    goal: str
    background: str
    tables: tuple[int, ...]
    tasks: tuple[Task, ...]

    @property
    def name(self) -> str:
        """The directory's name, by which people call it."""
        return self.directory.name

    def is_called(self, wanted: str) -> bool:
        """Whether it has that name or number."""
        return wanted in (self.name, str(self.number))

    @property
    def topology(self) -> Path:
        """The objects of its cluster."""
        return self.directory / "topology.yaml"

    @property
    def checks(self) -> Path:
        """The functions that judge; there need be none."""
        return self.directory / "checks.py"

    def task(self, name: str) -> Task:
        """The task of that name or number, which begins with 1.

        Raises:
            NotFoundError: there is none.
        """
        return self.tasks[self.place(name)]

    def place(self, name: str) -> int:
        """Where the task of that name or number is, from 0.

        Raises:
            NotFoundError: there is none.
        """
        names = [task.name for task in self.tasks]
        if name in names:
            return names.index(name)
        if name.isascii() and name.isdecimal() and 1 <= int(name) <= len(names):
            return int(name) - 1
        raise NotFoundError(
            f"lab {self.name} has no task {name}; there are: {', '.join(names)}"
        )
