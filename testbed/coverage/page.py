"""Flow coverage as a page: table by table, as the pipeline reads. Pure.

One file that needs nothing else. Every flow of every node is in the HTML; the names of
the scenarios that hit it are added by a script when a kind is opened.
"""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING

from testbed.coverage.ledger import percent
from testbed.coverage.summary import figures
from testbed.report.templates import render

if TYPE_CHECKING:
    from testbed.coverage.ledger import Coverage, CoveredKind, PluginCoverage


def page(coverage: Coverage) -> str:
    """The page of a coverage."""
    names = sorted(
        {
            scenario
            for plugin in coverage.plugins
            for kind in plugin.kinds
            for scenario in kind.scenarios
        }
    )
    numbers = {name: number for number, name in enumerate(names)}
    hits = [
        [
            [[numbers[name], packets] for name, packets in flow.scenarios.items()]
            for flow in kind.flows
        ]
        for plugin in coverage.plugins
        for kind in plugin.kinds
    ]
    return render(
        "coverage.html.j2",
        coverage=coverage,
        plugins=[
            (plugin, figures(plugin), _tables(plugin)) for plugin in coverage.plugins
        ],
        percent=percent,
        data=json.dumps(
            {"scenarios": names, "kinds": hits},
            separators=(",", ":"),
            ensure_ascii=False,
        ),
    )


def _tables(plugin: PluginCoverage) -> list[tuple[int, str, list[CoveredKind]]]:
    """The kinds by table: its number, its name, its kinds."""
    return [
        (table, kinds[0].kind.table_name, kinds)
        for table, group in groupby(plugin.kinds, key=lambda kind: kind.kind.table)
        for kinds in [list(group)]
    ]
