"""Pods: those of objects get the ports that br0 gave them; the others are inferred.

A bridge knows a pod's address, port and VNID in four or five flows. Where pods' objects
were collected, flows of a pod that is in none of them are of one that is no more.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.importing.case import annotate
from testbed.importing.readers.api import text_at, value_at
from testbed.importing.remarks import Place, Sort
from testbed.openflow import OFPort

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address

    from testbed.importing.case import Case
    from testbed.importing.evidence import Bridge
    from testbed.importing.facts import PodFlows
    from testbed.importing.machines import Machine
    from testbed.importing.readers.api import ApiObject, Values

OFPORT = "testbed/ofport"
_PORTS = range(len(OFPort) + 1, 0xFF00)
_TABLES = ("20 arp", "20 ip", "40", "70")
_TRACKED = "25"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Local:
    """A pod as one bridge knows it."""

    machine: Machine
    bridge: Bridge
    flows: PodFlows
    ofport: int | None

    @property
    def place(self) -> Place:
        return self.bridge.at(self.flows.line)


def pods(case: Case) -> None:
    """Take every pod, join it to its flows, and infer the pods that only flows know."""
    by_ip: dict[IPv4Address, list[_Local]] = defaultdict(list)
    for machine, bridge in case.bridges:
        numbers = machine.port_numbers
        for ip, flows in bridge.facts.pods.items():
            local = _Local(
                machine=machine,
                bridge=bridge,
                flows=flows,
                ofport=_ofport(flows, numbers),
            )
            by_ip[ip].append(local)
            _check_members(case, local)
    joined = _take(case, by_ip)
    names = _names(case)
    rest = [
        local for ip in sorted(by_ip) for local in by_ip[ip] if id(local) not in joined
    ]
    taken = set[str]()
    for local in rest:
        if _is_wanted(case, local, taken):
            _infer(case, local, names)
            taken.add(str(local.flows.ip))
    _one_pod_a_port(case, [local for locals_ in by_ip.values() for local in locals_])


def _ofport(flows: PodFlows, numbers: dict[str, int]) -> int | None:
    """The port that a pod's flows deliver to, or else let it send from."""
    for port in (*flows.delivered, *flows.ports):
        number = _number(port, numbers)
        if number in _PORTS:
            return number
    return None


def _number(port: str, numbers: Mapping[str, int]) -> int | None:
    """A port's number; ``None`` for a name that is not known, and for nonsense."""
    if port.isdecimal():
        return int(port) if len(port) < 6 else None
    return numbers.get(port)


def _check_members(case: Case, local: _Local) -> None:
    """Tell of flows that a pod should have, and of those that disagree."""
    facts, flows = local.bridge.facts, local.flows
    subject = f"flows of pod {flows.ip} on {local.machine.name}"
    wanted = (*_TABLES, _TRACKED) if case.plugin.tracks_connections else _TABLES
    missing = [
        table
        for table in wanted
        if table not in flows.tables and int(table.split()[0]) in facts.tables
    ]
    if missing:
        text = f"there is none in table {' and '.join(missing)}"
        case.tell(Sort.MISSING, subject, text, local.place)
    for what, values in (("VNID", flows.vnids), ("port", _ports_of(flows, local))):
        if len(values) > 1:
            first, *others = values
            also = " and ".join(map(str, others))
            text = f"say {what} {first}, and {also}; the first was taken"
            places = map(local.bridge.at, values.values())
            case.tell(Sort.CONTRADICTORY, subject, text, *places)


def _ports_of(flows: PodFlows, local: _Local) -> dict[int | str, int]:
    numbers = local.machine.port_numbers if _has_names(flows) else {}
    found: dict[int | str, int] = {}
    for port, line in (*flows.delivered.items(), *flows.ports.items()):
        found.setdefault(_number(port, numbers) or port, line)
    return found


def _has_names(flows: PodFlows) -> bool:
    return not all(port.isdecimal() for port in (*flows.delivered, *flows.ports))


def _take(case: Case, by_ip: dict[IPv4Address, list[_Local]]) -> set[int]:
    """Take the pods of objects; the ids of the flows that are theirs."""
    joined = set[int]()
    host_ips = {str(machine.host_ip): machine.name for machine in case.hosts}
    by_text = {str(ip): found for ip, found in by_ip.items()}
    sharing: dict[str, list[ApiObject]] = defaultdict(list)
    for item in case.catalogue.of("Pod").values():
        sharing[text_at(item.values, "status", "podIP")].append(item)
    for item in case.catalogue.of("Pod").values():
        ip = text_at(item.values, "status", "podIP")
        node = text_at(item.values, "spec", "nodeName")
        if case.catalogue.is_from_a_table(item) and host_ips.get(ip) == node:
            item.values["spec"] = {"nodeName": node, "hostNetwork": True}
        is_own = not value_at(item.values, "spec", "hostNetwork")
        found = by_text.get(ip, [])
        is_shared = is_own and ip and len(sharing[ip]) > 1
        if is_shared and _loses(case, item, sharing[ip], found):
            continue
        values = case.take(item)
        if not is_own:
            continue
        local = next((it for it in found if it.machine.name == node), None)
        if local:
            joined.add(id(local))
            if local.ofport:
                annotate(values["metadata"], OFPORT, str(local.ofport))
        else:
            _tell_missing(case, item, node, found)
    return joined


def _loses(
    case: Case, item: ApiObject, rivals: list[ApiObject], found: list[_Local]
) -> bool:
    """Whether another pod of that address is taken: one whose node has flows of it."""
    at_home = {local.machine.name for local in found}
    with_flows = [
        rival
        for rival in rivals
        if text_at(rival.values, "spec", "nodeName") in at_home
    ]
    winner, why = (
        (with_flows[0], "its node has flows of it")
        if with_flows
        else (rivals[0], "it was read first")
    )
    if item is winner:
        return False
    text = (
        f"status.podIP {text_at(item.values, 'status', 'podIP')} is that of "
        f"{winner.key}, too, which was taken, as {why}; this is left out"
    )
    case.tell(Sort.CONTRADICTORY, str(item), text, winner.place, item.place)
    return True


def _tell_missing(case: Case, item: ApiObject, node: str, found: list[_Local]) -> None:
    machine = next((m for m in case.hosts if m.name == node), None)
    if found:
        text = f"runs on {node}, and {found[0].machine.name} has flows of its address"
        case.tell(Sort.CONTRADICTORY, str(item), text, item.place, found[0].place)
    elif machine and machine.bridge:
        text = f"runs on {node}, whose flows do not have its address"
        case.tell(Sort.CONTRADICTORY, str(item), text, item.place, machine.bridge.place)


def _is_wanted(case: Case, local: _Local, taken: set[str]) -> bool:
    """Whether a pod is to be inferred of flows that no object explains."""
    flows, machine = local.flows, local.machine
    subject = f"flows of pod {flows.ip} on {machine.name}"
    namespace = case.namespace_of(next(iter(flows.vnids), None))
    has_all = (
        case.catalogue.is_complete_in("Pod", namespace)
        if case.plugin.has_vnids
        else case.catalogue.is_complete("Pod")
    )
    if machine not in case.hosts:
        return False
    if machine.subnet and flows.ip not in machine.subnet:
        text = f"its address is none of {machine.subnet}; left out"
    elif has_all:
        text = "no Pod that was collected has this address: it is no more; left out"
    elif str(flows.ip) in taken:
        text = "another node has flows of this address, too; left out"
    elif flows.ip == (machine.subnet[1] if machine.subnet else None):
        text = "the address is tun0's own; left out"
    else:
        return True
    case.tell(Sort.CONTRADICTORY, subject, text, local.place)
    return False


def _infer(case: Case, local: _Local, names: dict[str, tuple[str, str]]) -> None:
    ip = str(local.flows.ip)
    vnid = next(iter(local.flows.vnids), None)
    namespace, name = names.get(ip, ("", ""))
    is_invented = not name
    namespace = namespace or case.namespace_of(vnid)
    name = name or f"pod-{ip.replace('.', '-')}"
    if ("Pod", f"{namespace}/{name}") in case.made:
        name = f"pod-{ip.replace('.', '-')}"
    metadata: Values = {}
    if local.ofport:
        annotate(metadata, OFPORT, str(local.ofport))
    fields: Values = {
        "metadata": metadata,
        "spec": {"nodeName": local.machine.name},
        "status": {"phase": "Running", "podIP": ip},
    }
    case.infer("Pod", f"{namespace}/{name}", fields, local.place)
    text = (
        f"{ip} on {local.machine.name}, port {local.ofport or 'unknown'}, VNID "
        f"{'unknown' if vnid is None else vnid}"
        f"{'; the name is ours' if is_invented else ''}"
    )
    case.tell(Sort.INFERRED, f"Pod {namespace}/{name}", text, local.place)


def _names(case: Case) -> dict[str, tuple[str, str]]:
    """What pods are called, by address, where something but an object says it."""
    names: dict[str, tuple[str, str]] = {}
    for machine in case.machines.all:
        for _, rules in machine.rules:
            for ip, (namespace, name, _) in rules.pods.items():
                names.setdefault(str(ip), (namespace, name))
        for name, text in machine.pod_texts:
            for interface in text.interfaces:
                for address in interface.addresses:
                    if not address.ip.is_loopback:
                        names.setdefault(str(address.ip), ("", name))
    return names


def _one_pod_a_port(case: Case, all_: list[_Local]) -> None:
    """Where two pods of a node have one port, leave it to the younger flows' pod."""
    by_port: dict[tuple[str, int], list[_Local]] = defaultdict(list)
    for local in all_:
        if local.ofport:
            by_port[local.machine.name, local.ofport].append(local)
    made = {
        (text_at(m.values, "spec", "nodeName"), text_at(m.values, "status", "podIP")): m
        for m in case.made_of("Pod")
    }
    for (node, ofport), sharing in by_port.items():
        rivals = [local for local in sharing if (node, str(local.flows.ip)) in made]
        if len(rivals) < 2:
            continue
        rivals.sort(key=lambda local: local.flows.age or 0.0)
        winner, *others = rivals
        for local in others:
            pod = made[node, str(local.flows.ip)]
            text = (
                f"has port {ofport} of {node}, which {winner.flows.ip} has, too, by "
                "younger flows; "
            )
            if pod.sort is Sort.INFERRED:
                del case.made[pod.kind, pod.key]
                text += "it is left out"
            else:
                metadata = pod.values["metadata"]
                if isinstance(metadata, dict):
                    metadata["annotations"].pop(OFPORT, None)
                text += "it gets another port"
            case.tell(Sort.CONTRADICTORY, str(pod), text, winner.place, local.place)
