"""The page of a run: all there is to read is in it, and nothing of it is markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testbed.openflow import Flow, Table
from testbed.probe.evidence import Hit
from testbed.report.page import Session, page
from testbed.report.records import record
from testbed.report.runs import About, Run, State

if TYPE_CHECKING:
    from tests.unit.report.conftest import Stage

EVIL = "<script>alert('x')</script> & \"it\""
MOST_BYTES = 2_000_000


class Outline(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def outline(text: str) -> Outline:
    found = Outline()
    found.feed(text)
    return found


def data(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert found
    read: dict[str, Any] = json.loads(found[1])
    return read


def run(stage: Stage | None, **more: Any) -> Run:  # noqa: ANN401 - any field
    values: dict[str, Any] = {
        "nodeid": "scenarios/test_it.py::test_it",
        "state": State.PASSED,
        "seconds": 0.5,
        "about": About(
            file="scenarios/test_it.py",
            line=7,
            subject="What it is.",
            claim="It is so",
            doc="",
            parameters=(("size", "full"),),
            plugin="subnet",
        ),
        "scenario": record(stage.evidence()) if stage else None,
    }
    return Run(**(values | more))


def made(*runs: Run) -> str:
    session = Session(
        started=1_700_000_000.0,
        seconds=61.5,
        directory=Path("/tmp/report"),  # noqa: S108 - nothing is written
        invocation=Path("/tmp"),  # noqa: S108
    )
    return page(runs, session)


def test_a_scenario_is_there_to_read_without_any_script(dropped: Stage) -> None:
    text = outline(made(run(dropped))).text

    for words in (
        "1 passed",
        "It is so",
        "size=full",
        "What it is.",
        "packet 1 is dropped on node-1.test in table 20 (FROM_POD) by priority=0",
        "UDP 10.128.0.2:40009 > 10.129.0.3:9",
        "positive control",
        "Open vSwitch 3.1.0",
        "netdev",
        "61.5 s",
    ):
        assert words in text


@pytest.mark.parametrize(
    "evil",
    [
        {"message": EVIL, "state": State.FAILED},
        {"failure": EVIL, "state": State.FAILED},
        {"sections": ((EVIL, EVIL),), "failure": "x", "state": State.FAILED},
        {"nodeid": EVIL},
    ],
)
def test_what_comes_from_a_run_is_never_markup(
    delivered: Stage, evil: dict[str, Any]
) -> None:
    tags = [tag for tag, _ in outline(made(run(delivered, **evil))).tags]

    assert tags.count("script") == 2


def test_what_comes_from_a_cluster_is_never_markup(delivered: Stage) -> None:
    flow = Flow(table=Table.POLICY, priority=1, match=("</script>",), actions=(EVIL,))
    delivered.hits.append(Hit(node=EVIL, flow=flow, n_packets=1))
    about = replace(
        run(None).about, claim=EVIL, doc=EVIL, subject=EVIL, parameters=((EVIL, EVIL),)
    )

    text = made(run(delivered, about=about))

    assert [tag for tag, _ in outline(text).tags].count("script") == 2
    assert EVIL in data(text)["texts"]
    assert EVIL in outline(text).text


def test_the_page_asks_nobody_for_anything(delivered: Stage) -> None:
    text = made(run(delivered, capture="captures/it.pcapng"))

    links = [
        attributes[name]
        for tag, attributes in outline(text).tags
        for name in ("src", "href")
        if tag != "symbol" and attributes.get(name)
    ]
    assert sorted(map(str, links)) == ["#run-0", "../captures/it.pcapng", "data:,"]
    assert "@import" not in text
    assert "url(http" not in text


def test_a_drawing_that_scenarios_share_is_in_the_page_once(
    delivered: Stage, dropped: Stage
) -> None:
    text = made(run(delivered), run(dropped), run(None))

    symbols = [attributes for tag, attributes in outline(text).tags if tag == "symbol"]
    assert len(symbols) == 1
    assert [bool(item) for item in data(text)["runs"]] == [True, True, False]


def test_the_script_finds_path_and_sightings_by_their_numbers(dropped: Stage) -> None:
    found = data(made(run(dropped)))

    (scenario,) = found["runs"]
    sender, sightings, deaths, turn = scenario["packets"][0]
    texts = found["texts"]
    assert texts[sender] == "lab/client-1"
    ((microseconds, tap, sent, text, changed, way),) = sightings
    assert (microseconds, texts[tap], sent, changed) == (0, "lab/client-1", 1, [])
    assert texts[text] == "UDP 10.128.0.2:40009 > 10.129.0.3:9"
    assert texts[way].startswith("M")
    assert str(tap) in found["diagrams"][scenario["diagram"]]["taps"]
    assert texts[deaths[0][-1]] == "dropped in table 20"
    assert turn == 1


def test_the_worst_is_told_first_and_plugins_are_counted_apart() -> None:
    failed = run(None, state=State.FAILED, message="E\nmore", failure="E")

    text = outline(made(run(None), failed, run(None, state=State.SKIPPED))).text

    assert "1 failed, 1 passed, 1 skipped" in text


def test_runs_of_one_test_stand_together_whatever_order_they_ran_in() -> None:
    first = run(None).about
    second = replace(first, line=9, claim="Second")
    runs = [
        run(None, about=replace(about, plugin=plugin), nodeid=f"{about.line}{plugin}")
        for plugin in ("subnet", "multitenant")
        for about in (second, first)
    ]

    told = [
        (attributes["data-plugin"])
        for tag, attributes in outline(made(*runs)).tags
        if tag == "details"
    ]

    assert told == ["subnet", "multitenant", "subnet", "multitenant"]
    assert made(*runs).index("It is so") < made(*runs).index("Second")


def test_a_matrix_of_verdicts_is_told_in_part_and_counted(stage: Stage) -> None:
    for number in range(3000):
        stage.judge(f"verdict {number}", agrees=True)

    text = made(run(stage))

    assert "verdict 0, because." in outline(text).text
    assert "… and 2990 more." in outline(text).text
    assert len(text) < 100_000


def test_no_run_at_all_is_a_page_too() -> None:
    assert "no scenario was run" in outline(made()).text


def test_a_whole_suite_stays_below_two_megabytes(delivered: Stage) -> None:
    """As large as the shipped suite's scenarios are, on average and more."""
    packets = record(delivered.evidence()).packets * 8
    hits = [
        Hit(
            node=f"node-{n % 4}.test",
            flow=Flow(
                table=Table.POLICY,
                priority=n,
                match=(f"nw_src=10.128.0.{n}",),
                actions=("drop",),
            ),
            n_packets=n,
        )
        for n in range(30)
    ]
    delivered.hits.extend(hits)
    scenario = replace(record(delivered.evidence()), packets=packets)

    text = made(*(run(None, scenario=scenario, nodeid=str(n)) for n in range(457)))

    assert len(text.encode()) < MOST_BYTES
