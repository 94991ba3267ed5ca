"""All taps of a scenario in one pcapng file, with what is known of every packet.

Each tap is an interface of the file. Where a packet was sent the file says by whom and
which it is; on what came in, where; and on the last that was seen of a packet, which
flow dropped it, where a scenario proved one.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from testbed.emulation.machines import Kind
from testbed.probe import pcapng
from testbed.probe.claims import ClaimKind
from testbed.probe.pcapng import Direction
from testbed.probe.trails import Origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from testbed.probe.evidence import Evidence
    from testbed.probe.recorder import Sighting, Tap

_LONGEST_NAME = 150
"""Characters of a file's name that say which scenario it is."""

_MACHINES = {
    Kind.POD: "pod",
    Kind.EXTERNAL: "external host",
    Kind.ROGUE: "rogue VTEP",
    Kind.GHOST: "HostSubnet without an SDN",
}


def capture_name(scenario: str) -> str:
    """The name of a scenario's file: readable, and no other scenario's."""
    file, _, test = scenario.partition("::")
    name = f"{file.rpartition('/')[2]}-{test}"
    short = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII)
    digest = hashlib.sha256(scenario.encode()).hexdigest()[:8]
    return f"{short[:_LONGEST_NAME].strip('-')}-{digest}.pcapng"


def write_capture(evidence: Evidence, path: Path) -> None:
    """Write the file; folders that are not there are made.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.writelines(blocks(evidence))


def blocks(evidence: Evidence) -> Iterator[bytes]:
    """Yield the blocks of the file."""
    versions = evidence.versions
    yield pcapng.section(
        _about(evidence),
        system=f"Linux {versions.kernel}",
        application=f"openshift-sdn-testbed {versions.testbed}",
    )
    numbers = {tap: number for number, tap in enumerate(evidence.taps)}
    descriptions = _descriptions(evidence)
    for tap in evidence.taps:
        is_open = tap.socket.fileno() >= 0
        yield pcapng.interface(
            tap.label, descriptions[tap], mac=tap.mac if is_open else ""
        )
    comments = _Comments(evidence)
    for position, seen in enumerate(evidence.sightings):
        yield pcapng.packet(
            seen.frame,
            interface=numbers[seen.tap],
            nanoseconds=seen.nanoseconds,
            direction=Direction.OUTBOUND if seen.sent else Direction.INBOUND,
            comments=comments.on(position, seen),
        )
    if evidence.sightings:
        latest = evidence.sightings[-1].nanoseconds
        for tap in evidence.taps:
            yield pcapng.statistics(
                interface=numbers[tap],
                nanoseconds=latest,
                dropped=evidence.lost.get(tap, 0),
            )


def _about(evidence: Evidence) -> str:
    cluster = evidence.topology.cluster
    nodes = ", ".join(f"{node.name} {node.host_ip}" for node in cluster.nodes)
    lines = [
        f"scenario: {evidence.scenario}",
        f"plugin: {cluster.network.plugin}",
        f"datapath: {evidence.datapath}",
        f"topology: {evidence.file or 'of the scenario'}",
        f"cluster: nodes {nodes}; {len(cluster.pods)} pods",
        f"versions: {evidence.versions}",
    ]
    if lost := sum(evidence.lost.values()):
        lines.append(f"not complete: {lost} frames were not kept")
    return "\n".join(lines)


def _descriptions(evidence: Evidence) -> dict[Tap, str]:
    """What each tap is, of which machine, with its address."""
    places = evidence.places
    told = {
        tap: f"{tap.interface} of {_MACHINES.get(tap.machine.kind, 'machine')} "
        f"{tap.machine.name}, gone by now"
        for tap in evidence.taps
    }
    for node in places.nodes:
        told[node.tap] = f"tun0 of node {node}, {node.gateway}: its kernel's way to br0"
        told[node.wire] = f"{node.wire.interface} of node {node}, {node.ip}: the wire"
    for pod in places.pods:
        told[pod.tap] = f"eth0 of pod {pod}, {pod.ip}, on node {pod.node}"
    for host in (*places.external_hosts, *places.rogues, *places.ghosts):
        told[host.tap] = f"eth0 of {_MACHINES[host.machine.kind]} {host}, {host.ip}"
    return told


class _Comments:
    """What is said of each frame, told in the order of the file."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._marks = evidence.marks
        self._numbers = {mark: n for n, mark in enumerate(self._marks, 1)}
        self._begun = set[bytes]()
        self._last: Mapping[bytes, int] = {
            mark: position
            for position, seen in enumerate(evidence.sightings)
            if (mark := self._mark(seen))
        }

    def on(self, position: int, seen: Sighting) -> list[str]:
        """The comments on one frame; a kernel's own has none."""
        mark = self._mark(seen)
        if not mark:
            return []
        comments = []
        number = self._numbers[mark]
        if mark not in self._begun:
            self._begun.add(mark)
            comments.append(self._on_sent(number, mark, seen))
        elif not seen.sent:
            comments.append(f"packet {number} comes in at {seen.tap}")
        if self._last[mark] == position:
            comments += [
                f"packet {number} {claim}"
                for claim in self._evidence.claims
                if claim.kind is ClaimKind.DROPPED and claim.mark == mark and claim.held
            ]
        return comments

    def _on_sent(self, number: int, mark: bytes, seen: Sighting) -> str:
        if self._marks[mark] is Origin.CONTROL:
            return f"packet {number}, a positive control, sent by {seen.tap}"
        return f"packet {number} of {self._evidence.scenario}, sent by {seen.tap}"

    def _mark(self, seen: Sighting) -> bytes:
        return next((mark for mark in self._marks if mark in seen.frame), b"")
