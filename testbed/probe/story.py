"""What happened in a scenario, for whoever has to find out why it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scapy.layers.l2 import Ether
from scapy.utils import PcapNgWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbed.probe.live import LiveCluster

_LONGEST = 60
"""Lines of frames to print; the capture has them all."""


def tell(cluster: LiveCluster) -> str:
    """What was sent, what each tap saw in order, and the flows that were hit."""
    return "\n".join(
        [
            "sent:",
            *_indented(_sent(cluster)),
            "seen, in milliseconds since the first frame:",
            *_indented(_seen(cluster)),
            "flows hit:",
            *_indented(_hit(cluster)),
        ]
    )


def write_capture(cluster: LiveCluster, path: Path) -> None:
    """Write what all taps saw as one pcapng file, one interface per tap."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = PcapNgWriter(str(path))
    for seen in cluster.recorder.sightings():
        frame = Ether(seen.frame)
        frame.time = seen.time
        frame.sniffed_on = seen.tap.label
        writer.write(frame)
    writer.close()


def _sent(cluster: LiveCluster) -> Iterator[str]:
    for sent in cluster.sent:
        yield f"{sent.sender}: {sent.unmarked.summary()}"


def _seen(cluster: LiveCluster) -> Iterator[str]:
    sightings = cluster.recorder.sightings()
    for seen in sightings[:_LONGEST]:
        elapsed = (seen.time - sightings[0].time) * 1000
        direction = "sends" if seen.sent else "receives"
        yield f"{elapsed:9.3f} {seen.tap} {direction} {Ether(seen.frame).summary()}"
    if len(sightings) > _LONGEST:
        yield f"… and {len(sightings) - _LONGEST} more"


def _hit(cluster: LiveCluster) -> Iterator[str]:
    for node, flow, times in cluster.flows_hit():
        hit = f"{flow.selector} actions={','.join(flow.actions)}"
        yield f"{node} table {flow.table}: {times} hit {hit}"


def _indented(lines: Iterator[str]) -> list[str]:
    return [f"  {line}" for line in lines] or ["  nothing"]
