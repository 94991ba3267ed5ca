"""A diagnosis as one page of HTML that needs nothing else, in the reports' look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.diagnosis.told import known, verdict
from testbed.report.templates import render

if TYPE_CHECKING:
    from testbed.diagnosis.finding import Diagnosis
    from testbed.diagnosis.why import Why


def page(diagnosis: Diagnosis, source: str, answer: Why | None = None) -> str:
    """The page.

    Args:
        diagnosis: what was found.
        source: what was looked at.
        answer: to the question that was asked, if one was.
    """
    return render(
        "diagnosis.html.j2",
        diagnosis=diagnosis,
        source=source,
        verdict=verdict(diagnosis),
        findings=[(finding, known(finding)) for finding in diagnosis.findings],
        answer=list(answer.lines) if answer else [],
    )
