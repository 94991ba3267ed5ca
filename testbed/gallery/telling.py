"""The pytest plugin that tells, as they end, what scenarios of the gallery showed.

Each is one JSON text on a line of its own on stdout (``testbed.gallery.shown``).
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from testbed.faults import Fault
from testbed.gallery.model import Half
from testbed.gallery.shown import RECORD_SEPARATOR, Shown
from testbed.probe.dissect import read_frame
from testbed.pytest_plugin import LIVE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from testbed.probe import LiveCluster


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell of a scenario that has ended, or that could not begin."""
    report = yield
    if report.when == "call" or (report.when == "setup" and not report.passed):
        text = json.dumps(asdict(_shown(item, report)))
        sys.stdout.write(f"\n{RECORD_SEPARATOR}{text}\n")
        sys.stdout.flush()
    return report


def _shown(item: pytest.Item, report: pytest.TestReport) -> Shown:
    live = item.stash.get(LIVE, None)
    half = next((half for half in Half if item.get_closest_marker(half)), "")
    return Shown(
        name=getattr(item, "originalname", item.name),
        half=str(half),
        plugin=live.objects.network.plugin.rpartition("/")[2] if live else "",
        outcome=report.outcome,
        reason=_reason(report),
        seconds=report.duration,
        broken=tuple(dict.fromkeys(_broken(live))) if live else (),
        packets=tuple(_packets(live)) if live else (),
    )


def _reason(report: pytest.TestReport) -> str:
    if report.skipped and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return crash.message.splitlines()[0] if crash else ""


def _broken(live: LiveCluster) -> Iterator[str]:
    for fault in live.suffered:
        if isinstance(fault, Fault):
            yield fault.told
        else:
            yield f"{fault.node} is programmed otherwise than computed"


def _packets(live: LiveCluster) -> Iterator[str]:
    vxlan_port = live.objects.network.vxlan_port
    for sent in live.sent:
        if not sent.control:
            frame = read_frame(bytes(sent.unmarked), vxlan_port=vxlan_port)
            yield f"{sent.sender}: {frame}"
            yield from (
                f"  {claim}" for claim in live.claims if claim.mark == sent.mark
            )
    yield from (verdict.line for verdict in live.verdicts)
