"""What pytest says phase by phase becomes one run with one state."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

from testbed.report.records import dumped, record
from testbed.report.runs import ABOUT, SCENARIO, About, Run, Runs, State

if TYPE_CHECKING:
    from tests.unit.report.conftest import Stage

When = Literal["setup", "call", "teardown"]
NODEID = "scenarios/test_it.py::test_it"


def about(**more: Any) -> About:  # noqa: ANN401 - any field
    values: dict[str, Any] = {
        "file": "scenarios/test_it.py",
        "line": 7,
        "subject": "It.",
        "claim": "It",
        "doc": "",
        "parameters": (),
        "plugin": "subnet",
    }
    return About(**(values | more))


def report(
    when: When,
    outcome: Literal["passed", "failed", "skipped"] = "passed",
    **more: Any,  # noqa: ANN401
) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=NODEID,
        location=("scenarios/test_it.py", 6, "test_it"),
        keywords={},
        outcome=outcome,
        longrepr=more.pop("longrepr", None),
        when=when,
        duration=0.25,
        **{ABOUT: about().dumped()} | more,
    )


def run_of(*reports: pytest.TestReport) -> Run:
    runs = Runs()
    for item in reports:
        runs.add(item)
    (run,) = runs.all()
    return run


@pytest.mark.parametrize(
    ("reports", "state"),
    [
        ([report("setup"), report("call"), report("teardown")], State.PASSED),
        ([report("setup"), report("call", "failed")], State.FAILED),
        ([report("setup", "failed"), report("teardown")], State.ERROR),
        ([report("setup"), report("call"), report("teardown", "failed")], State.ERROR),
        ([report("setup", "skipped"), report("teardown")], State.SKIPPED),
        ([report("setup"), report("call", "skipped")], State.SKIPPED),
    ],
)
def test_a_run_ends_as_its_phases_did(
    reports: list[pytest.TestReport], state: State
) -> None:
    assert run_of(*reports).state is state


def test_seconds_are_those_of_all_phases() -> None:
    run = run_of(report("setup"), report("call"), report("teardown"))

    assert run.seconds == pytest.approx(0.75)


def test_a_skip_says_why() -> None:
    where = ("scenarios/test_it.py", 7, "Skipped: needs conntrack")

    assert run_of(report("setup", "skipped", longrepr=where)).message == (
        "needs conntrack"
    )


def test_an_expected_failure_says_why() -> None:
    run = run_of(report("setup"), report("call", "skipped", wasxfail="BZ1"))

    assert run.message == "BZ1"


def test_a_failure_says_what_failed_where_and_what_was_told_with_it() -> None:
    crash = SimpleNamespace(message="AssertionError: not delivered")
    longrepr = SimpleNamespace(
        reprcrash=crash, toterminal=lambda writer: writer.line("E   not delivered")
    )
    sections = [("testbed", "sent:\n  nothing")]

    run = run_of(
        report("setup"),
        report("call", "failed", longrepr=longrepr, sections=sections),
    )

    assert run.message == "AssertionError: not delivered"
    assert "E   not delivered" in run.failure
    assert run.sections == (("testbed", "sent:\n  nothing"),)


def test_endless_output_is_cut_in_its_middle() -> None:
    run = run_of(
        report("setup"),
        report("call", "failed", sections=[("out", "a" * 50_000 + "end")]),
    )

    ((_, text),) = run.sections
    assert len(text) < 21_000
    assert text.endswith("end")
    assert "30003 characters" in text


def test_what_happened_in_the_cluster_and_its_capture_are_kept(stage: Stage) -> None:
    made = record(stage.evidence())

    run = run_of(
        report("setup"),
        report(
            "call",
            user_properties=[("capture", "captures/it.pcapng")],
            **cast("Any", {SCENARIO: dumped(made)}),
        ),
    )

    assert run.scenario == made
    assert run.plugin == "subnet"
    assert run.capture == "captures/it.pcapng"


def test_a_test_without_a_cluster_is_no_run() -> None:
    runs = Runs()

    runs.add(report("setup", **cast("Any", {ABOUT: ""})))
    runs.add(report("call"))

    assert runs.all() == []
