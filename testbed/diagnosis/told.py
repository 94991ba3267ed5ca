"""A diagnosis as text for people, and as JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.diagnosis.bugs import BUGS
from testbed.diagnosis.finding import FORMAT, Severity
from testbed.topology.problem import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.diagnosis.bugs import KnownBug
    from testbed.diagnosis.finding import Diagnosis, Finding
    from testbed.diagnosis.why import Why

_SHOWN = 4
"""Pieces of evidence that a page of text has room for, and known bugs."""


def verdict(diagnosis: Diagnosis) -> str:
    """How many findings there are, in words."""
    counted = {
        severity: sum(1 for f in diagnosis.findings if f.severity is severity)
        for severity in Severity
    }
    if not diagnosis.findings:
        return "no findings"
    parts = [f"{number} {severity}" for severity, number in counted.items() if number]
    word = "finding" if len(diagnosis.findings) == 1 else "findings"
    return f"{len(diagnosis.findings)} {word}: {', '.join(parts)}"


def parts(finding: Finding) -> Iterator[tuple[str, str]]:
    """Yield what there is to say of a finding below its title: a word and a text."""
    yield "breaks", printable(finding.breaks)
    if finding.object:
        yield "object", printable(finding.object)
    label = "evidence"
    for item in finding.evidence[:_SHOWN]:
        yield label, str(item)
        label = ""
    more = len(finding.evidence[_SHOWN:]) + finding.unshown
    if more:
        yield "", f"… and {more} more: see --json"
    label = "known as"
    for bug in known(finding)[:_SHOWN]:
        fixed = f"fixed in {bug.fixed_in}" if bug.fixed_in else "not fixed in 3.11"
        yield label, f"{bug.reference}: {bug.symptom} ({fixed})"
        label = ""
    yield "do", printable(finding.advice)


def known(finding: Finding) -> list[KnownBug]:
    """The known bugs that do this."""
    return [BUGS[reference] for reference in finding.bugs if reference in BUGS]


def as_json(diagnosis: Diagnosis, answer: Why | None = None) -> dict[str, object]:
    """All of it, for programs."""
    return {
        "format": FORMAT,
        "summary": printable(diagnosis.summary),
        "healthy": diagnosis.is_healthy,
        "findings": [_finding(finding) for finding in diagnosis.findings],
        "not_looked_at": [printable(line) for line in diagnosis.not_looked_at],
        "why": None if answer is None else _why(answer),
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "check": finding.check,
        "severity": str(finding.severity),
        "title": finding.title,
        "nodes": list(finding.nodes),
        "object": printable(finding.object),
        "breaks": printable(finding.breaks),
        "evidence": [
            {"text": printable(item.text), "place": printable(item.place)}
            for item in finding.evidence
        ],
        "unshown": finding.unshown,
        "bugs": [
            {
                "reference": bug.reference,
                "symptom": bug.symptom,
                "mechanism": bug.mechanism,
                "fix": bug.fix,
                "fixed_in": bug.fixed_in,
            }
            for bug in known(finding)
        ],
        "advice": printable(finding.advice),
        "flows": [
            {"node": key.node, "table": key.table, "selector": printable(key.selector)}
            for key in sorted(finding.flows)
        ],
    }


def _why(answer: Why) -> dict[str, object]:
    back = None if answer.answer is None else answer.answer.as_json()
    return {
        "packet": answer.verdict.as_json(),
        "answer": back,
        "as_it_must": answer.is_as_it_must,
        "blamed": [finding.title for finding in answer.blamed],
        "assumed": answer.assumed,
    }
