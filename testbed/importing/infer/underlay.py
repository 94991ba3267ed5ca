"""The Underlay, the testbed's own document: what only interfaces and routes say."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from testbed.importing.remarks import Place, Sort
from testbed.model import DOCKER_NETWORK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from testbed.importing.case import Case
    from testbed.importing.machines import Machine

_MTU = 1450
"""The testbed's own choice; the SDN's default as well."""


def underlay(
    case: Case,
    quirks: Mapping[str, bool],
    names: Mapping[str, list[IPv4Address]],
) -> None:
    """Take the Underlay, or infer one where there is something to say."""
    found = case.catalogue.of("Underlay").get("")
    if found is not None:
        _name_hosts(case.take(found), names)
        return
    fields: dict[str, object] = {}
    places: list[Place] = []
    _network(case, fields, places)
    _mtu(case, fields, places)
    mended = {**_mended(case), **{k: v for k, v in quirks.items() if not v}}
    if mended:
        fields["quirks"] = dict(sorted(mended.items()))
        text = f"{', '.join(sorted(mended))}: not as 3.11 was released, as flows show"
        case.tell(Sort.INFERRED, "quirks", text)
    addresses = {name: ips for name, ips in names.items() if ips}
    if addresses:
        _external_hosts(case, fields, addresses)
    if fields:
        case.infer("Underlay", "", fields, *places)
        case.made["Underlay", ""].values.pop("metadata")


def _network(case: Case, fields: dict[str, object], places: list[Place]) -> None:
    """The network that all nodes are in, and the way out of it."""
    votes: Counter[IPv4Network] = Counter()
    where: dict[IPv4Network, Place] = {}
    for machine in case.hosts:
        for network, place in _own_networks(machine):
            votes[network] += 1
            where.setdefault(network, place)
    hosts = {machine.host_ip for machine in case.hosts if machine.host_ip}
    for network, _ in votes.most_common():
        if all(ip in network for ip in hosts):
            fields["subnet"] = str(network)
            places.append(where[network])
            text = f"subnet {network}, which is all nodes'"
            case.tell(Sort.INFERRED, "Underlay", text, where[network])
            _gateway(case, fields, network, hosts)
            return
    if votes:
        text = (
            f"nodes are in {len(votes)} networks, and the testbed has one, around "
            "their addresses"
        )
        case.tell(Sort.MISSING, "Underlay", text, *where.values())


def _own_networks(machine: Machine) -> Iterator[tuple[IPv4Network, Place]]:
    for text, interface in machine.interfaces:
        for address in interface.addresses:
            if address.ip == machine.host_ip and address.network.prefixlen < 31:
                yield address.network, text.at(interface.line)
    for text, route in machine.routes:
        is_own = route.src == machine.host_ip and route.via is None
        if is_own and 0 < route.destination.prefixlen < 31:
            yield route.destination, text.at(route.line)


def _gateway(
    case: Case, fields: dict[str, object], network: IPv4Network, hosts: set[IPv4Address]
) -> None:
    votes: dict[IPv4Address, list[Place]] = {}
    for machine in case.hosts:
        for text, route in machine.routes:
            via = route.via
            is_way_out = via and via in network and not route.destination.prefixlen
            if via and is_way_out and via not in hosts:
                votes.setdefault(via, []).append(text.at(route.line))
    gateway = case.agreed("Underlay", "gateway", votes)
    if gateway is not None:
        fields["gateway"] = str(gateway)
        case.tell(Sort.INFERRED, "Underlay", f"gateway {gateway}", votes[gateway][0])


def _mtu(case: Case, fields: dict[str, object], places: list[Place]) -> None:
    votes: dict[int, list[Place]] = {}
    for machine in case.hosts:
        for text, interface in machine.interfaces:
            if interface.name == "tun0" and interface.mtu:
                votes.setdefault(interface.mtu, []).append(text.at(interface.line))
    mtu = case.agreed("Underlay", "tun0's MTU", votes)
    if mtu is not None:
        case.tell(Sort.INFERRED, "Underlay", f"MTU {mtu}", votes[mtu][0])
        places.append(votes[mtu][0])
        if mtu != _MTU:
            fields["mtu"] = mtu


def _mended(case: Case) -> dict[str, bool]:
    """The quirks that flows show to be mended on most nodes."""
    votes: dict[str, dict[bool, list[Place]]] = {}
    for _, bridge in case.bridges:
        for name, is_there in bridge.facts.quirks.items():
            told = votes.setdefault(name, {})
            told.setdefault(is_there, []).append(bridge.place)
    agreed = {name: case.agreed("quirks", name, told) for name, told in votes.items()}
    return {name: False for name, is_there in agreed.items() if is_there is False}


def _name_hosts(
    values: dict[str, object], names: Mapping[str, list[IPv4Address]]
) -> None:
    """Give the hosts that are there the names that rules made of flows have."""
    hosts = values.get("externalHosts")
    for host in hosts if isinstance(hosts, list) else ():
        told = [name for name, ips in names.items() if host.get("ip") in map(str, ips)]
        if told:
            host["dnsNames"] = [*host.get("dnsNames", []), *told]


def _external_hosts(
    case: Case, fields: dict[str, object], names: Mapping[str, list[IPv4Address]]
) -> None:
    """Hosts for the addresses of DNS names, if one network has room for them all."""
    by_ip: dict[IPv4Address, list[str]] = {}
    for name, ips in names.items():
        for ip in ips:
            by_ip.setdefault(ip, []).append(name)
    low, high = min(by_ip), max(by_ip)
    network = next(
        net
        for length in range(24, -1, -1)
        if high in (net := IPv4Network((low, length), strict=False))
        and low != net.network_address
        and high != net.broadcast_address
        and len(by_ip) < net.num_addresses - 2
    )
    occupied = [*case.ranges, DOCKER_NETWORK]
    occupied += [
        IPv4Network((machine.host_ip, 24), strict=False)
        for machine in case.hosts
        if machine.host_ip
    ]
    if any(map(network.overlaps, occupied)):
        text = (
            f"the addresses of {len(names)} rules by DNS name are too far apart for a "
            "single network outside; nodes do not resolve them"
        )
        case.tell(Sort.MISSING, "Underlay", text)
        return
    fields["externalNetwork"] = str(network)
    fields["externalHosts"] = [
        {"name": f"external-{number}", "ip": str(ip), "dnsNames": sorted(by_ip[ip])}
        for number, ip in enumerate(sorted(by_ip), 1)
    ]
    text = f"{len(by_ip)} hosts outside, for the addresses of rules by DNS name"
    case.tell(Sort.INFERRED, "Underlay", text)
