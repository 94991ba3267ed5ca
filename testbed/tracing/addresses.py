"""Whose an address is, on the wires between and around the nodes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from testbed.host.egress import egress_addresses

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address

    from testbed.model import Cluster, HostSubnet, Pod, UnderlayHost

GATEWAY = "underlay:gateway"
"""The machine between the nodes and the world."""


@dataclass(frozen=True)
class Addresses:
    """A cluster's machines by the addresses that lead to them."""

    cluster: Cluster

    @cached_property
    def on_underlay(self) -> Mapping[IPv4Address, HostSubnet | UnderlayHost | None]:
        """Who answers for an address on the nodes' wire; the gateway is ``None``."""
        cluster = self.cluster
        found: dict[IPv4Address, HostSubnet | UnderlayHost | None] = {
            ip: node for node in cluster.nodes for ip in egress_addresses(cluster, node)
        }
        found |= {rogue.ip: rogue for rogue in cluster.underlay.rogues}
        found |= {host.host_ip: host for host in cluster.host_subnets}
        found[cluster.underlay.gateway] = None
        return found

    @cached_property
    def outside(self) -> Mapping[IPv4Address, UnderlayHost]:
        """The external hosts."""
        return {host.ip: host for host in self.cluster.underlay.external_hosts}

    @cached_property
    def by_tunnel(self) -> Mapping[IPv4Address, HostSubnet]:
        """The nodes and ghosts by the address that tunnels lead to."""
        return {host.host_ip: host for host in self.cluster.host_subnets}

    @cached_property
    def by_port(self) -> Mapping[tuple[str, int], Pod]:
        """The pods by node and ofport."""
        return {
            (pod.node, pod.ofport): pod
            for pod in self.cluster.pods
            if pod.ofport is not None
        }

    @cached_property
    def _tun0_macs(self) -> Mapping[IPv4Address, str]:
        return {host.gateway: host.tun0_mac for host in self.cluster.host_subnets}

    def mac_for(self, pod: Pod, destination: IPv4Address) -> str:
        """The MAC that a pod sends to: its ARP reaches all of the cluster network."""
        if any(destination in cidr for cidr in self.cluster.cidrs):
            receiver = self.cluster.pod_at(destination)
            if receiver is not None:
                return receiver.mac
            if destination in self._tun0_macs:
                return self._tun0_macs[destination]
        return self.cluster.node(pod.node).tun0_mac
