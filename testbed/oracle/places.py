"""What an address is: whose subnet it lies in, which machine has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.model import DOCKER_NETWORK
from testbed.oracle.egress_ip import egress_ips_on

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from testbed.model import Cluster, HostSubnet, UnderlayHost


def is_for_pods(cluster: Cluster, ip: IPv4Address) -> bool:
    """Whether it lies in the cluster network."""
    return any(ip in cidr for cidr in cluster.cidrs)


def subnet_owner(cluster: Cluster, ip: IPv4Address) -> HostSubnet | None:
    """The node, or ghost, whose subnet it lies in."""
    return next((host for host in cluster.host_subnets if ip in host.subnet), None)


def belongs_to(cluster: Cluster, node: HostSubnet, ip: IPv4Address) -> bool:
    """Whether it is an address of the node's own: eth0's, tun0's, docker0's or lo's."""
    return (
        ip in (node.host_ip, node.gateway, DOCKER_NETWORK[1])
        or ip.is_loopback
        or ip in egress_ips_on(cluster, node)
    )


def machine_at(cluster: Cluster, ip: IPv4Address) -> HostSubnet | UnderlayHost | None:
    """Who has it on the underlay or in the world outside."""
    for host in cluster.host_subnets:
        if ip == host.host_ip or (host.is_node and ip in egress_ips_on(cluster, host)):
            return host
    others = (*cluster.underlay.external_hosts, *cluster.underlay.rogues)
    return next((host for host in others if host.ip == ip), None)
