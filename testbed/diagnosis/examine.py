"""From a collection to its diagnosis. Pure: what was imported in, findings out."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from testbed.diagnosis.base import base
from testbed.diagnosis.bridge import (
    other_plugin,
    unanswered,
    untold_tables,
    version,
    wiped,
)
from testbed.diagnosis.egress import egress, multicast
from testbed.diagnosis.finding import Diagnosis, Severity, names, ranked, short
from testbed.diagnosis.host import host, own_macs
from testbed.diagnosis.node import Differences, Node
from testbed.diagnosis.objects import objects
from testbed.diagnosis.peers import peers
from testbed.diagnosis.pods import pods
from testbed.diagnosis.policies import policies
from testbed.diagnosis.ports import ports
from testbed.diagnosis.rules import rules
from testbed.diagnosis.service_rules import known_services
from testbed.diagnosis.services import services
from testbed.diagnosis.vnids import vnids
from testbed.importing.catalogue import catalogue
from testbed.importing.kinds import Kind
from testbed.importing.remarks import Sort
from testbed.pipeline import cluster_flows, node_flows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from testbed.diagnosis.finding import Finding
    from testbed.importing import Evidence, Imported
    from testbed.importing.recognise import Section
    from testbed.model import Cluster
    from testbed.openflow import Flow

_OF_FLOWS = (
    other_plugin,
    version,
    peers,
    vnids,
    pods,
    services,
    policies,
    egress,
    multicast,
    base,
)
"""Each takes what it explains; the last takes the rest."""

_FEW = 5
"""Nodes whose flows are computed one by one; for more, all at once is faster."""

_MOST_UNREAD = 5
"""Files, or lines, that are told of one by one."""

_OLDER = "BZ1643965"
"""Its fix is one flow, which no build of 3.11 before it has."""

_POD = re.compile(r"\bPod ([-a-z0-9.]+/[-a-z0-9.]*[a-z0-9])")

_PORTS = {"pod-port", "pod-ports-shared", "port-gone", "pod-flows-missing"}
_FOLLOWS = {
    "pod-flows-missing": {"pod-address"},
    "pod-vnid": {"pod-address"},
    "pod-flows-stale": {"pod-address"},
    "pod-port": {"pod-address"},
    "pod-ports-shared": {"pod-address", "pod-port"},
    "port-gone": {"pod-address", "pod-port", "pod-ports-shared", "pod-flows-stale"},
    "multicast-port": _PORTS | {"pod-flows-incomplete", "pod-address"},
    "port-without-flows": _PORTS,
    "route-missing": {"link-down", "tun0-gone"},
    "no-default-route": {"link-down"},
    "peer-silent": {"link-down"},
}
"""Findings that need not be told where one of these is there, on the same node."""

_LOOKED_AT = (
    (Kind.IPTABLES, "iptables"),
    (Kind.ADDRESSES, "addresses and MTU"),
    (Kind.ROUTES, "routes"),
    (Kind.NEIGHBOURS, "neighbours"),
    (Kind.SYSCTL, "sysctls"),
    (Kind.PORTS, "ports of br0"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A collection that was looked at, for further questions.

    Attributes:
        diagnosis: what was found.
        cluster: the objects.
        nodes: what was collected of each node.
        wiped: the nodes whose br0 has no flows.
    """

    diagnosis: Diagnosis
    cluster: Cluster = field(repr=False)
    nodes: tuple[Node, ...] = field(repr=False)
    wiped: frozenset[str]


def diagnose(evidence: Evidence, imported: Imported) -> Diagnosis:
    """Find everything that is wrong with what was collected."""
    return examined(evidence, imported).diagnosis


def examined(evidence: Evidence, imported: Imported) -> Examined:
    """The same, with what further questions need."""
    cluster = imported.topology.cluster
    hosts = {item.name: item for item in cluster.nodes}
    nodes = [
        Node(cluster=cluster, host=hosts[item.name], collected=item)
        for item in imported.nodes
        if item.name in hosts
    ]
    found: list[Finding] = list(
        objects(imported, catalogue(evidence.objects, evidence.listed, []))
    )
    not_looked_at = _unread(imported)
    computed = _computed(nodes, cluster)
    found_objects = {
        (item.kind, item.key) for item in imported.objects if item.sort is Sort.FOUND
    }
    services_known = known_services(
        nodes,
        frozenset(
            key
            for kind, key in found_objects
            if kind == "Endpoints" and ("Service", key) in found_objects
        ),
    )
    kinds = {kind for kind, _ in found_objects}
    egress_known = {"HostSubnet", "NetNamespace"} <= kinds
    macs = {ip: mac for node in nodes for ip, mac in own_macs(node)}
    empty = dict(_empty_bridges(evidence, nodes))
    for node in nodes:
        if node.name in empty:
            section = empty[node.name]
            found.append((wiped if section.is_reply else unanswered)(node, section))
        if node.name in computed:
            found += _flow_findings(node, computed[node.name], not_looked_at)
        found += ports(node)
        found += host(node, macs)
        found += rules(node, services_known, egress_known=egress_known)
    without = frozenset(name for name, section in empty.items() if section.is_reply)
    not_looked_at += _not_collected(nodes, without)
    diagnosis = Diagnosis(
        summary=_summary(nodes, cluster),
        findings=ranked(_put_right(found, nodes)),
        not_looked_at=tuple(not_looked_at),
    )
    return Examined(
        diagnosis=diagnosis, cluster=cluster, nodes=tuple(nodes), wiped=without
    )


def _computed(nodes: list[Node], cluster: Cluster) -> Mapping[str, tuple[Flow, ...]]:
    """The flows that nodes should have whose flows are not those."""
    wanted = [
        node
        for node in nodes
        if node.collected.bridge and any(node.collected.deviations.values())
    ]
    if len(wanted) <= _FEW:
        return {node.name: node_flows(cluster, node.host) for node in wanted}
    flows = cluster_flows(cluster)
    return {node.name: flows.of(node.host) for node in wanted}


def _flow_findings(
    node: Node, computed: tuple[Flow, ...], not_looked_at: list[str]
) -> Iterator[Finding]:
    differences = Differences(node, computed)
    untold = untold_tables(differences)
    if untold:
        differences.take(lambda _: True, *untold)
        shown = ", ".join(map(str, sorted(untold)))
        not_looked_at.append(f"{node.name}: tables {shown}: the dump has none of them")
    for check in _OF_FLOWS:
        if not differences:
            return
        yield from check(differences)


def _put_right(found: list[Finding], nodes: list[Node]) -> Iterator[Finding]:
    """What only together makes sense."""
    with_flows = {node.name for node in nodes if node.collected.bridge}
    lacking = Counter(
        name for item in found if item.bugs == (_OLDER,) for name in item.nodes
    )
    is_older = len(with_flows) > 1 and lacking.keys() >= with_flows
    for item in _folded(found):
        if is_older and item.bugs == (_OLDER,):
            yield replace(
                item,
                severity=Severity.NOTE,
                advice="this 3.11 is older than the fix: update",
            )
        else:
            yield item


def _folded(found: list[Finding]) -> list[Finding]:
    """What follows from another finding becomes a part of it."""
    for check, causes in _FOLLOWS.items():
        kept = [item for item in found if item.check != check]
        for item in found:
            if item.check == check and not _fold(item, kept, causes):
                kept.append(item)
        found = kept
    return found


def _fold(item: Finding, kept: list[Finding], causes: set[str]) -> bool:
    """Make it a part of its cause; whether there is one.

    For each port without flows there must be one.
    """
    places = [
        place
        for place, cause in enumerate(kept)
        if cause.check in causes
        and cause.nodes == item.nodes
        and (
            not item.object
            or not cause.object
            or cause.object in {item.object, *_named(item)}
            or item.object in _named(cause)
        )
    ]
    if len(places) < (item.weight if item.check == "port-without-flows" else 1):
        return False
    cause = kept[places[0]]
    kept[places[0]] = replace(
        cause,
        evidence=(*cause.evidence, *item.evidence),
        flows=cause.flows | item.flows,
    )
    return True


def _named(item: Finding) -> set[str]:
    """The pods that a finding names."""
    return {f"Pod {name}" for name in _POD.findall(item.what)}


def _empty_bridges(
    evidence: Evidence, nodes: list[Node]
) -> Iterator[tuple[str, Section]]:
    """Yield the nodes whose dump has no flow, with all that there is of it."""
    without = {node.name: node.name for node in nodes if not node.collected.bridge}
    without |= {short(name): name for name in without}
    for section in evidence.empty_dumps:
        for name in section.origin.names:
            if name in without:
                yield without[name], section


def _unread(imported: Imported) -> list[str]:
    """What was collected, but could not be read."""
    told = [str(item) for item in imported.remarks if item.sort is Sort.UNREAD]
    if len(told) > _MOST_UNREAD:
        told[_MOST_UNREAD - 1 :] = [f"{len(told) - _MOST_UNREAD + 1} more"]
    return told


def _not_collected(nodes: list[Node], empty: Collection[str]) -> Iterator[str]:
    without = [
        node.name
        for node in nodes
        if node.collected.bridge is None and node.name not in empty
    ]
    if without and len(without) < len(nodes):
        yield f"flows of {names(without)} were not collected"
    elif without:
        yield "flows of no node were collected"
    of_none: list[str] = []
    for kind, what in _LOOKED_AT:
        silent = [node.name for node in nodes if not any(node.texts(kind))]
        if silent and len(silent) < len(nodes):
            yield f"{what} of {names(silent)} were not collected"
        elif silent:
            of_none.append(what)
    if of_none:
        yield f"{', '.join(of_none)}: of no node were they collected"


def _summary(nodes: list[Node], cluster: Cluster) -> str:
    flows = sum(n.collected.bridge.facts.count for n in nodes if n.collected.bridge)
    with_flows = sum(1 for node in nodes if node.collected.bridge)
    return (
        f"{len(nodes)} nodes (flows of {with_flows}: {flows}), {len(cluster.pods)} "
        "pods, "
        f"{len(cluster.services)} services, {cluster.network.plugin}"
    )
