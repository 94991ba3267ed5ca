"""How well `testbed diagnose` does: of every fault, whether it is named, and what else.

Run as ``.venv/bin/python tests/bench_diagnosis_score.py [TOPOLOGY…] [--live]``; ``-k``
takes a part of a fault's kind. Each fault is put into a shipped cluster, what a
customer would then send is exported and diagnosed. Faults of programming are computed,
one for each sort of flow and rule; with ``--live`` one of each kind, those of machines
included, is put into a running testbed instead. Named is a fault where a finding about
its node has one of the checks that stand for it or, where there are none such, its
flows. False is every finding about something else that a healthy cluster does not have.

Exit status 1: a fault that leaves a trace was not named, or something false was. Exit
status 2: neither, but some faults could not be had on this machine.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from testbed.diagnosis import Diagnosis, Finding, FlowKey, diagnose
from testbed.errors import SDNError
from testbed.exporting import Collection, Computed, Format, export, save
from testbed.faults import (
    ArpStale,
    ChainReordered,
    Direction,
    DnsmasqDead,
    DuplicatePodIP,
    EgressIpStale,
    Fault,
    FlowChanged,
    FlowDeleted,
    FlowsWiped,
    HostSubnetForgotten,
    HostSubnetStale,
    IpForwardOff,
    IptablesFlushed,
    LinkDown,
    LinkFlapping,
    MtuDrifted,
    NetemDelay,
    NetemLoss,
    NetemRate,
    NetemReorder,
    NodeDead,
    NoteWrong,
    OfportWrong,
    PodFlowsMissing,
    PodFlowsStale,
    RuleDeleted,
    SwitchHung,
    SwitchKilled,
    SwitchRestarted,
    VnidDuplicated,
    VnidStale,
    VnidSwapped,
    VxlanBlocked,
    VxlanCorrupted,
    VxlanPortWrong,
)
from testbed.faults.reading import as_fields
from testbed.host.egress import egress_addresses
from testbed.host.iptables import node_rules
from testbed.importing import gather, merge
from testbed.pipeline import node_flows
from testbed.topology import load
from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from testbed.model import Cluster, HostSubnet, Pod
    from testbed.openflow import Flow
    from testbed.topology import Topology

DEFAULT = ("four-node", "multitenant", "networkpolicy", "ten-node")
MOMENT = datetime(2019, 5, 12, 9, 41, 7, tzinfo=UTC)

NAMES: Mapping[str, frozenset[str]] = {
    kind: frozenset(checks.split())
    for kind, checks in {
        "host-subnet-forgotten": "host-subnet-forgotten",
        "host-subnet-stale": "host-subnet-stale",
        "flows-wiped": "flows-wiped",
        "note-wrong": "rule-version other-plugin",
        "vnid-swapped": "namespace-vnid pod-vnid",
        "vnid-duplicated": "namespace-vnid pod-vnid",
        "vnid-stale": "pod-vnid",
        "pod-flows-missing": "pod-flows-missing",
        "pod-flows-stale": "pod-flows-stale port-gone",
        "ofport-wrong": "pod-port pod-ports-shared",
        "mtu-drifted": "mtu",
        "link-down": "link-down",
        "vxlan-blocked": "vxlan-blocked",
        "vxlan-corrupted": "vxlan-key",
        "vxlan-port-wrong": "vxlan-port",
        "switch-restarted": "flows-wiped",
        "switch-hung": "switch-silent",
        "switch-killed": "switch-silent",
        **dict.fromkeys(
            ("netem-loss", "netem-delay", "netem-reorder", "netem-rate"), "queueing"
        ),
        "node-dead": "switch-silent",
        "duplicate-pod-ip": "pod-address pod-address-twice pod-address-foreign",
        "arp-stale": "stale-arp",
    }.items()
}
"""The checks that stand for a kind of fault."""

TOOLS: Mapping[str, Format] = {
    "vxlan-corrupted": Format.SOS,
    "vxlan-port-wrong": Format.SOS,
}
"""The tool that collects the traces of a fault, where debug.sh does not."""


UNTOLD: Mapping[str, str] = {
    "dnsmasq-dead": "what is exported has no lists of processes",
    "link-flapping": "a collection is of one moment, and it may be up then",
}
"""Kinds of faults that need not be named, and why."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """What became of one fault."""

    fault: str
    told: str
    topology: str
    named: tuple[str, ...]
    false: tuple[str, ...]
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One cluster, and what its diagnosis says while it is well."""

    name: str
    topology: Topology
    healthy: tuple[Finding, ...] = ()
    scores: list[Score] = field(default_factory=list)

    @property
    def cluster(self) -> Cluster:
        return self.topology.cluster


def diagnosed(paths: Sequence[Path]) -> Diagnosis:
    """What a diagnosis says of a collection."""
    evidence = gather(paths, io.BytesIO())
    return diagnose(evidence, merge(evidence))


def computed(
    topology: Topology, flows: Mapping[str, Sequence[Flow]], rules: Mapping[str, str]
) -> Diagnosis:
    """The same of a cluster in which nothing runs."""
    answers = Computed(topology.cluster, flows=flows, rules=rules)
    collection = Collection(topology=topology, answers=answers, moment=MOMENT)
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory, "collected.tar")
        files = export(collection, Format.DEBUG_SH, complete=True)
        save(files, target, MOMENT, force=False)
        return diagnosed([target])


def places(node: HostSubnet, flows: Sequence[Flow]) -> dict[FlowKey, Flow]:
    """Flows by their place."""
    return {FlowKey(node.name, int(f.table), f.selector): f for f in flows}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fault in a cluster: its kind, where, and which flows it changes."""

    kind: str
    node: str
    told: str
    topology: str
    changed: frozenset[FlowKey] = frozenset()

    def failed(self, error: SDNError) -> Score:
        """What to say where there was nothing to be diagnosed."""
        return self._score((), (), str(error))

    def judged(self, found: Diagnosis, healthy: Sequence[Finding]) -> Score:
        """Tell what names the fault from what is false."""
        expected = NAMES.get(self.kind, frozenset())
        known = {(item.check, item.nodes, item.object) for item in healthy}
        named, false = [], []
        for item in found.findings:
            is_there = self.node in item.nodes or not item.nodes
            explains = bool(item.flows & self.changed) or not self.changed
            if (item.check, item.nodes, item.object) in known:
                continue
            if is_there and (item.check in expected if expected else explains):
                named.append(item.check)
            elif not (is_there and explains and self.changed):
                false.append(f"{item.check} {', '.join(item.nodes)}: {item.what}")
        return self._score(tuple(named), tuple(false))

    def _score(
        self, named: tuple[str, ...], false: tuple[str, ...], failure: str = ""
    ) -> Score:
        return Score(
            fault=self.kind,
            told=self.told,
            topology=self.topology,
            named=named,
            false=false,
            failure=failure,
        )


def offline(fault: Fault, bench: Bench) -> Score:
    """Put a fault of programming into a cluster that is computed."""
    fault = fault.resolved(bench.cluster)
    fault.check(bench.cluster)
    node = bench.cluster.node(fault.node)
    flows, rules = programmed(fault, bench.cluster)
    case = case_of(fault, bench.cluster, bench.name)
    if not case.changed and rules == node_rules(bench.cluster, node):
        raise SDNError(f"{fault.told}: leaves no trace")
    found = computed(bench.topology, {node.name: flows}, {node.name: rules})
    return case.judged(found, bench.healthy)


def programmed(fault: Fault, cluster: Cluster) -> tuple[tuple[Flow, ...], str]:
    """The flows and the iptables rules of a node that has a fault."""
    seen = fault.seen(cluster)
    node = seen.node(fault.node)
    return fault.flows(node_flows(seen, node)), fault.rules(node_rules(seen, node))


def case_of(fault: Fault, cluster: Cluster, topology: str) -> Case:
    """A fault whose names are in full, with the flows that it changes."""
    node = cluster.node(fault.node)
    flows, _ = programmed(fault, cluster)
    before, after = places(node, node_flows(cluster, node)), places(node, flows)
    return Case(
        kind=fault.kind,
        node=node.name,
        told=fault.told,
        topology=topology,
        changed=frozenset(
            place
            for place in before.keys() | after.keys()
            if before.get(place) != after.get(place)
        ),
    )


def faults_of(cluster: Cluster) -> Iterator[Fault]:
    """Every kind of fault of programming that a cluster can have."""
    node, peer = cluster.nodes[-1], cluster.nodes[0]
    name, pods = node.name, cluster.pods_on(node)
    pod, other = pods[0], pods[-1]
    ofports = {item.ofport or 0 for item in pods}
    free_ip = next(
        ip
        for ip in list(node.subnet.hosts())[1:]
        if all(item.ip != ip for item in cluster.pods)
    )
    yield HostSubnetForgotten(node=name, peer=peer.name)
    old = next(
        ip
        for ip in cluster.underlay.subnet.hosts()
        if all(host.host_ip != ip for host in cluster.host_subnets)
        and ip != cluster.underlay.gateway
        and int(ip) % 256 > 200
    )
    yield HostSubnetStale(node=name, peer=peer.name, host_ip=old)
    yield FlowsWiped(node=name)
    yield NoteWrong(node=name, version=5)
    yield PodFlowsMissing(pod=pod.key)
    yield PodFlowsStale(node=name, ip=free_ip, ofport=max(ofports) + 7)
    yield OfportWrong(pod=pod.key, ofport=other.ofport or 0)
    yield OfportWrong(pod=pod.key, ofport=max(ofports) + 7)
    flow = next(f for f in node_flows(cluster, node) if f.made_by == f"Pod {pod.key}")
    table = int(flow.table)
    yield FlowChanged(node=name, table=table, selector=flow.selector, actions="drop")
    yield from _of_vnids(cluster, pod)
    yield from _flows_deleted(cluster, node)
    yield from _of_rules(cluster, node)


def _of_vnids(cluster: Cluster, pod: Pod) -> Iterator[Fault]:
    if not cluster.network.plugin.has_vnids:
        return
    own = cluster.vnid(pod.namespace)
    yield VnidStale(pod=pod.key, vnid=own + 5)
    here = {p.namespace: cluster.vnid(p.namespace) for p in cluster.pods}
    others = [item for item, vnid in here.items() if vnid and vnid != own]
    if own and others:
        for kind in (VnidSwapped, VnidDuplicated):
            yield kind(node=pod.node, namespace=pod.namespace, other=others[0])


def _flows_deleted(cluster: Cluster, node: HostSubnet) -> Iterator[Fault]:
    """One flow of each sort: of each table, maker and priority the first."""
    sorts = set[tuple[int, str, int]]()
    for flow in node_flows(cluster, node):
        kind = flow.made_by.partition(" ")[0]
        sort = int(flow.table), kind, flow.priority
        if sort not in sorts:
            sorts.add(sort)
            table = int(flow.table)
            yield FlowDeleted(node=node.name, table=table, selector=flow.selector)


def _of_rules(cluster: Cluster, node: HostSubnet) -> Iterator[Fault]:
    yield IptablesFlushed(node=node.name, table="nat")
    yield IptablesFlushed(node=node.name, table="filter")
    table, chains = "", set[tuple[str, str]]()
    for line in node_rules(cluster, node).splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A "):
            chain = line.split(" ", 2)[1]
            sort = chain[:8] if chain.startswith("KUBE-S") else chain
            if (table, sort) not in chains:
                chains.add((table, sort))
                yield RuleDeleted(node=node.name, table=table, rule=line)
    yield ChainReordered(
        node=node.name, table="filter", chain="OPENSHIFT-FIREWALL-FORWARD"
    )


def live_faults(cluster: Cluster) -> Iterator[Fault]:
    """One fault of each kind that a cluster can have, of programming and of machines.

    Of programming the first of each kind, for their sorts are scored without a switch.
    """
    kinds = set[str]()
    for fault in (*faults_of(cluster), *faults_of_machines(cluster)):
        if fault.kind not in kinds:
            kinds.add(fault.kind)
            yield fault


def faults_of_machines(cluster: Cluster) -> Iterator[Fault]:
    """Every kind of fault that is more than programming."""
    node = cluster.nodes[-1]
    name, pods = node.name, cluster.pods_on(node)
    yield MtuDrifted(node=name, device="tun0", mtu=1500)
    yield LinkDown(node=name, device="tun0")
    yield LinkFlapping(node=name, device="tun0", period=0.5)
    yield VxlanBlocked(node=name, direction=Direction.IN)
    yield VxlanPortWrong(node=name, port=4790)
    yield VxlanCorrupted(node=name, vnid=0xBAD)
    yield IpForwardOff(node=name)
    yield SwitchRestarted(node=name)
    yield SwitchKilled(node=name)
    yield SwitchHung(node=name)
    yield DnsmasqDead(node=name)
    yield NodeDead(node=name)
    if pods[0].ip != pods[-1].ip:
        yield DuplicatePodIP(pod=pods[0].key, ip=pods[-1].ip)
    yield ArpStale(node=name, ip=pods[0].ip, mac="0a:58:0a:00:00:09")
    yield NetemLoss(node=name, percent=30)
    yield NetemDelay(node=name, milliseconds=50)
    yield NetemReorder(node=name, percent=30, milliseconds=50)
    yield NetemRate(node=name, kbit=512)
    held = [ip for host in cluster.nodes for ip in egress_addresses(cluster, host)]
    strange = [ip for ip in held if ip not in egress_addresses(cluster, node)]
    if strange:
        yield EgressIpStale(node=name, ip=strange[0])


class Running:
    """A testbed that faults are put into, one after the other."""

    def __init__(self, bench: Bench, directory: Path) -> None:
        self._bench = bench
        self._directory = directory
        self._name = "diagnosis-score"

    def __enter__(self) -> Self:
        path = shipped(f"{self._bench.name}.yaml")
        self("up", "--topology", str(path), "--name", self._name)
        return self

    def __exit__(self, *_: object) -> None:
        self("down", self._name)

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "testbed", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SDNError(done.stderr.strip() or f"exit status {done.returncode}")
        return done.stdout

    def diagnosed(self, tool: Format = Format.DEBUG_SH) -> Diagnosis:
        target = self._directory / "collected.tar"
        options = ("--name", self._name, "--complete", "--force", "-o", str(target))
        self("export", "--format", tool, *options)
        return diagnosed([target])

    def score(self, fault: Fault, healthy: tuple[Finding, ...]) -> Score:
        cluster = self._bench.cluster
        fault = fault.resolved(cluster)
        case = case_of(fault, cluster, f"{self._bench.name} (live)")
        given = [
            f"{name}={value}"
            for name, value in as_fields(fault).items()
            if value not in (None, "")
        ]
        try:
            self("fault", "inject", fault.kind, *given, "--name", self._name)
        except SDNError as error:
            return case.failed(error)
        try:
            tool = TOOLS.get(fault.kind, Format.DEBUG_SH)
            return case.judged(self.diagnosed(tool), healthy)
        except SDNError as error:
            return case.failed(error)
        finally:
            self("fault", "clear", "--all", "--name", self._name)


def table(scores: Sequence[Score]) -> str:
    """A line for each kind of fault, and one for each miss."""
    by_kind: dict[str, list[Score]] = defaultdict(list)
    for score in scores:
        by_kind[score.fault].append(score)
    lines = [f"{'fault':26}{'cases':>6}{'named':>6}{'false':>6}  as"]
    for kind, items in by_kind.items():
        named = sum(1 for item in items if item.named)
        false = sum(len(item.false) for item in items)
        checks = ", ".join(sorted({c for item in items for c in item.named}))
        lines.append(f"{kind:26}{len(items):6}{named:6}{false:6}  {checks}")
    named = sum(1 for item in scores if item.named)
    false = sum(len(item.false) for item in scores)
    lines += [f"{'all':26}{len(scores):6}{named:6}{false:6}", ""]
    for item in scores:
        if item.failure:
            lines.append(f"could not: {item.topology}: {item.told}: {item.failure}")
        elif not item.named and item.fault in UNTOLD:
            why = UNTOLD[item.fault]
            lines.append(f"untold:    {item.topology}: {item.told}: {why}")
        elif not item.named:
            lines.append(f"not named: {item.topology}: {item.told}")
        lines += [f"false: {item.topology}: {item.told}: {text}" for text in item.false]
    return "".join(f"{line}\n" for line in lines)


def main() -> int:
    """Score every fault and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topologies", nargs="*", default=DEFAULT)
    parser.add_argument("-k", dest="kind", default="")
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    began = time.perf_counter()
    scores: list[Score] = []
    for name in options.topologies:
        topology = load(shipped(f"{name}.yaml"))
        if options.live:
            scores += _live(Bench(name=name, topology=topology), options.kind)
            continue
        healthy = computed(topology, {}, {}).findings
        bench = Bench(name=name, topology=topology, healthy=healthy)
        sys.stderr.write(f"{name}: healthy: {len(healthy)} findings\n")
        for item in healthy:
            sys.stderr.write(f"  {item.check} {', '.join(item.nodes)}: {item.what}\n")
        scores += [
            _tried(fault, bench)
            for fault in faults_of(topology.cluster)
            if options.kind in fault.kind
        ]
    if options.json:
        sys.stdout.write(json.dumps([vars(score) for score in scores], indent=1))
    else:
        took = time.perf_counter() - began
        sys.stdout.write(f"{table(scores)}{took:.0f} s\n")
    tried = [score for score in scores if not score.failure]
    missed = [s for s in tried if not s.named and s.fault not in UNTOLD]
    if missed or any(score.false for score in tried):
        return 1
    return 0 if len(tried) == len(scores) else 2


def _tried(fault: Fault, bench: Bench) -> Score:
    try:
        return offline(fault, bench)
    except SDNError as error:
        case = Case(
            kind=fault.kind, node=fault.node, told=repr(fault), topology=bench.name
        )
        return case.failed(error)


def _live(bench: Bench, kind: str) -> Iterator[Score]:
    wanted = [item for item in live_faults(bench.cluster) if kind in item.kind]
    with (
        tempfile.TemporaryDirectory() as directory,
        Running(bench, Path(directory)) as running,
    ):
        healthy = running.diagnosed().findings
        sys.stderr.write(f"{bench.name}: healthy: {len(healthy)} findings\n")
        for fault in wanted:
            sys.stderr.write(f"{bench.name}: {fault.kind}\n")
            yield running.score(fault, healthy)


if __name__ == "__main__":
    sys.exit(main())
