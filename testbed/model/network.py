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

    @property
    def has_vnids(self) -> bool:
        """Whether namespaces have VNIDs of their own, and all that builds on them.

        Multicast, EgressNetworkPolicy and egress IPs; ovs-subnet has none of it.
        """
        return self is not Plugin.SUBNET

    @property
    def tracks_connections(self) -> bool:
        """Whether br0 uses conntrack: ovs-networkpolicy only."""
        return self is Plugin.NETWORKPOLICY


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

    One with ``is_node`` false is a ghost: a machine that speaks VXLAN but runs no SDN,
    as an F5 does. What is sent to it carries the VNID ``fixed_vnid`` where it has one.

    ``uid`` feeds the cookie of the flows that peers keep for this node. ``egress_ips``
    are the addresses that namespaces may leave the cluster by here. Ranges of them
    (``egress_cidrs``) are for the master to choose from; what it chose is in
    ``egress_ips``.

    ``cookie`` and ``mac`` (tun0's) are there where a live node's are known.
    """

    name: str
    host_ip: IPv4Address
    subnet: IPv4Network
    uid: str
    egress_ips: tuple[IPv4Address, ...] = ()
    egress_cidrs: tuple[IPv4Network, ...] = ()
    is_node: bool = True
    fixed_vnid: int | None = None
    cookie: int | None = None
    mac: str | None = None

    @property
    def gateway(self) -> IPv4Address:
        """The address of the node's tun0: the subnet's first."""
        return self.subnet[1]

    @property
    def tun0_mac(self) -> str:
        """The MAC of the node's tun0.

        OVS draws one at random; here it follows from the address, so that the flows
        which name it do, too. A node whose MAC is known keeps it.
        """
        return self.mac or ":".join(
            f"{byte:02x}" for byte in (0x0E, 0x58, *self.gateway.packed)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetNamespace:
    """The VNID (``netid``, 0 to 2**24 - 1) of one namespace.

    Also the addresses its pods leave the cluster by, and whether it takes part in its
    VNID's multicast.
    """

    name: str
    netid: int
    egress_ips: tuple[IPv4Address, ...] = ()
    multicast_enabled: bool = False
