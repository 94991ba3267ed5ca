"""The objects of network.openshift.io/v1 that shape every node's bridge."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network


class Plugin(enum.StrEnum):
    """The three SDN plugins of 3.11; a cluster runs exactly one.

    Source: openshift/origin release-3.11 pkg/network/networkapi.go
    """

    SUBNET = "redhat/openshift-ovs-subnet"
    MULTITENANT = "redhat/openshift-ovs-multitenant"
    NETWORKPOLICY = "redhat/openshift-ovs-networkpolicy"

    @property
    def plugin_id(self) -> int:
        """The number in the first byte of table 253's note: 0, 1 or 2."""
        return list(Plugin).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterNetworkEntry:
    """One range that pods get their addresses from.

    ``host_subnet_length`` counts host bits: 9 gives every node a /23.
    """

    cidr: IPv4Network
    host_subnet_length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterNetwork:
    """The cluster-wide choice of plugin and address ranges."""

    plugin: Plugin
    cluster_networks: tuple[ClusterNetworkEntry, ...]
    service_network: IPv4Network
    vxlan_port: int = 4789


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSubnet:
    """A node: its address on the underlay and the subnet its pods live in.

    ``uid`` feeds the cookie of the flows that peers keep for this node.
    """

    name: str
    host_ip: IPv4Address
    subnet: IPv4Network
    uid: str

    @property
    def gateway(self) -> IPv4Address:
        """The address of the node's tun0: the subnet's first."""
        return self.subnet[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetNamespace:
    """The VNID (``netid``, 0 to 2**24 - 1) of one namespace."""

    name: str
    netid: int
