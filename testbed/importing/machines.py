"""Which text is of which machine: by what it says, and else by where it stands.

A bridge says what its node's address and subnet are; so do interfaces and routes. That
decides. Where a text says nothing of its machine (iptables do not), the directory, the
heading or the file name does, as long as it means one machine.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from testbed.importing.kinds import Kind, uname_host
from testbed.importing.readers.api import NODE, text_at, value_at
from testbed.importing.remarks import Remark, Sort

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbed.importing.catalogue import Catalogue
    from testbed.importing.evidence import Bridge, Evidence, Text
    from testbed.importing.origin import Origin
    from testbed.importing.readers.host import Interface, Port, Route
    from testbed.importing.readers.rules import Rules

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


@dataclass(slots=True, kw_only=True, eq=False)
class Machine:
    """A node, by its object or by its own texts.

    Attributes:
        name: as its objects have it; empty where none does.
        host_ip: its address on the underlay.
        subnet: where its pods' addresses are from.
        hints: what else it was called, the likeliest first.
        bridges: the dumps of its flows, in the order in which they were read.
        texts: its other texts.
        pod_texts: texts from inside its pods, by the pod's name.
    """

    name: str = ""
    host_ip: IPv4Address | None = None
    subnet: IPv4Network | None = None
    hints: list[str] = field(default_factory=list)
    bridges: list[Bridge] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    pod_texts: list[tuple[str, Text]] = field(default_factory=list)

    @property
    def bridge(self) -> Bridge | None:
        """The dump that counts: the last of the largest, as others are parts of it."""
        largest = max((b.facts.count for b in self.bridges), default=0)
        whole = [b for b in self.bridges if b.facts.count * 2 > largest]
        return whole[-1] if whole else None

    @property
    def interfaces(self) -> Iterator[tuple[Text, Interface]]:
        """Its interfaces, and where each was told."""
        return ((text, item) for text in self.texts for item in text.interfaces)

    @property
    def routes(self) -> Iterator[tuple[Text, Route]]:
        """Its routes, and where each was told."""
        return ((text, item) for text in self.texts for item in text.routes)

    @property
    def rules(self) -> Iterator[tuple[Text, Rules]]:
        """What its iptables say, and where."""
        return ((text, text.rules) for text in self.texts if text.rules)

    @property
    def switch_ports(self) -> Iterator[tuple[Text, Port]]:
        """The ports of its bridge, and where each was told."""
        return ((text, port) for text in self.texts for port in text.ports)

    @property
    def port_numbers(self) -> dict[str, int]:
        """The numbers of its ports by name."""
        found = dict(self.bridge.facts.ports) if self.bridge else {}
        for _, port in self.switch_ports:
            if port.ofport is not None:
                found.setdefault(port.name, port.ofport)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """All machines, those of objects first, and the texts that are of none of them."""

    all: tuple[Machine, ...]
    unknown: tuple[Text | Bridge, ...]

    def by_ip(self) -> dict[IPv4Address, Machine]:
        """The machines whose address is known."""
        return {m.host_ip: m for m in self.all if m.host_ip is not None}


def machines(
    evidence: Evidence, catalogue: Catalogue, remarks: list[Remark]
) -> Machines:
    """Put every text to its machine."""
    return _Sorter(catalogue, remarks).sort(evidence)


class _Sorter:
    def __init__(self, catalogue: Catalogue, remarks: list[Remark]) -> None:
        self._catalogue = catalogue
        self._remarks = remarks
        self._all: list[Machine] = []
        self._by_ip: dict[IPv4Address, Machine] = {}
        self._by_subnet: dict[IPv4Network, Machine] = {}
        self._by_name: dict[str, Machine] = {}
        self._in_group: dict[str, list[Machine]] = defaultdict(list)
        for machine in self._known():
            self._add(machine)
        self._pods_node = {
            item.name: text_at(item.values, "spec", "nodeName")
            for item in catalogue.of("Pod").values()
        }

    def sort(self, evidence: Evidence) -> Machines:
        unknown: list[Text | Bridge] = []
        for bridge in evidence.bridges:
            host_ip = next(iter(bridge.facts.host_ips), None)
            subnet = next(iter(bridge.facts.subnets), None)
            machine = self._found(bridge.origin, [host_ip] if host_ip else [], subnet)
            if machine is None and (host_ip or subnet or bridge.origin.is_sure):
                machine = self._add(Machine(host_ip=host_ip, subnet=subnet))
            if machine is None:
                unknown.append(bridge)
                continue
            self._complete(machine, host_ip, subnet)
            machine.bridges.append(bridge)
            self._note(machine, bridge.origin, bridge)
        for names in evidence.hostnames:
            line = names.lines[0][1]
            name = (uname_host(line) or line.strip()).lower()
            machine = self._found(names.origin, [], None)
            if machine and _NAME.fullmatch(name):
                machine.hints.insert(0, name)
                self._by_name.setdefault(name, machine)
        telling = (Kind.ADDRESSES, Kind.ROUTES)
        for text in sorted(evidence.texts, key=lambda text: text.kind not in telling):
            self._place(text, unknown)
        return Machines(all=tuple(self._all), unknown=tuple(unknown))

    def _place(self, text: Text, unknown: list[Text | Bridge]) -> None:
        if text.origin.within:
            machine = self._found(text.origin, [], None)
            if machine:
                machine.pod_texts.append((text.origin.within, text))
                return
        ips, subnet = _addresses_in(text)
        machine = self._found(text.origin, ips, subnet)
        if machine is None and text.origin.is_sure and self._catalogue_is_silent():
            machine = self._add(Machine())
        if machine is None:
            unknown.append(text)
            return
        self._complete(machine, None, subnet)
        machine.texts.append(text)
        self._note(machine, text.origin, None)

    def _catalogue_is_silent(self) -> bool:
        return not self._catalogue.of("HostSubnet")

    def _known(self) -> Iterator[Machine]:
        """The machines that objects name: HostSubnets, and else Nodes."""
        for item in self._catalogue.of("HostSubnet").values():
            yield Machine(
                name=item.key,
                host_ip=_address(item.at("hostIP")),
                subnet=_network(item.at("subnet")),
            )
        for item in self._catalogue.of(NODE).values():
            if item.key not in self._catalogue.of("HostSubnet"):
                addresses = item.at("addresses")
                internal = (
                    text_at(address, "address")
                    for address in (addresses if isinstance(addresses, list) else ())
                    if value_at(address, "type") == "InternalIP"
                )
                yield Machine(name=item.key, host_ip=_address(next(internal, None)))

    def _add(self, machine: Machine) -> Machine:
        self._all.append(machine)
        self._complete(machine, machine.host_ip, machine.subnet)
        if machine.name:
            self._by_name.setdefault(machine.name, machine)
            self._by_name.setdefault(machine.name.partition(".")[0], machine)
        return machine

    def _complete(
        self, machine: Machine, host_ip: IPv4Address | None, subnet: IPv4Network | None
    ) -> None:
        """Note what is new of a machine."""
        machine.host_ip = machine.host_ip or host_ip
        machine.subnet = machine.subnet or subnet
        if machine.host_ip:
            self._by_ip.setdefault(machine.host_ip, machine)
        if machine.subnet:
            self._by_subnet.setdefault(machine.subnet, machine)

    def _found(
        self, origin: Origin, ips: Sequence[IPv4Address], subnet: IPv4Network | None
    ) -> Machine | None:
        """The machine that a text is of, or none that is known."""
        for ip in ips:
            if ip in self._by_ip:
                return self._by_ip[ip]
        if subnet in self._by_subnet:
            return self._by_subnet[subnet]
        hints = list(origin.names)
        if origin.printed_by:
            hints.insert(0, self._pods_node.get(origin.printed_by, ""))
        for hint in hints:
            machine = self._by_name.get(hint) or self._by_name.get(
                hint.partition(".")[0]
            )
            if machine and _may_be(machine, ips, subnet):
                return machine
        group = self._in_group.get(origin.group, [])
        if len(group) == 1 and _may_be(group[0], ips, subnet):
            return group[0]
        return None

    def _note(self, machine: Machine, origin: Origin, bridge: Bridge | None) -> None:
        """Remember where a machine's texts stand, and what it was called there."""
        if machine not in self._in_group[origin.group]:
            self._in_group[origin.group].append(machine)
        for name in origin.names:
            if name not in machine.hints:
                machine.hints.append(name)
        name = origin.names[0] if origin.names else ""
        other = self._by_name.setdefault(name, machine) if name else machine
        if bridge and other is not machine and other.name == name:
            self._remarks.append(
                Remark(
                    sort=Sort.CONTRADICTORY,
                    subject=f"flows in {bridge.file}",
                    text=f"stand as {name}'s, and say that they are of "
                    f"{machine.name or machine.host_ip or machine.subnet}; that counts",
                    places=(bridge.place,),
                )
            )


def _may_be(
    machine: Machine, ips: Sequence[IPv4Address], subnet: IPv4Network | None
) -> bool:
    """Whether nothing that a text says speaks against its being a machine's."""
    if subnet and machine.subnet and subnet != machine.subnet:
        return False
    return not (ips and machine.host_ip and machine.host_ip not in ips)


def _addresses_in(text: Text) -> tuple[list[IPv4Address], IPv4Network | None]:
    """The addresses that a text says its machine has, and its pods' subnet."""
    ips: list[IPv4Address] = []
    subnet = None
    if text.kind is Kind.ADDRESSES:
        for interface in text.interfaces:
            if interface.name == "tun0" and interface.addresses:
                subnet = interface.addresses[0].network
            elif not interface.is_one_of_a_pair:
                ips += [address.ip for address in interface.addresses]
    elif text.kind is Kind.ROUTES:
        ips += [route.src for route in text.routes if route.src]
    return [ip for ip in ips if not ip.is_loopback], subnet


def _address(value: object) -> IPv4Address | None:
    try:
        return IPv4Address(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _network(value: object) -> IPv4Network | None:
    try:
        return IPv4Network(value) if isinstance(value, str) else None
    except ValueError:
        return None
