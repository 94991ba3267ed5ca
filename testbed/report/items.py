"""pytest's items: the evidence of each, its properties, and the section of a failure.

Evidence is taken as soon as a scenario has ended, before its fixtures are undone and
before ``--prove-red`` runs it again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.probe.capture import capture_name, write_capture
from testbed.probe.evidence import Evidence, telling
from testbed.probe.story import tell
from testbed.pytest_plugin import LIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.probe import LiveCluster

EVIDENCE = pytest.StashKey[Evidence]()
"""What an item left behind, where anybody wants to know."""

_MOST_VERDICTS = 20
"""Verdicts in a scenario's properties; a matrix has hundreds that agree."""

_GONE = pytest.StashKey[bool]()
"""Whether an item's cluster has been taken down."""

CAPTURE = "capture"
"""The property that says where a scenario's packets are kept."""


def note_end(item: pytest.Item, *, failed: bool) -> None:
    """Take what is wanted of a scenario that has just ended."""
    live = item.stash[LIVE]
    _set_properties(item, live)
    option = item.config.option
    counted = failed or bool(option.report or option.flow_coverage)
    if counted or option.keep_captures:
        item.stash[EVIDENCE] = Evidence.take(
            live, item.nodeid, file=file_of(item), counted=counted
        )


def note_cluster_end(item: pytest.Item) -> None:
    """Take what the last scenario of a cluster left behind, as long as that is there.

    When its fixtures turn out to have failed, the cluster is gone. Of one that has been
    reported on (pytest has taken its arguments away) nothing more is wanted.
    """
    if getattr(item, "funcargs", None):
        note_end(item, failed=True)
    item.stash[_GONE] = True


def note_report(item: pytest.Item, report: pytest.TestReport) -> None:
    """Keep the packets, where that is wished, and tell the story of a failure.

    One whose fixtures fail, before it or after, has a story, too.
    """
    is_late = report.when != "call" or EVIDENCE not in item.stash
    if report.failed and is_late and not item.stash.get(_GONE, False):
        note_end(item, failed=True)
    if report.failed or (report.when == "call" and item.config.option.keep_captures):
        kept = _keep(item)
        if report.failed:
            width = item.config.get_terminal_writer().fullwidth
            story = tell(item.stash[EVIDENCE], width=width)
            report.sections.append(("testbed", f"{story}\n{kept}"))
    report.user_properties = list(item.user_properties)


def file_of(item: pytest.Item) -> str:
    """The topology file that an item's cluster was built from, as seen from here."""
    file = (getattr(item, "funcargs", None) or {}).get("topology")
    if not isinstance(file, Path):
        return ""
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)


def _keep(item: pytest.Item) -> str:
    """Write an item's capture, and say where it is."""
    path = Path(item.config.option.captures) / capture_name(item.nodeid)
    try:
        write_capture(item.stash[EVIDENCE], path)
    except OSError as error:
        return f"no capture of the taps: {error}"
    if (CAPTURE, str(path)) not in item.user_properties:
        item.user_properties.append((CAPTURE, str(path)))
    return f"capture of all taps: {path.resolve()}"


def _set_properties(item: pytest.Item, live: LiveCluster) -> None:
    """What JUnit's XML says of a scenario, anew each time it is asked."""
    verdicts, _ = telling(live.verdicts, _MOST_VERDICTS)
    told = [
        ("plugin", live.objects.network.plugin.rpartition("-ovs-")[2]),
        ("datapath", live.datapath),
        ("topology", file_of(item)),
        ("packets_sent", str(len(live.sent))),
        *(("claim", claim) for claim in _claims(live)),
        ("verdicts", str(len(live.verdicts))),
        *(("verdict", verdict.line) for verdict in verdicts),
    ]
    names = {name for name, _ in told} | {"claim", "verdict"}
    others = [pair for pair in item.user_properties if pair[0] not in names]
    item.user_properties = [*others, *told]


def _claims(live: LiveCluster) -> Iterator[str]:
    numbers = {sent.mark: number for number, sent in enumerate(live.sent, 1)}
    for claim in live.claims:
        if not claim.control:
            held = "" if claim.held else ": not so"
            yield f"packet {numbers[claim.mark]} {claim}{held}"
