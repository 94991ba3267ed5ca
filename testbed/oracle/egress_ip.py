"""Egress IPs: which address, of which node, a namespace leaves the cluster by.

A NetNamespace asks for addresses, a HostSubnet offers them. An address is active when
exactly one node offers it, exactly one VNID asks for it, and the VNID has no second
address on that node. Of namespaces that share a VNID only the last one's wishes count.

Source: openshift/origin release-3.11 pkg/network/common/egressip.go
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from testbed.model import Cluster, HostSubnet, NetNamespace


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressIP:
    """An active egress IP, the node that has it and the namespace that uses it."""

    ip: IPv4Address
    node: HostSubnet
    namespace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoEgressIP:
    """A namespace that asked for egress IPs and can use none."""

    namespace: str


def egress_ip_of(cluster: Cluster, vnid: int) -> EgressIP | NoEgressIP | None:
    """What the pods with a VNID leave by; ``None`` where nobody asked for anything.

    An address that two VNIDs ask for spoils the others, too. A node found dead is
    avoided only by a namespace that asked for more than one address.
    """
    asking = _asking(cluster)
    namespace = asking.get(vnid)
    if namespace is None or not namespace.egress_ips:
        return None
    nothing = NoEgressIP(namespace=namespace.name)
    if any(len(_askers(asking, ip)) > 1 for ip in namespace.egress_ips):
        return nothing
    for ip in namespace.egress_ips:
        node = _active_on(cluster, namespace, ip)
        if node is not None and (
            len(namespace.egress_ips) == 1 or node.name not in cluster.offline_nodes
        ):
            return EgressIP(ip=ip, node=node, namespace=namespace.name)
    return nothing


def egress_ips_on(cluster: Cluster, node: HostSubnet) -> dict[IPv4Address, str]:
    """The egress IPs that a node's interface really has, each with its namespace."""
    asking = _asking(cluster)
    return {
        ip: namespace.name
        for namespace in asking.values()
        for ip in namespace.egress_ips
        if len(_askers(asking, ip)) == 1
        and _active_on(cluster, namespace, ip) == node
        and fits(cluster, node, ip)
    }


def fits(cluster: Cluster, node: HostSubnet, ip: IPv4Address) -> bool:
    """Whether the node can have the address; else packets leave with the node's own.

    Source: openshift/origin release-3.11 pkg/network/node/egressip.go
    """
    return ip in cluster.underlay.subnet and ip != node.host_ip


def _asking(cluster: Cluster) -> dict[int, NetNamespace]:
    if not cluster.network.plugin.has_vnids:
        return {}
    return {item.netid: item for item in cluster.net_namespaces}


def _askers(asking: dict[int, NetNamespace], ip: IPv4Address) -> list[int]:
    return [vnid for vnid, item in asking.items() if ip in item.egress_ips]


def _offering(cluster: Cluster, ip: IPv4Address) -> list[HostSubnet]:
    return [node for node in cluster.nodes if ip in node.egress_ips]


def _active_on(
    cluster: Cluster, namespace: NetNamespace, ip: IPv4Address
) -> HostSubnet | None:
    """The single node that offers it, unless the namespace has another one there."""
    nodes = _offering(cluster, ip)
    others = [
        _offering(cluster, other) for other in namespace.egress_ips if other != ip
    ]
    return nodes[0] if len(nodes) == 1 and nodes not in others else None
