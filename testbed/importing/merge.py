"""Everything that was found becomes one cluster. Pure: evidence in, an import out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.garbage import without_collecting
from testbed.importing.case import Case, Made
from testbed.importing.catalogue import catalogue
from testbed.importing.evidence import Bridge
from testbed.importing.infer.egress import egress
from testbed.importing.infer.hosts import host_subnets
from testbed.importing.infer.namespaces import net_namespaces
from testbed.importing.infer.network import cluster_network
from testbed.importing.infer.pods import pods
from testbed.importing.infer.policies import network_policies
from testbed.importing.infer.services import services
from testbed.importing.infer.underlay import underlay
from testbed.importing.machines import machines
from testbed.importing.readers.flows import PORTS, flows_in
from testbed.importing.remarks import Place, Remark, Sort
from testbed.importing.settle import settle
from testbed.openflow import Deviation, Flow, Table, flow_differences
from testbed.pipeline import cluster_flows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbed.importing.evidence import Evidence, Text
    from testbed.importing.machines import Machine
    from testbed.model import Cluster, HostSubnet
    from testbed.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedNode:
    """What was collected of one node.

    Attributes:
        name: its HostSubnet's; empty for what is of no node of the topology.
        bridge: the dump of its flows that counts, if there is one.
        texts: its other texts, and those of its pods under the pod's name.
        ports: the numbers of br0's ports by name, as far as they are known.
        deviations: how many flows are not as 3.11 would have programmed them.
    """

    name: str
    bridge: Bridge | None
    texts: tuple[tuple[str, Text], ...]
    ports: Mapping[str, int]
    deviations: Mapping[str, int]

    @property
    def flows(self) -> tuple[Flow, ...]:
        """The node's flows as values, ports by number where they are known."""
        return tuple(flows_in(self.bridge.text, self.ports)) if self.bridge else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A collection as a cluster: its topology, its nodes' texts, and what to say."""

    topology: Topology
    objects: tuple[Made, ...]
    nodes: tuple[ImportedNode, ...]
    unassigned: tuple[Text | Bridge, ...]
    remarks: tuple[Remark, ...]


def merge(evidence: Evidence) -> Imported:
    """Make one cluster of everything.

    Raises:
        ImportRefusedError: no cluster comes of it.
    """
    with without_collecting():
        return _merge(evidence)


def _merge(evidence: Evidence) -> Imported:
    remarks = list(evidence.remarks)
    found = catalogue(evidence.objects, evidence.listed, remarks)
    case = Case(
        evidence=evidence,
        catalogue=found,
        machines=machines(evidence, found, remarks),
        remarks=remarks,
    )
    cluster_network(case)
    host_subnets(case)
    net_namespaces(case)
    pods(case)
    services(case)
    names = egress(case)
    quirks = network_policies(case)
    underlay(case, quirks, names)
    topology, objects = settle(case)
    nodes = tuple(_nodes(case, topology))
    _tell_what_was_found(case, objects)
    _tell_of_leftovers(case, topology.cluster)
    for node in nodes:
        _tell_how_it_agrees(case, node)
    return Imported(
        topology=topology,
        objects=objects,
        nodes=nodes,
        unassigned=case.machines.unknown,
        remarks=tuple(dict.fromkeys(remarks)),
    )


def _nodes(case: Case, topology: Topology) -> list[ImportedNode]:
    cluster = topology.cluster
    computed = cluster_flows(cluster)
    hosts = {host.name: host for host in cluster.nodes}
    by_name = {machine.name: machine for machine in case.machines.all if machine.name}
    nodes = [
        _node(by_name.get(name), host, computed.of(host))
        for name, host in hosts.items()
    ]
    nodes += [
        _node(machine, None, ())
        for machine in case.machines.all
        if machine.name not in hosts and (machine.bridges or machine.texts)
    ]
    return nodes


def _node(
    machine: Machine | None, host: HostSubnet | None, computed: tuple[Flow, ...]
) -> ImportedNode:
    name = host.name if host else ""
    if machine is None:
        return ImportedNode(
            name=name, bridge=None, texts=(), ports=PORTS, deviations={}
        )
    ports = {**PORTS, **machine.port_numbers}
    node = ImportedNode(
        name=name or machine.name or "".join(machine.hints[:1]),
        bridge=machine.bridge,
        texts=(
            *(("", text) for text in machine.texts),
            *((pod, text) for pod, text in machine.pod_texts),
        ),
        ports=ports,
        deviations={},
    )
    if host is None or node.bridge is None:
        return node
    counted: Counter[Deviation] = Counter()
    # Reading all flows again takes long, and most nodes' are as they should be.
    if sorted(map(hash, computed)) != sorted(node.bridge.facts.hashes):
        differences = flow_differences(computed, node.flows)
        counted.update(difference.deviation for difference in differences)
    return ImportedNode(
        name=node.name,
        bridge=node.bridge,
        texts=node.texts,
        ports=ports,
        deviations={str(kind): counted[kind] for kind in Deviation},
    )


def _tell_what_was_found(case: Case, objects: tuple[Made, ...]) -> None:
    kinds: dict[str, list[Place]] = {}
    for made in objects:
        if made.sort is Sort.FOUND:
            kinds.setdefault(made.kind, []).extend(made.places[:1])
    for kind, places in kinds.items():
        files = tuple(dict.fromkeys(place.file for place in places))
        firsts = [next(p for p in places if p.file == file) for file in files]
        what = "object" if len(places) == 1 else "objects"
        case.tell(Sort.FOUND, kind, f"{len(places)} {what}", *firsts)
    for machine in case.machines.all:
        name = machine.name or "".join(machine.hints[:1]) or "a node left out"
        for bridge in machine.bridges:
            if bridge is machine.bridge:
                text = f"{bridge.facts.count} flows"
                case.tell(Sort.FOUND, f"flows of {name}", text, bridge.place)
                _tell_if_trimmed(case, name, bridge)
            elif machine.bridge:
                _tell_of_another(case, name, machine.bridge, bridge)
        for found in machine.texts:
            lines = found.text.count("\n")
            subject = f"{found.kind} of {name}"
            case.tell(Sort.FOUND, subject, f"{lines} lines", found.place)


def _tell_if_trimmed(case: Case, name: str, bridge: Bridge) -> None:
    """Tell of tables that no bridge of 3.11 is without."""
    wanted = set(Table)
    if not case.plugin.tracks_connections:
        wanted.discard(Table.FROM_POD_VIA_SERVICE)
    missing = sorted(wanted - bridge.facts.tables)
    if missing:
        shown = ", ".join(str(table.value) for table in missing)
        text = f"have nothing in tables {shown}: the dump was trimmed, or is of no node"
        case.tell(Sort.MISSING, f"flows of {name}", text, bridge.place)


def _tell_of_another(case: Case, name: str, taken: Bridge, other: Bridge) -> None:
    """Tell of a second dump of one node, and whether it says the same."""
    flows = [set(flows_in(bridge.text, PORTS)) for bridge in (taken, other)]
    only = [len(flows[0] - flows[1]), len(flows[1] - flows[0])]
    sort, text = Sort.FOUND, "are there twice, and alike"
    if any(only):
        sort = Sort.CONTRADICTORY
        why = "as it was read last" if only[1] else "as it has more"
        text = (
            f"are there twice: {only[0]} are in the first named only, {only[1]} in the "
            f"other; the first named was taken, {why}"
        )
    case.tell(sort, f"flows of {name}", text, taken.place, other.place)


def _tell_of_leftovers(case: Case, cluster: Cluster) -> None:
    evidence = case.evidence
    if evidence.unknown_kinds:
        counted = ", ".join(
            f"{count} {kind}" for kind, count in sorted(evidence.unknown_kinds.items())
        )
        text = f"nothing is made of them: {counted}"
        case.tell(Sort.PASSED_OVER, "objects of other kinds", text)
    if case.catalogue.ended:
        text = "are not Running, and have no network"
        case.tell(Sort.PASSED_OVER, f"{case.catalogue.ended} Pods", text)
    for item in case.machines.unknown:
        what = "flows" if isinstance(item, Bridge) else str(item.kind)
        case.tell(Sort.MISSING, what, "nothing says which node's they are", item.place)
    ghosts = {ghost.name for ghost in cluster.ghosts}
    without = [m.name for m in case.hosts if not m.bridge and m.name not in ghosts]
    if without and case.bridges:
        shown = ", ".join(without[:5])
        more = f" and {len(without) - 5} more" if len(without) > 5 else ""
        case.tell(Sort.MISSING, "flows", f"of {shown}{more} were not collected")
    elif not case.bridges:
        text = "of no node were collected; the cluster is as its objects say"
        case.tell(Sort.MISSING, "flows", text)
    for kind in ("Pod", "Service", "NetNamespace"):
        if not case.catalogue.of(kind):
            text = "of this kind were not collected"
            case.tell(Sort.MISSING, f"{kind} objects", text)
    for machine in case.machines.all:
        if machine.bridge and machine.bridge.facts.strange:
            strange = machine.bridge.facts.strange
            text = f"{len(strange)} are none that 3.11 programs; they say nothing here"
            places = map(machine.bridge.at, strange)
            subject = f"flows of {machine.name}"
            case.tell(Sort.CONTRADICTORY, subject, text, *places)


def _tell_how_it_agrees(case: Case, node: ImportedNode) -> None:
    if node.bridge is None or not node.deviations:
        return
    subject = f"flows of {node.name}"
    if not any(node.deviations.values()):
        text = "are what the topology makes of this node, flow by flow"
        case.tell(Sort.FOUND, subject, text, node.bridge.place)
        return
    counted = ", ".join(f"{n} {kind}" for kind, n in node.deviations.items() if n)
    text = f"are not all what the topology makes of this node: {counted}"
    case.tell(Sort.CONTRADICTORY, subject, text, node.bridge.place)
