"""What is asked of the part of ``testbed lab`` that runs inside a sandbox."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be done in the cluster of a lab.

    Attributes:
        directory: the lab's.
        do: steps to do first: a task's number from 0, and ``begin`` or ``solution``.
        check: the task that is to be judged then; ``None`` for none.
        answer: what was typed in; where it is empty, what the steps found.
    """

    directory: str
    do: list[tuple[int, str]]
    check: int | None = None
    answer: str = ""
