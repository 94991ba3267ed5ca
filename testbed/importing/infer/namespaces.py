"""NetNamespaces: which VNID is which namespace's, and what a VNID has of its own.

Flows know numbers, objects names. A pod, or a service, that both know is what joins
them; iptables join them too, since their comments have the names of services. A VNID
without a name gets one: ``vnid-4711``.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from testbed.importing.case import annotate, invented_namespace
from testbed.importing.readers.api import text_at, value_at
from testbed.importing.remarks import Place, Sort

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.importing.case import Case

MULTICAST = "netnamespace.network.openshift.io/multicast-enabled"


class _Join(NamedTuple):
    """A namespace and a VNID that something has in common."""

    namespace: str
    vnid: int
    what: str
    place: Place


def net_namespaces(case: Case) -> None:
    """Take the NetNamespaces, and infer those that flows know and nobody collected."""
    found = case.catalogue.of("NetNamespace")
    for item in found.values():
        case.take(item)
    for kind in ("Namespace", "Project"):
        for item in case.catalogue.of(kind).values():
            case.take(item)
    if not case.plugin.has_vnids:
        return
    netids = {item.key: item.at("netid") for item in found.values()}
    for item in found.values():
        netid = item.at("netid")
        if isinstance(netid, int):
            case.namespaces.setdefault(netid, item.key)
    _join(case, netids)
    _name_the_others(case)
    _multicast(case)


def _join(case: Case, netids: dict[str, object]) -> None:
    """Give a VNID to the namespaces that objects are in and NetNamespaces lack."""
    joins: dict[str, dict[int, list[_Join]]] = defaultdict(lambda: defaultdict(list))
    for join in _joins(case):
        joins[join.namespace][join.vnid].append(join)
    for namespace, by_vnid in joins.items():
        subject = f"NetNamespace {namespace}"
        netid = netids.get(namespace)
        for vnid, told in by_vnid.items():
            if isinstance(netid, int) and vnid != netid:
                text = (
                    f"netid is {netid}, and flows of {told[0].what} have VNID {vnid}; "
                    "the object's was taken"
                )
                known = case.made["NetNamespace", namespace]
                places = (known.places[0], told[0].place)
                case.tell(Sort.CONTRADICTORY, subject, text, *places)
        if netid is not None:
            continue
        votes = {vnid: [join.place for join in told] for vnid, told in by_vnid.items()}
        agreed = case.agreed(subject, "netid", votes)
        if agreed is None:
            continue
        first = by_vnid[agreed][0]
        _infer(case, namespace, agreed, first.place)
        text = f"netid {agreed}, which flows of {first.what} have"
        case.tell(Sort.INFERRED, subject, text, first.place)
        case.namespaces.setdefault(agreed, namespace)


def _joins(case: Case) -> Iterator[_Join]:
    pods = {
        text_at(item.values, "status", "podIP"): item
        for item in case.catalogue.of("Pod").values()
        if not value_at(item.values, "spec", "hostNetwork")
    }
    services = {
        text_at(item.values, "spec", "clusterIP"): (item.namespace, str(item))
        for item in case.catalogue.of("Service").values()
    }
    for machine in case.machines.all:
        for _, rules in machine.rules:
            for port in rules.services:
                name = f"Service {port.namespace}/{port.name}"
                services.setdefault(str(port.ip), (port.namespace, name))
    for machine, bridge in case.bridges:
        for ip, flows in bridge.facts.pods.items():
            item = pods.get(str(ip))
            node = text_at(item.values, "spec", "nodeName") if item else ""
            if item and flows.vnids and node == machine.name:
                vnid = next(iter(flows.vnids))
                yield _Join(item.namespace, vnid, str(item), bridge.at(flows.line))
        for ip, service in bridge.facts.services.items():
            if service.vnids and str(ip) in services:
                namespace, name = services[str(ip)]
                vnid = next(iter(service.vnids))
                yield _Join(namespace, vnid, name, bridge.at(service.line))


def _name_the_others(case: Case) -> None:
    """Invent a namespace for every VNID that is left."""
    first: dict[int, Place] = {}
    for _, bridge in case.bridges:
        facts = bridge.facts
        told = {**facts.vnids, **facts.multicast}
        for pod in facts.pods.values():
            told |= pod.vnids
        for service in facts.services.values():
            told |= service.vnids
        for vnid, line in told.items():
            first.setdefault(vnid, bridge.at(line))
        allowed = (f for policy in facts.policies.values() for f in policy.allowed)
        for flow in allowed:
            if flow.vnid is not None and flow.vnid not in first:
                first[flow.vnid] = bridge.at(flow.line)
    for vnid, place in sorted(first.items()):
        if vnid in case.namespaces:
            continue
        name = invented_namespace(vnid)
        if ("NetNamespace", name) in case.made:
            continue
        case.namespaces[vnid] = name
        _infer(case, name, vnid, place)
        why = "which 3.11 gives it" if vnid == 0 else "the name is ours"
        case.tell(Sort.INFERRED, f"NetNamespace {name}", f"netid {vnid}, {why}", place)


def _infer(case: Case, name: str, vnid: int, place: Place) -> None:
    case.infer("NetNamespace", name, {"netname": name, "netid": vnid}, place)


def _multicast(case: Case) -> None:
    """Enable multicast for the VNIDs that have it, where objects could not say so."""
    first: dict[int, Place] = {}
    for _, bridge in case.bridges:
        for vnid, line in bridge.facts.multicast.items():
            first.setdefault(vnid, bridge.at(line))
    told = set[int]()
    for made in case.made_of("NetNamespace"):
        netid = made.values.get("netid")
        item = case.catalogue.of("NetNamespace").get(made.key)
        is_silent = item is None or case.catalogue.is_from_a_table(item)
        if isinstance(netid, int) and netid in first and is_silent:
            annotate(made.values["metadata"], MULTICAST, "true")
            if netid not in told:
                text = f"multicast is enabled for VNID {netid}, as table 110 has it"
                case.tell(Sort.INFERRED, str(made), text, first[netid])
                told.add(netid)
