"""What comes of a bench: steps that were done, and what was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A step that was done.

    Attributes:
        command: what a person types for it.
        output: what that writes.
        answer: the answer to the task's question that it found; empty without.
    """

    command: str
    output: str = ""
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        passed: whether it is as it should be; ``None`` where that could not be told.
        text: what was seen, which is no hint at what to do.
    """

    passed: bool | None
    text: str


def passed(findings: Iterable[Finding]) -> bool | None:
    """Whether all is as it should be; ``None`` where nothing but doubt is against."""
    findings = list(findings)
    if any(finding.passed is False for finding in findings) or not findings:
        return False
    return None if any(finding.passed is None for finding in findings) else True


def answer_of(done: Sequence[Done]) -> str:
    """The answer that steps found; empty where there was no question."""
    return next((item.answer for item in reversed(done) if item.answer), "")
