"""What one bridge's flows say of its cluster: values, each with the line that told it.

Where a value is the key of a mapping to lines, several flows tell it, and may disagree.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network

    from testbed.model import Plugin


@dataclass(slots=True, kw_only=True)
class PodFlows:
    """What a bridge knows of one pod: each value with the line of the first flow.

    ``tables`` are those that have their flow of it. ``age`` is for how many seconds it
    had been there.
    """

    ip: IPv4Address
    line: int
    ports: dict[str, int] = field(default_factory=dict)
    delivered: dict[str, int] = field(default_factory=dict)
    vnids: dict[int, int] = field(default_factory=dict)
    tables: set[str] = field(default_factory=set)
    age: float | None = None


@dataclass(slots=True, kw_only=True)
class PeerFlows:
    """What a bridge knows of another node."""

    host_ip: IPv4Address
    line: int
    cookies: dict[int, int] = field(default_factory=dict)
    subnets: dict[IPv4Network, int] = field(default_factory=dict)
    tables: set[int] = field(default_factory=set)
    fixed_vnid: int | None = None


@dataclass(slots=True, kw_only=True)
class ServiceFlows:
    """What a bridge knows of a service."""

    ip: IPv4Address
    line: int
    vnids: dict[int, int] = field(default_factory=dict)
    ports: dict[tuple[str, int], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressWay:
    """How a VNID leaves: by this node, by another (``node_ip``), or not at all."""

    vnid: int
    line: int
    is_here: bool = False
    node_ip: IPv4Address | None = None
    mac: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRuleFlow:
    """One flow of table 101: everywhere is ``None``."""

    priority: int
    destination: IPv4Network | None
    allow: bool
    line: int
    is_for_all: bool = False
    """Drops what is no IP, too: the SDN could not tell whose rules hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedFlow:
    """One flow of table 80 by which a NetworkPolicy allows something."""

    protocol: str
    vnid: int | None
    source: IPv4Network | None
    pod: IPv4Address | None
    dport: int | None
    line: int


@dataclass(slots=True, kw_only=True)
class PolicyFlows:
    """What table 80 does for the pods of one VNID under ovs-networkpolicy."""

    vnid: int
    allowed: list[AllowedFlow] = field(default_factory=list)
    isolated: dict[IPv4Address, int] = field(default_factory=dict)
    opened: int = 0
    """The line of the flow that opens the others; 0 where there is none."""

    @property
    def line(self) -> int:
        """Where the first of them is."""
        lines = [flow.line for flow in self.allowed]
        return min([*lines, *self.isolated.values(), self.opened or 1 << 60])


@dataclass(slots=True, kw_only=True)
class BridgeFacts:
    """All of it.

    ``noted`` is the plugin that table 253 names, ``structure`` those whose flows are
    there. ``strange`` are the lines of flows that 3.11 does not program.
    """

    noted: dict[Plugin, int] = field(default_factory=dict)
    structure: dict[Plugin, int] = field(default_factory=dict)
    rule_versions: dict[int, int] = field(default_factory=dict)
    cidrs: dict[IPv4Network, int] = field(default_factory=dict)
    service_networks: dict[IPv4Network, int] = field(default_factory=dict)
    vxlan_ports: dict[int, int] = field(default_factory=dict)
    subnets: dict[IPv4Network, int] = field(default_factory=dict)
    host_ips: dict[IPv4Address, int] = field(default_factory=dict)
    peers: dict[IPv4Address, PeerFlows] = field(default_factory=dict)
    pods: dict[IPv4Address, PodFlows] = field(default_factory=dict)
    services: dict[IPv4Address, ServiceFlows] = field(default_factory=dict)
    multicast: dict[int, int] = field(default_factory=dict)
    ways: dict[int, EgressWay] = field(default_factory=dict)
    egress_rules: dict[int, list[EgressRuleFlow]] = field(
        default_factory=lambda: defaultdict(list)
    )
    policies: dict[int, PolicyFlows] = field(default_factory=dict)
    quirks: dict[str, bool] = field(default_factory=dict)
    vnids: dict[int, int] = field(default_factory=dict)
    tables: set[int] = field(default_factory=set)
    strange: list[int] = field(default_factory=list)
    hashes: array[int] = field(default_factory=lambda: array("q"))
    """Of each flow, with names for the ports that have them."""
    numbers: array[int] = field(default_factory=lambda: array("L"))
    """The line that each flow was in, in the same order."""

    @property
    def count(self) -> int:
        """How many flows there are."""
        return len(self.hashes)

    @property
    def plugins(self) -> dict[Plugin, int]:
        """The plugin that the bridge is set up for, as far as it says."""
        return self.noted or self.structure

    @property
    def ports(self) -> dict[str, int]:
        """The numbers of ports that the flows call by name."""
        found: dict[str, int] = {}
        for pod in self.pods.values():
            numbers = (p for p in pod.delivered if p.isdecimal() and len(p) < 6)
            number = next(map(int, numbers), None)
            for name in {*pod.ports, *pod.delivered}:
                if number is not None and not name.isdecimal():
                    found.setdefault(name, number)
        return found
