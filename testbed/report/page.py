"""The page of a run: one file that needs nothing else, no network and no server. Pure.

What there is to read is in the HTML: every scenario with its claims, verdicts, failure
and packets. A script adds what there is to look at, when a scenario is opened: the
drawing with the packet's path, its sightings and the flows hit. Drawings, flows and
texts that many scenarios share are in the page once.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from os.path import relpath
from typing import TYPE_CHECKING, Any

from testbed.report.diagram import Diagram, diagram
from testbed.report.paths import path
from testbed.report.runs import Run, State
from testbed.report.stations import Role
from testbed.report.templates import render

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from testbed.report.records import PacketRecord, ScenarioRecord

STATES = (State.FAILED, State.ERROR, State.PASSED, State.SKIPPED)
"""The order in which states are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a page says of the run as a whole.

    ``started`` is in seconds since the epoch. ``directory`` is where the page will be,
    ``invocation`` where pytest ran, for links from the one to files of the other.
    ``coverage`` is what was measured of flows, in a line, if it was.
    """

    started: float
    seconds: float
    directory: Path
    invocation: Path
    coverage: str = ""


class Texts:
    """Texts, each once; elsewhere they are numbers."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        """The number of a text."""
        return self._numbers.setdefault(text, len(self._numbers))

    def all(self) -> list[str]:
        """The texts, by number."""
        return list(self._numbers)


@dataclass(slots=True)
class _Data:
    """What the script is given: see ``report.js``, which reads it."""

    texts: Texts = field(default_factory=Texts)
    diagrams: dict[str, Diagram] = field(default_factory=dict)
    flows: dict[tuple[object, ...], int] = field(default_factory=dict)

    def scenario(self, scenario: ScenarioRecord) -> dict[str, Any]:
        key = scenario.cluster.key
        if key not in self.diagrams:
            self.diagrams[key] = diagram(scenario.cluster)
        drawing = self.diagrams[key]
        return {
            "diagram": key,
            "packets": [self._packet(packet, drawing) for packet in scenario.packets],
            "hits": [
                number
                for hit in scenario.hits
                for number in (
                    self.texts(hit.node),
                    self._flow(
                        hit.table,
                        self.texts(hit.table_name),
                        self.texts(hit.selector),
                        self.texts(hit.actions),
                        int(hit.drops),
                    ),
                    hit.n_packets,
                )
            ],
            "leftOut": scenario.left_out,
            "lost": scenario.lost,
        }

    def _flow(self, *flow: object) -> int:
        return self.flows.setdefault(flow, len(self.flows))

    def _packet(self, packet: PacketRecord, drawing: Diagram) -> list[Any]:
        way = path(packet, drawing)
        return [
            self.texts(packet.sender),
            [
                [
                    seen.microseconds,
                    self.texts(seen.tap),
                    int(seen.sent),
                    self.texts(seen.text) if order in (0, way.turn) else None,
                    [self.texts(change) for change in seen.changes],
                    self.texts(way.segments[order]),
                ]
                for order, seen in enumerate(packet.sightings)
            ],
            [[*death.at, *death.label, self.texts(death.text)] for death in way.deaths],
            way.turn,
        ]

    def drawn(self) -> dict[str, Any]:
        """Where each tap is: its box, if it has one, and where its badges begin."""
        return {
            key: {
                "size": [drawing.width, drawing.height],
                "taps": {
                    self.texts(tap): _anchor(drawing, tap) for tap in drawing.links
                },
            }
            for key, drawing in self.diagrams.items()
        }


def _anchor(drawing: Diagram, tap: str) -> list[float]:
    """Where badges begin, which way they go, and the box that lights up."""
    link, box = drawing.links[tap], drawing.boxes.get(tap)
    if box is None:
        return [link.near.x + 12, link.near.y - 9, 1]
    high = link.role in (Role.HOST, Role.EXTERNAL)
    y = box.y if high else box.middle.y
    return [box.right - 8, y, -1, *box]


def page(runs: Sequence[Run], session: Session) -> str:
    """The page of these runs.

    They are told as their files are written; those of one test are side by side, in
    whatever order, and on however many processes, they were run.
    """
    plugins = list(dict.fromkeys(run.plugin for run in runs))
    runs = sorted(
        runs,
        key=lambda run: (
            run.about.file,
            run.about.line,
            plugins.index(run.plugin),
            run.nodeid,
        ),
    )
    data = _Data()
    scenarios = [data.scenario(run.scenario) if run.scenario else None for run in runs]
    told = [run.scenario for run in runs if run.scenario]
    drawn = data.drawn()
    flows = list(data.flows)
    script = {
        "texts": data.texts.all(),
        "diagrams": drawn,
        "flows": flows,
        "runs": scenarios,
    }
    return render(
        "report.html.j2",
        claims={
            number: _claims(run.scenario)
            for number, run in enumerate(runs)
            if run.scenario
        },
        runs=list(enumerate(runs)),
        groups=_groups(runs),
        states=STATES,
        counts=Counter(run.state for run in runs),
        plugins=_plugins(runs),
        facts=_facts(told, session),
        title=_title(runs),
        diagrams=data.diagrams,
        captures={
            number: relpath(session.invocation / run.capture, session.directory)
            for number, run in enumerate(runs)
            if run.capture
        },
        data=json.dumps(script, separators=(",", ":"), ensure_ascii=False),
    )


def _claims(scenario: ScenarioRecord) -> list[tuple[bool, str]]:
    """The claims, those of one kind about one packet together; and which held."""
    told: dict[tuple[bool, str], list[str]] = {}
    for claim in scenario.claims:
        if not claim.control or not claim.held:
            control = " (a positive control)" if claim.control else ""
            packet = f"packet {claim.packet or '?'}{control}"
            kind = (claim.held, f"{packet} {claim.kind}")
            told.setdefault(kind, []).append(claim.object)
    return [
        (held, f"{kind} {', '.join(dict.fromkeys(objects))}")
        for (held, kind), objects in told.items()
    ]


def _groups(runs: Sequence[Run]) -> list[tuple[str, str, list[tuple[int, Run]]]]:
    """The runs by file: its name, its subject, and its runs with their numbers."""
    grouped = groupby(enumerate(runs), key=lambda pair: pair[1].about.file)
    return [
        (file, items[0][1].about.subject, items)
        for file, group in grouped
        for items in [list(group)]
    ]


def _plugins(runs: Sequence[Run]) -> list[tuple[str, Counter[State], float]]:
    """How the runs of each plugin ended, and the seconds they took."""
    names = dict.fromkeys(run.plugin for run in runs)
    return [
        (
            name,
            Counter(run.state for run in runs if run.plugin == name),
            sum(run.seconds for run in runs if run.plugin == name),
        )
        for name in names
    ]


def _title(runs: Sequence[Run]) -> str:
    counts = Counter(run.state for run in runs)
    told = [f"{counts[state]} {state}" for state in STATES if counts[state]]
    return ", ".join(told) or "no scenario was run"


def _facts(told: Sequence[ScenarioRecord], session: Session) -> list[tuple[str, str]]:
    """What the run was made of."""
    started = datetime.fromtimestamp(session.started, UTC).astimezone()
    facts = [
        ("Run", started.strftime("%Y-%m-%d %H:%M:%S %Z")),
        ("Duration", f"{session.seconds:.1f} s"),
    ]
    for name, values in (
        ("Datapath", [scenario.datapath for scenario in told]),
        ("Topology", [scenario.topology for scenario in told]),
        ("Made with", [scenario.versions for scenario in told]),
    ):
        if values:
            facts.append((name, ", ".join(dict.fromkeys(filter(None, values)))))
    if session.coverage:
        facts.append(("Flow coverage", session.coverage))
    return facts
