"""Addresses and routes of nodes and pods, as input for ``ip -batch``.

Source: openshift/origin release-3.11 pkg/network/node/sdn_controller.go (tun0) and
pkg/network/sdn-cni-plugin/openshift-sdn.go (pods); ip-route(8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.model import DOCKER_NETWORK

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address, IPv4Network

    from testbed.model import Cluster, HostSubnet, Pod


MULTICAST = "224.0.0.0/4"


def node_links(cluster: Cluster, node: HostSubnet) -> str:
    """Configure lo, eth0, docker0 and tun0 of a node; all but docker0 exist.

    eth0's routes carry the marks of a NetworkManager that asked DHCP, as on the real
    machines. docker0 gets a veth as its one port: without carrier its route would read
    ``linkdown``. On tun0 the kernel's own route to the node's subnet is removed again,
    so that pods of this node, too, are reached by the cluster-wide route.
    """
    return _batch(
        "link set lo up",
        "link set eth0 up",
        *_underlay_routes(cluster, node),
        "link add docker0 type bridge",
        "link add vethdocker0 type veth peer name vethdocker1",
        "link set vethdocker0 master docker0 up",
        "link set vethdocker1 up",
        f"addr add {DOCKER_NETWORK[1]}/{DOCKER_NETWORK.prefixlen} brd + dev docker0",
        "link set docker0 up",
        f"addr add {node.gateway}/{node.subnet.prefixlen} brd + dev tun0",
        "link set tun0 up",
        *(f"route add {cidr} dev tun0 scope link" for cidr in cluster.cidrs),
        f"route add {_universe(cluster.network.service_network, 'tun0')}",
        f"route del {node.subnet} dev tun0 proto kernel scope link src {node.gateway}",
    )


def pod_links(cluster: Cluster, node: HostSubnet, pod: Pod) -> str:
    """Configure lo and eth0 inside a pod as the CNI plugin leaves them."""
    return _batch(
        "link set lo up",
        f"addr add {pod.ip}/{node.subnet.prefixlen} brd + dev eth0",
        "link set eth0 up",
        f"route add default via {node.gateway} dev eth0",
        *(f"route add {_universe(cidr, 'eth0')}" for cidr in cluster.cidrs),
        f"route add {MULTICAST} dev eth0 scope global",
    )


def assign_egress_ips(cluster: Cluster, ips: Iterable[IPv4Address]) -> str:
    """Give a node these egress IPs besides its own address.

    Source: openshift/origin release-3.11 pkg/network/node/egressip.go
    """
    return _batch(
        *(f"addr add {_on_underlay(cluster, ip)} brd + dev eth0" for ip in ips)
    )


def release_egress_ips(cluster: Cluster, ips: Iterable[IPv4Address]) -> str:
    """Take these egress IPs from a node again."""
    return _batch(*(f"addr del {_on_underlay(cluster, ip)} dev eth0" for ip in ips))


def move_node(cluster: Cluster, before: HostSubnet, after: HostSubnet) -> str:
    """Exchange a node's own address for another on the same network.

    The old one goes first: the kernel would take a second one of the same network
    with it. Its routes go with it, too.
    """
    return _batch(
        f"addr del {_on_underlay(cluster, before.host_ip)} dev eth0",
        *_underlay_routes(cluster, after),
    )


def hide_from_kernel(interfaces: Iterable[str]) -> str:
    """Keep the node's kernel from handling what a userspace datapath handles.

    ovs-vswitchd reads a port through a packet socket, and the kernel goes on to treat
    the same frame as its own: it would answer ARP on every veth, and route. A bridge
    that is down takes its ports' frames right behind the packet sockets and drops them.
    It is called as the kernel datapath's device, which owns the ports in production.
    """
    return _batch("link add ovs-system type bridge") + enslave(interfaces)


def enslave(interfaces: Iterable[str]) -> str:
    """Put more interfaces behind that bridge."""
    return _batch(
        *(f"link set {interface} master ovs-system" for interface in interfaces)
    )


def _underlay_routes(cluster: Cluster, node: HostSubnet) -> tuple[str, ...]:
    metric = "metric 100"
    return (
        f"addr add {_on_underlay(cluster, node.host_ip)} brd + dev eth0 noprefixroute",
        (
            f"route replace {cluster.underlay.subnet} dev eth0 proto kernel scope link "
            f"src {node.host_ip} {metric}"
        ),
        (
            f"route replace default via {cluster.underlay.gateway} dev eth0 "
            f"proto dhcp {metric}"
        ),
    )


def _on_underlay(cluster: Cluster, ip: IPv4Address) -> str:
    return f"{ip}/{cluster.underlay.subnet.prefixlen}"


def _universe(network: IPv4Network, device: str) -> str:
    """A route without gateway, yet of universe scope, as the SDN's netlink adds it."""
    return f"{network} dev {device} scope global"


def _batch(*commands: str) -> str:
    return "".join(f"{command}\n" for command in commands)
