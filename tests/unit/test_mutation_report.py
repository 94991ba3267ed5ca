"""What a run found, as people and scripts read it; and what the command line takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from testbed.cli import main
from testbed.cli.app import app
from testbed.mutation.fault import Deletion, FlowFault, RuleFault
from testbed.mutation.mutant import Mutant, Operator, Site, Spared
from testbed.mutation.report import COLUMNS, as_object, paragraphs, row
from testbed.mutation.verdict import Result, Tally, Verdict
from testbed.openflow import Flow, Table

if TYPE_CHECKING:
    from pathlib import Path

MISS = Flow(table=Table.FROM_POD, priority=0, actions=("drop",))
COVERING = tuple(f"scenarios/test_a.py::test_{number}" for number in range(11))


def mutant(*, covering: tuple[str, ...] = COVERING, judged: str = "") -> Mutant:
    site = Site(
        original=str(MISS),
        fault=FlowFault.of("oc-04.test", MISS, Deletion()),
        covering=covering,
    )
    return Mutant(
        plugin="subnet",
        kind="table=20,priority=0 actions=drop",
        operator=Operator.DELETED,
        change="",
        sites=(site,),
        judged=judged,
    )


def tally(*verdicts: Verdict) -> Tally:
    results = [Result(mutant=mutant(), verdict=verdict) for verdict in verdicts]
    return Tally(plugin="subnet", results=results)


def text(found: Tally) -> str:
    return "\n".join(paragraphs([found]))


def test_the_score_is_the_share_of_the_killed() -> None:
    killed, weakly, survived = (
        Verdict.KILLED,
        Verdict.WEAKLY_KILLED,
        Verdict.SURVIVED,
    )

    assert tally(killed, killed, weakly, survived).score == 75


def test_what_says_nothing_about_scenarios_does_not_count() -> None:
    said = (Verdict.NOT_TAKEN, Verdict.UNDECIDED)

    assert tally(Verdict.KILLED, Verdict.SURVIVED, *said).score == 50
    assert tally().score == 100


def test_what_is_held_for_equivalent_and_survives_does_not_count() -> None:
    held = Result(mutant=mutant(judged="nobody can tell"), verdict=Verdict.SURVIVED)

    assert Tally(plugin="subnet", results=[held]).score == 100


def test_what_is_held_for_equivalent_and_killed_is_told() -> None:
    found = Tally(
        plugin="subnet",
        results=[
            Result(
                mutant=mutant(judged="nobody can tell"),
                verdict=Verdict.KILLED,
                scenario="test_a.py::test_1",
                failure="not delivered",
            )
        ],
    )

    assert [result.scenario for result in found.misjudged] == ["test_a.py::test_1"]
    assert "no longer equivalent" in text(found)
    assert "because: nobody can tell" in text(found)


def test_a_row_has_what_its_columns_say() -> None:
    verdicts = [Verdict.KILLED] * 3 + [Verdict.SURVIVED]

    values = dict(zip(COLUMNS, row(tally(*verdicts)), strict=True))

    assert values["PLUGIN"] == "subnet"
    assert values["MUTANTS"] == "4"
    assert (values["KILLED"], values["SURVIVED"]) == ("3", "1")
    assert values["SCORE"] == "75.0 %"


def test_a_survivor_is_told_with_who_passed_and_what_it_is_for() -> None:
    told = text(tally(Verdict.SURVIVED))

    assert "subnet: survived: oc-04.test: table=20,priority=0 actions=drop" in told
    assert "in: table 20 (FROM_POD)" in told
    assert "test_a.py::test_7, and 3 more" in told.replace("\n    ", " ")
    assert "may be equivalent" in told


def test_a_survivor_is_told_with_a_packet_that_it_matters_for() -> None:
    found = tally()
    found.results.append(
        Result(mutant=mutant(), verdict=Verdict.SURVIVED, witness="in_port=3,arp: …")
    )

    assert "a packet that it matters for: in_port=3,arp: …" in text(found)
    assert "may be equivalent" not in text(found)


def test_a_survivor_that_no_scenario_hits_is_told_so() -> None:
    found = tally()
    found.results.append(Result(mutant=mutant(covering=()), verdict=Verdict.SURVIVED))

    assert "no scenario hits it" in text(found)


def test_a_rule_is_told_by_its_table_and_chain() -> None:
    fault = RuleFault(node="oc-01", table="nat", old="-A KUBE-SERVICES -j RETURN")

    assert fault.place == "table nat, chain KUBE-SERVICES"


def test_what_was_killed_is_not_worth_a_word() -> None:
    assert text(tally(Verdict.KILLED)) == ""


@pytest.mark.parametrize(
    "verdict", [Verdict.WEAKLY_KILLED, Verdict.NOT_TAKEN, Verdict.UNDECIDED]
)
def test_what_was_not_simply_killed_is_told_with_the_reason(verdict: Verdict) -> None:
    found = tally()
    found.results.append(
        Result(mutant=mutant(), verdict=verdict, failure="inconclusive: the control")
    )

    assert f"subnet: {verdict}: " in text(found)
    assert "! inconclusive: the control" in text(found)


def test_a_scenario_that_was_left_out_is_told() -> None:
    found = Tally(plugin="subnet", left_out={"test_a.py::test_1": "assert 0"})

    assert "test_a.py::test_1\n  ! assert 0" in text(found)


def test_a_scenario_that_fails_on_a_mended_cluster_is_told() -> None:
    found = tally()
    found.results += [
        Result(mutant=mutant(), verdict=Verdict.KILLED, unfit=("test_a.py::test_1",))
    ] * 2

    assert "not to be relied on" in text(found)
    assert "(2 times): test_a.py::test_1" in text(found)


def test_scripts_get_all_of_it() -> None:
    found = tally(Verdict.KILLED, Verdict.SURVIVED)
    found.spared = (
        Spared(
            plugin="subnet",
            kind="table=253",
            operator=Operator.DELETED,
            change="",
            reason="no packet comes to table 253",
        ),
    )

    read = json.loads(json.dumps(as_object(found)))

    assert (read["plugin"], read["score"]) == ("subnet", 50.0)
    assert read["counts"]["killed"] == 1
    assert read["counts"]["equivalent"] == 1
    assert [item["verdict"] for item in read["mutants"]] == ["killed", "survived"]
    assert read["mutants"][0]["sites"][0]["node"] == "oc-04.test"
    assert read["equivalent"][0]["reason"] == "no packet comes to table 253"


def test_the_command_teaches_by_example() -> None:
    result = CliRunner().invoke(app, ["mutate", "--help"])

    assert result.exit_code == 0
    assert "testbed mutate --plugin multitenant" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--plugin", "calico", "."], "there is no plugin calico"),
        ([], "there is no directory scenarios here"),
        (["--topology", "missing.yaml", "."], "missing.yaml"),
        (["--fail-under", "101", "."], "less than or equal to"),
    ],
)
def test_a_command_line_that_is_wrong_is_status_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SystemExit) as ended:
        main(["mutate", *arguments])

    assert ended.value.code == 2
    assert said in capsys.readouterr().err
