"""Scenarios as plain data, which a report carries from process to process. Pure.

Every record is made of text, numbers and tuples of records, so that JSON keeps it
whole (``dumped``, ``loaded``).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from testbed.host.names import underlay_mac
from testbed.openflow import Table
from testbed.probe.dissect import changes
from testbed.probe.evidence import telling
from testbed.report.stations import GATEWAY, Stations

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from testbed.model import Cluster
    from testbed.probe.evidence import Evidence
    from testbed.probe.trails import Glimpse, Trail

MOST_VERDICTS = 10
"""Verdicts that are told of a scenario, those where witnesses disagree first."""
MOST_PACKETS = 12
"""Packets of kernels that are told of a scenario; those sent on purpose are all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceRecord:
    """Something with a tap, to be drawn; ``tap`` is the tap's label."""

    tap: str
    name: str
    ip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """A node: its tun0, the wire, and its pods."""

    name: str
    ip: str
    gateway: str
    tun0: str
    wire: str
    pods: tuple[PlaceRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRecord:
    """The places of a cluster, in the order they are drawn in."""

    nodes: tuple[NodeRecord, ...]
    externals: tuple[PlaceRecord, ...]
    rogues: tuple[PlaceRecord, ...]
    ghosts: tuple[PlaceRecord, ...]
    gateway: str

    @property
    def key(self) -> str:
        """What two clusters share that are drawn alike."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class SightingRecord:
    """One frame at one tap.

    ``peer`` is the machine on the underlay at the frame's other end, by its MAC: the
    receiver of what was sent, the sender of what came in. ``changes`` are those since
    the packet was seen before.
    """

    microseconds: int
    tap: str
    sent: bool
    tunnelled: bool
    peer: str
    text: str
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DropRecord:
    """Where a packet was proven to be dropped."""

    node: str
    table: int
    table_name: str
    flow: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketRecord:
    """One packet; ``origin`` is scenario, control or kernel."""

    origin: str
    sender: str
    text: str
    sightings: tuple[SightingRecord, ...]
    drops: tuple[DropRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRecord:
    """A claim; ``packet`` is the packet's number, from 1, or 0 if nobody saw it.

    ``kind`` is the claim's verb, ``object`` a place, or node, table and flow.
    """

    packet: int
    kind: str
    object: str
    held: bool
    control: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRecord:
    """What three witnesses said, in a line and in full."""

    agrees: bool
    line: str
    paragraph: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HitRecord:
    """A flow that counted packets."""

    node: str
    table: int
    table_name: str
    selector: str
    actions: str
    drops: bool
    n_packets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioRecord:
    """What happened in the cluster of one scenario.

    ``left_out`` counts frames that no packet of the record accounts for; ``lost`` those
    that nobody has.
    """

    plugin: str
    datapath: str
    topology: str
    versions: str
    cluster: ClusterRecord
    packets: tuple[PacketRecord, ...]
    claims: tuple[ClaimRecord, ...]
    verdicts: tuple[VerdictRecord, ...]
    verdicts_left_out: int
    hits: tuple[HitRecord, ...]
    left_out: int
    lost: int


_AS_JSON = TypeAdapter(ScenarioRecord)


def record(evidence: Evidence) -> ScenarioRecord:
    """Make a record of a scenario's evidence."""
    trails, left_out = evidence.trails()
    told, kernels = [], 0
    for trail in trails:
        if trail.mark or not trail.is_noise:
            kernels += not trail.mark
            if trail.mark or kernels <= MOST_PACKETS:
                told.append(trail)
                continue
        left_out += len(trail.glimpses)
    cluster = _cluster(evidence)
    verdicts, verdicts_left_out = telling(evidence.verdicts, MOST_VERDICTS)
    start = told[0].first.sighting.nanoseconds if told else 0
    machines = {
        mac: name
        for topology in evidence.became
        for mac, name in _machines(topology.cluster).items()
    }
    stations = Stations.of(cluster)
    numbers = {trail.mark: n for n, trail in enumerate(told, 1) if trail.mark}
    return ScenarioRecord(
        plugin=evidence.plugin,
        datapath=evidence.datapath,
        topology=evidence.file,
        versions=str(evidence.versions),
        cluster=cluster,
        packets=tuple(
            _packet(trail, evidence, stations, machines, start) for trail in told
        ),
        claims=tuple(
            ClaimRecord(
                packet=numbers.get(claim.mark, 0),
                kind=claim.kind.value,
                object=claim.object,
                held=claim.held,
                control=claim.control,
            )
            for claim in evidence.claims
        ),
        verdicts=tuple(
            VerdictRecord(
                agrees=verdict.agrees, line=verdict.line, paragraph=verdict.paragraph
            )
            for verdict in verdicts
        ),
        verdicts_left_out=verdicts_left_out,
        hits=tuple(
            HitRecord(
                node=hit.node,
                table=int(hit.flow.table),
                table_name=_table_name(hit.flow.table),
                selector=hit.flow.selector,
                actions=",".join(hit.flow.actions),
                drops=hit.flow.drops,
                n_packets=hit.n_packets,
            )
            for hit in evidence.hits
        ),
        left_out=left_out,
        lost=sum(evidence.lost.values()),
    )


def dumped(scenario: ScenarioRecord) -> str:
    """A record as JSON."""
    return _AS_JSON.dump_json(scenario).decode()


def loaded(text: str) -> ScenarioRecord:
    """The record that ``dumped`` wrote."""
    return _AS_JSON.validate_json(text)


def _cluster(evidence: Evidence) -> ClusterRecord:
    """The places as they are now, and those that were, where frames were seen."""
    places = evidence.places
    here = {tap.label for tap in places.taps}
    gone: dict[str, list[PlaceRecord]] = {}
    for topology in evidence.became:
        for pod in topology.cluster.pods:
            seen = any(tap.label == pod.key for tap in evidence.taps)
            others = gone.setdefault(pod.node, [])
            if seen and pod.key not in here:
                here.add(pod.key)
                others.append(_place(pod.key, pod.key, pod.ip))
    return ClusterRecord(
        nodes=tuple(
            NodeRecord(
                name=node.name,
                ip=str(node.ip),
                gateway=str(node.gateway),
                tun0=node.tap.label,
                wire=node.wire.label,
                pods=(
                    *(
                        _place(pod.tap.label, pod.name, pod.ip)
                        for pod in places.pods
                        if pod.node == node
                    ),
                    *gone.get(node.name, ()),
                ),
            )
            for node in places.nodes
        ),
        externals=_places(places.external_hosts),
        rogues=_places(places.rogues),
        ghosts=_places(places.ghosts),
        gateway=str(evidence.topology.cluster.underlay.gateway),
    )


def _places(hosts: Iterable[Any]) -> tuple[PlaceRecord, ...]:
    return tuple(_place(host.tap.label, host.name, host.ip) for host in hosts)


def _place(tap: str, name: str, ip: object) -> PlaceRecord:
    return PlaceRecord(tap=tap, name=name, ip=str(ip))


def _machines(cluster: Cluster) -> dict[str, str]:
    """Who has which MAC on the underlay; nodes, ghosts and rogues by their names."""
    underlay = cluster.underlay
    return {
        **{underlay_mac(host.host_ip): host.name for host in cluster.host_subnets},
        **{underlay_mac(rogue.ip): rogue.name for rogue in underlay.rogues},
        underlay_mac(underlay.gateway): GATEWAY,
    }


def _packet(
    trail: Trail,
    evidence: Evidence,
    stations: Stations,
    machines: Mapping[str, str],
    start: int,
) -> PacketRecord:
    return PacketRecord(
        origin=trail.origin.value,
        sender=trail.sender.label,
        text=str(trail.first.frame),
        sightings=tuple(_sightings(trail, stations, machines, start)),
        drops=tuple(
            DropRecord(
                node=claim.place,
                table=int(claim.table),
                table_name=_table_name(claim.table),
                flow=claim.flow,
            )
            for claim in evidence.claims
            if claim.table is not None and claim.held and claim.mark == trail.mark
        ),
    )


def _sightings(
    trail: Trail, stations: Stations, machines: Mapping[str, str], start: int
) -> Iterator[SightingRecord]:
    """Tell each sighting by what changed since the packet was seen before it.

    That is where it went into the device that it now comes out of: a copy for a pod on
    the sender's own node has never been in a tunnel, though others have.
    """
    inside: dict[tuple[str, str], Glimpse] = {}
    before: Glimpse | None = None
    for glimpse in trail.glimpses:
        seen, frame = glimpse.sighting, glimpse.frame
        peer = machines.get(_outer_mac(seen.frame, sent=seen.sent), "")
        leaves, enters = stations.between(
            seen.tap.label, sent=seen.sent, tunnelled=bool(frame.tunnel), peer=peer
        )
        before = inside.get(leaves, before)
        yield SightingRecord(
            microseconds=(seen.nanoseconds - start) // 1000,
            tap=seen.tap.label,
            sent=seen.sent,
            tunnelled=frame.tunnel is not None,
            peer=peer,
            text=str(frame),
            changes=tuple(changes(before.frame, frame)) if before else (),
        )
        inside[enters] = before = glimpse


def _outer_mac(frame: bytes, *, sent: bool) -> str:
    return (frame[:6] if sent else frame[6:12]).hex(":")


def _table_name(table: int) -> str:
    return table.name if isinstance(table, Table) else ""
