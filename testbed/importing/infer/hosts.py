"""HostSubnets: the nodes, by their own texts and by what the others know of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import TYPE_CHECKING

from testbed.importing.case import annotate
from testbed.importing.catalogue import uid_of
from testbed.importing.machines import Machine
from testbed.importing.remarks import Place, Sort

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.importing.case import Case
    from testbed.importing.readers.api import ApiObject, Values

_GHOST = "pod.network.openshift.io/fixed-vnid-host"
_COOKIE = "testbed/cookie"
_MAC = "testbed/tun0-mac"


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What all other nodes say of one address."""

    subnets: dict[IPv4Network, list[Place]] = field(default_factory=dict)
    cookies: dict[int, list[Place]] = field(default_factory=dict)
    fixed_vnids: dict[int, list[Place]] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)


def host_subnets(case: Case) -> None:
    """Take every HostSubnet, and infer those of machines that have none."""
    seen = _as_peers(case)
    for item in case.catalogue.of("HostSubnet").values():
        _take(case, item, seen)
    known = {
        machine.host_ip: machine
        for machine in case.machines.all
        if machine.name and machine.host_ip
    }
    is_complete = case.catalogue.is_complete("HostSubnet")
    for machine in _unnamed(case, seen):
        if machine.host_ip in known and known[machine.host_ip] is not machine:
            continue
        told = seen.get(machine.host_ip, _Seen()) if machine.host_ip else _Seen()
        if is_complete and not machine.name:
            _deny(case, machine, told)
        else:
            _infer(case, machine, told)


def tun0_mac(machine: Machine) -> tuple[str, Place] | None:
    """The MAC of a node's tun0, where anything says it."""
    if machine.bridge:
        for way in machine.bridge.facts.ways.values():
            if way.mac:
                return way.mac, machine.bridge.at(way.line)
    for text, interface in machine.interfaces:
        if interface.name == "tun0" and interface.mac:
            return interface.mac, text.at(interface.line)
    for text, port in machine.switch_ports:
        if port.name == "tun0" and port.mac:
            return port.mac, text.at(port.line)
    return None


def _as_peers(case: Case) -> dict[IPv4Address, _Seen]:
    seen: dict[IPv4Address, _Seen] = {}
    for _, bridge in case.bridges:
        for host_ip, peer in bridge.facts.peers.items():
            told = seen.setdefault(host_ip, _Seen())
            told.places.append(bridge.at(peer.line))
            for subnet, line in peer.subnets.items():
                told.subnets.setdefault(subnet, []).append(bridge.at(line))
            for cookie, line in peer.cookies.items():
                told.cookies.setdefault(cookie, []).append(bridge.at(line))
            if peer.fixed_vnid is not None:
                place = bridge.at(peer.line)
                told.fixed_vnids.setdefault(peer.fixed_vnid, []).append(place)
    return seen


def _unnamed(case: Case, seen: dict[IPv4Address, _Seen]) -> Iterator[Machine]:
    """Yield the machines without a HostSubnet, those that have texts first."""
    hosts = case.catalogue.of("HostSubnet")
    own = [machine for machine in case.machines.all if machine.name not in hosts]
    yield from own
    known = {machine.host_ip for machine in case.machines.all}
    by_subnet = {machine.subnet: machine for machine in own if machine.host_ip is None}
    for host_ip in sorted(seen.keys() - known):
        # A node whose own texts do not say its address: the others do.
        subnets = [subnet for subnet in seen[host_ip].subnets if subnet in by_subnet]
        if subnets:
            by_subnet[subnets[0]].host_ip = host_ip
            continue
        yield Machine(host_ip=host_ip)


def _take(case: Case, item: ApiObject, seen: dict[IPv4Address, _Seen]) -> None:
    values = case.take(item)
    values.setdefault("host", item.key)
    machine = next(m for m in case.machines.all if m.name == item.key)
    case.hosts.append(machine)
    told = seen.get(machine.host_ip, _Seen()) if machine.host_ip else _Seen()
    _compare(case, item, machine, told)
    _annotate(case, values, machine, told)


def _compare(case: Case, item: ApiObject, machine: Machine, told: _Seen) -> None:
    """Tell where flows, a node's own or others', say otherwise than its object."""
    for subnet, places in told.subnets.items():
        if machine.subnet and subnet != machine.subnet:
            text = (
                f"subnet is {machine.subnet}, and flows of {len(places)} other nodes "
                f"send {subnet} to {machine.host_ip}; the object's was taken"
            )
            case.tell(Sort.CONTRADICTORY, str(item), text, item.place, places[0])
    uid = uid_of(item.values)
    cookie = int.from_bytes(sha256(uid.encode()).digest()[:4], "big")
    is_given = item.at("metadata", "annotations", _COOKIE) is not None
    if uid and not is_given and told.cookies and cookie not in told.cookies:
        other, places = next(iter(told.cookies.items()))
        text = (
            f"its uid makes the cookie {cookie:#x}, and its flows on other nodes have "
            f"{other:#x}: they were made for an earlier HostSubnet"
        )
        case.tell(Sort.CONTRADICTORY, str(item), text, item.place, places[0])
    bridge = machine.bridge
    if bridge is None:
        return
    for what, said, facts in (
        ("hostIP", machine.host_ip, bridge.facts.host_ips),
        ("subnet", machine.subnet, bridge.facts.subnets),
    ):
        for value, line in facts.items():
            if said and value != said:
                text = (
                    f"{what} is {said}, and its own flows say {value}; the object's "
                    "was taken"
                )
                case.tell(
                    Sort.CONTRADICTORY, str(item), text, item.place, bridge.at(line)
                )


def _annotate(case: Case, values: Values, machine: Machine, told: _Seen) -> None:
    metadata = values["metadata"]
    cookies = {cookie: places for cookie, places in told.cookies.items() if cookie}
    if cookies and not uid_of(values):
        subject = f"HostSubnet {machine.name or machine.host_ip}"
        cookie = case.agreed(subject, "cookie", cookies)
        annotate(metadata, _COOKIE, f"{cookie:#x}")
    mac = tun0_mac(machine)
    subnet = machine.subnet or next(iter(told.subnets), None)
    if mac and subnet and mac[0] != _derived_mac(subnet):
        annotate(metadata, _MAC, mac[0])


def _derived_mac(subnet: IPv4Network) -> str:
    """The MAC that the testbed gives a tun0 of which nothing is known."""
    return ":".join(f"{byte:02x}" for byte in (0x0E, 0x58, *subnet[1].packed))


def _deny(case: Case, machine: Machine, told: _Seen) -> None:
    """Tell of a machine that flows know and no HostSubnet is about."""
    bridge = machine.bridge
    places = [bridge.place] if bridge else told.places
    what = "its flows are there" if bridge else "flows know it as a node"
    subject = f"node {machine.host_ip or machine.subnet or ''.join(machine.hints[:1])}"
    text = f"{what}, and no HostSubnet has it; it is left out"
    case.tell(Sort.CONTRADICTORY, subject, text, *places)


def _infer(case: Case, machine: Machine, told: _Seen) -> None:
    if not (machine.host_ip or machine.subnet):
        if machine.bridges or machine.texts:
            name = machine.name or "".join(machine.hints[:1])
            text = "nothing says its address or its pods' subnet; it is left out"
            case.tell(Sort.MISSING, f"node {name}", text, *_first_place(machine))
        return
    name = machine.name = machine.name or _invented(case, machine)
    subject = f"HostSubnet {name}"
    places = [*_first_place(machine), *told.places[:1]]
    if machine.subnet is None:
        machine.subnet = case.agreed(subject, "subnet", told.subnets)
    else:
        _compare_views(case, subject, machine.subnet, told)
    if machine.host_ip is None:
        machine.host_ip = _address_for(case, machine)
        text = f"hostIP is invented ({machine.host_ip}): nothing says it"
        case.tell(Sort.MISSING, subject, text, *places)
    fields: Values = {"host": name, "hostIP": str(machine.host_ip)}
    if machine.subnet:
        fields["subnet"] = str(machine.subnet)
    else:
        text = "nothing says its pods' subnet; the next free one is given to it"
        case.tell(Sort.MISSING, subject, text, *places)
    values = case.infer("HostSubnet", name, fields, *places)
    case.hosts.append(machine)
    if told.fixed_vnids and machine.bridge is None:
        vnid = case.agreed(subject, "fixed VNID", told.fixed_vnids)
        annotate(values["metadata"], _GHOST, str(vnid))
    _annotate(case, values, machine, told)
    how = "the flows of others" if told.places else "where its name stands"
    how = "its own flows" if machine.bridge else how
    text = f"{machine.host_ip}, {machine.subnet or 'no subnet known'}, from {how}"
    case.tell(Sort.INFERRED, subject, text, *places)


def _compare_views(case: Case, subject: str, subnet: IPv4Network, told: _Seen) -> None:
    for other, places in told.subnets.items():
        if other != subnet:
            text = (
                f"its own flows say {subnet}, and those of {len(places)} others send "
                f"{other} to it; its own count"
            )
            case.tell(Sort.CONTRADICTORY, subject, text, places[0])


def _first_place(machine: Machine) -> list[Place]:
    if machine.bridge:
        line = next(iter(machine.bridge.facts.host_ips.values()), machine.bridge.line)
        return [machine.bridge.at(line)]
    return [text.place for text in machine.texts[:1]]


def _invented(case: Case, machine: Machine) -> str:
    """A name for a node: what it was called, if that is its alone, else its address."""
    taken = {other.name for other in case.machines.all}
    calls = Counter(
        hint for other in case.machines.all for hint in dict.fromkeys(other.hints)
    )
    for hint in machine.hints:
        if calls[hint] == 1 and hint not in taken:
            text = f"is called {hint}, as the file or heading it stands under is"
            case.tell(Sort.INFERRED, f"node {hint}", text, *_first_place(machine))
            return hint
    known = machine.host_ip or (
        machine.subnet.network_address if machine.subnet else ""
    )
    return f"node-{str(known).replace('.', '-')}"


def _address_for(case: Case, machine: Machine) -> IPv4Address:
    """An address among the other nodes' that nobody has, always the same."""
    taken = {other.host_ip for other in case.machines.all if other.host_ip}
    taken |= {ip for _, bridge in case.bridges for ip in bridge.facts.peers}
    nearby = min(taken, default=IPv4Address("192.168.122.10"))
    for _, interface in machine.interfaces:
        for address in interface.addresses:
            if any(
                address.network == IPv4Interface(f"{ip}/24").network for ip in taken
            ):
                return address.ip
    network = IPv4Network((nearby, 24), strict=False)
    return next(ip for ip in network.hosts() if ip not in taken)
