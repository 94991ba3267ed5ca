"""What an address is to those who send to it: a pod, a service, a node, the world."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from testbed.host.egress import egress_addresses
from testbed.host.names import underlay_mac
from testbed.model import DOCKER_NETWORK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address

    from testbed.model import Cluster, HostSubnet


class Zone(enum.Enum):
    """Where an address leads.

    ``PODS`` is the cluster network, in whose subnets tun0 has an address, too;
    ``WORLD`` is all that is outside the cluster's own ranges, nodes included.
    """

    PODS = enum.auto()
    SERVICES = enum.auto()
    MULTICAST = enum.auto()
    LOOPBACK = enum.auto()
    WORLD = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """An address, and who has it.

    Attributes:
        ip: the address.
        number: the same as a number.
        zone: where it leads.
        host: whose subnet it lies in; in the world, the node or ghost that has it.
        mac: the MAC address of whoever has it, on the wire where ARP would find it;
            ``None`` where that is the next hop's.
        is_gateway: whether it is the first of a subnet, tun0's.
    """

    ip: IPv4Address
    number: int
    zone: Zone
    host: HostSubnet | None
    mac: bytes | None
    is_gateway: bool = False

    def is_switched(self, *, is_arp: bool) -> bool:
        """Whether bridges alone decide about what a pod sends there, and no kernel."""
        if is_arp or self.zone is Zone.MULTICAST:
            return True
        return self.zone is Zone.PODS and not self.is_gateway


@dataclass(frozen=True)
class Whereabouts:
    """A cluster's addresses."""

    cluster: Cluster

    def of(self, ip: IPv4Address) -> Destination:
        """What an address is."""
        zone = self._zone(ip)
        host = self._host(ip, zone)
        return Destination(
            ip=ip,
            number=int(ip),
            zone=zone,
            host=host,
            mac=self._mac(ip, zone),
            is_gateway=zone is Zone.PODS and host is not None and ip == host.gateway,
        )

    def belongs_to(self, ip: IPv4Address, node: HostSubnet) -> bool:
        """Whether a node has an address itself, on any of its interfaces."""
        return ip.is_loopback or ip in self.own(node)

    def own(self, node: HostSubnet) -> frozenset[IPv4Address]:
        """A node's own addresses, but for those of its loopback interface."""
        return self._own[node.name]

    @cached_property
    def _own(self) -> Mapping[str, frozenset[IPv4Address]]:
        return {
            node.name: frozenset(
                (
                    *(node.host_ip, node.gateway, DOCKER_NETWORK[1]),
                    *egress_addresses(self.cluster, node),
                )
            )
            for node in self.cluster.nodes
        }

    def _zone(self, ip: IPv4Address) -> Zone:
        if ip.is_multicast:
            return Zone.MULTICAST
        if ip.is_loopback:
            return Zone.LOOPBACK
        if any(ip in cidr for cidr in self.cluster.cidrs):
            return Zone.PODS
        if ip in self.cluster.network.service_network:
            return Zone.SERVICES
        return Zone.WORLD

    def _host(self, ip: IPv4Address, zone: Zone) -> HostSubnet | None:
        if zone is Zone.PODS:
            return next((h for h in self.cluster.host_subnets if ip in h.subnet), None)
        if zone is Zone.WORLD:
            return self._by_underlay_ip.get(ip)
        return None

    @cached_property
    def _by_underlay_ip(self) -> Mapping[IPv4Address, HostSubnet]:
        hosts = {ip: node for node in self.cluster.nodes for ip in self._own[node.name]}
        return hosts | {host.host_ip: host for host in self.cluster.host_subnets}

    def _mac(self, ip: IPv4Address, zone: Zone) -> bytes | None:
        if zone is Zone.MULTICAST:
            return b"\x01\x00\x5e" + (int(ip) & 0x7FFFFF).to_bytes(3, "big")
        if zone is Zone.PODS:
            pod = self.cluster.pod_at(ip)
            return mac_bytes(pod.mac) if pod else self._tun0_macs.get(ip)
        return None

    @cached_property
    def _tun0_macs(self) -> Mapping[IPv4Address, bytes]:
        return {
            node.gateway: mac_bytes(node.tun0_mac) for node in self.cluster.host_subnets
        }


def mac_bytes(mac: str) -> bytes:
    """A MAC address as it is on the wire."""
    return bytes.fromhex(mac.replace(":", ""))


def wire_mac(ip: IPv4Address) -> bytes:
    """The MAC address of a machine on the underlay or outside."""
    return mac_bytes(underlay_mac(ip))
