"""Services and who answers for them: by table 60, and by kube-proxy's rules.

Table 60 has addresses, ports and the VNID of a service, under the plugins that use it.
kube-proxy's comments have the names, and its rules the endpoints.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from testbed.importing.readers.api import text_at
from testbed.importing.remarks import Place, Sort
from testbed.model import Plugin

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from testbed.importing.case import Case
    from testbed.importing.readers.rules import ProxiedPort


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What all nodes' flows say of one service."""

    vnids: dict[int, list[Place]] = field(default_factory=dict)
    ports: dict[tuple[str, int], Place] = field(default_factory=dict)
    place: Place


def services(case: Case) -> None:
    """Take Services and Endpoints, and infer those that flows or rules know."""
    for kind in ("Service", "Endpoints"):
        for item in case.catalogue.of(kind).values():
            case.take(item)
    proxied = _by_rules(case)
    known = {
        text_at(made.values, "spec", "clusterIP"): made
        for made in case.made_of("Service")
    }
    # Node by node the rules are the same, and any of them may be the last to be right.
    for (namespace, name), ports in proxied.items():
        if str(ports[0][0].ip) not in known and not case.catalogue.is_complete_in(
            "Service", namespace
        ):
            _infer_of_rules(case, namespace, name, ports)
            known[str(ports[0][0].ip)] = case.made["Service", f"{namespace}/{name}"]
        _infer_endpoints(case, namespace, name, ports)
    if case.plugin is Plugin.NETWORKPOLICY:
        return  # its table 60 has no service of its own
    for ip, seen in sorted(_by_flows(case).items()):
        if str(ip) in known:
            _complete(case, str(ip), seen)
        else:
            _infer_of_flows(case, ip, seen)


def _by_flows(case: Case) -> dict[IPv4Address, _Seen]:
    seen: dict[IPv4Address, _Seen] = {}
    for _, bridge in case.bridges:
        for ip, flows in bridge.facts.services.items():
            told = seen.get(ip)
            if told is None:
                told = seen[ip] = _Seen(place=bridge.at(flows.line))
            for vnid, line in flows.vnids.items():
                told.vnids.setdefault(vnid, []).append(bridge.at(line))
            for port, line in flows.ports.items():
                told.ports.setdefault(port, bridge.at(line))
    return seen


def _by_rules(
    case: Case,
) -> dict[tuple[str, str], list[tuple[ProxiedPort, Place]]]:
    found: dict[tuple[str, str], list[tuple[ProxiedPort, Place]]] = defaultdict(list)
    ports = set[tuple[str, str, str, int]]()
    for machine in case.machines.all:
        for text, rules in machine.rules:
            for port in rules.services:
                key = (port.namespace, port.name, port.protocol, port.port)
                if key not in ports:
                    ports.add(key)
                    place = text.at(port.line)
                    found[port.namespace, port.name].append((port, place))
    return found


def _infer_of_rules(
    case: Case, namespace: str, name: str, ports: list[tuple[ProxiedPort, Place]]
) -> None:
    spec: dict[str, object] = {
        "clusterIP": str(ports[0][0].ip),
        "ports": [_port(port, has_others=len(ports) > 1) for port, _ in ports],
    }
    places = [place for _, place in ports]
    case.infer("Service", f"{namespace}/{name}", {"spec": spec}, *places)
    shown = ", ".join(f"{port.protocol} {port.port}" for port, _ in ports)
    text = f"{ports[0][0].ip}, {shown}, from kube-proxy's rules"
    case.tell(Sort.INFERRED, f"Service {namespace}/{name}", text, *places)


def _port(port: ProxiedPort, *, has_others: bool) -> dict[str, object]:
    values: dict[str, object] = {"protocol": port.protocol, "port": port.port}
    name = port.port_name or (
        f"{port.protocol.lower()}-{port.port}" if has_others else ""
    )
    if name:
        values["name"] = name
    if port.endpoints:
        values["targetPort"] = port.endpoints[0][1]
    return values


def _infer_endpoints(
    case: Case, namespace: str, name: str, ports: list[tuple[ProxiedPort, Place]]
) -> None:
    key = f"{namespace}/{name}"
    if ("Endpoints", key) in case.made or ("Service", key) not in case.made:
        return
    if case.made["Service", key].sort is Sort.FOUND and not _is_silent(case, key):
        return  # the endpoints of a service with a selector follow from its pods
    subsets = [
        {
            "addresses": [{"ip": str(ip)} for ip, _ in port.endpoints],
            "ports": [_endpoint_port(port, has_others=len(ports) > 1)],
        }
        for port, _ in ports
        if port.endpoints
    ]
    if subsets:
        fields: dict[str, object] = {"subsets": subsets}
        case.infer("Endpoints", key, fields, ports[0][1])


def _is_silent(case: Case, key: str) -> bool:
    item = case.catalogue.of("Service").get(key)
    return item is not None and case.catalogue.is_from_a_table(item)


def _endpoint_port(port: ProxiedPort, *, has_others: bool) -> dict[str, object]:
    values = _port(port, has_others=has_others)
    values.pop("targetPort", None)
    values["port"] = port.endpoints[0][1]
    return values


def _infer_of_flows(case: Case, ip: IPv4Address, seen: _Seen) -> None:
    subject = f"flows of service {ip}"
    vnid = case.agreed(subject, "VNID", seen.vnids)
    namespace = case.namespace_of(vnid)
    has_all = (
        case.catalogue.is_complete_in("Service", namespace)
        if case.plugin.has_vnids
        else case.catalogue.is_complete("Service")
    )
    if has_all:
        text = "no Service that was collected has this address: it is no more; left out"
        case.tell(Sort.CONTRADICTORY, subject, text, seen.place)
        return
    if not seen.ports:
        text = "there is none for any of its ports; left out"
        case.tell(Sort.MISSING, subject, text, seen.place)
        return
    key = f"{namespace}/svc-{str(ip).replace('.', '-')}"
    spec: dict[str, object] = {"clusterIP": str(ip), "ports": _ports(seen)}
    case.infer("Service", key, {"spec": spec}, seen.place)
    shown = ", ".join(f"{protocol} {port}" for protocol, port in seen.ports)
    text = f"{ip}, {shown}, VNID {vnid}; the name is ours, endpoints are unknown"
    case.tell(Sort.INFERRED, f"Service {key}", text, seen.place)


def _complete(case: Case, ip: str, seen: _Seen) -> None:
    """Add the ports that a list of services, or rules, did not show."""
    made = next(
        m
        for m in case.made_of("Service")
        if text_at(m.values, "spec", "clusterIP") == ip
    )
    item = case.catalogue.of("Service").get(made.key)
    spec = made.values["spec"]
    if (item and not case.catalogue.is_from_a_table(item)) or not isinstance(
        spec, dict
    ):
        return
    ports = [port for port in spec.get("ports", []) if isinstance(port, dict)]
    known = {(port.get("protocol"), port.get("port")) for port in ports}
    others = [
        port for port in _ports(seen) if (port["protocol"], port["port"]) not in known
    ]
    if others:
        for port in (ports := [*ports, *others]):
            port.setdefault("name", f"{str(port['protocol']).lower()}-{port['port']}")
        spec["ports"] = ports
        text = f"{len(others)} more of its ports are in table 60"
        case.tell(Sort.INFERRED, str(made), text, seen.place)


def _ports(seen: _Seen) -> list[dict[str, object]]:
    return [
        {"name": f"{protocol.lower()}-{port}", "port": port, "protocol": protocol}
        for protocol, port in sorted(seen.ports, key=lambda item: (item[1], item[0]))
    ]
