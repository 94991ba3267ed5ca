"""Table 30: who this packet is for.

Everything with a known sender arrives here, from a pod, from the node or from another
node, with the sender's VNID in reg0 (0 for the node). Only the destination counts: this
node's gateway, its pods, a service, another node's pods, a multicast group, or else the
world outside. The narrower range has the higher priority.

A multicast packet that came through a tunnel goes to this node's pods only: its sender
has already sent it to every node.

Under ovs-networkpolicy, a reply to this node's pods may belong to a connection that
iptables redirected from a service. Conntrack gives it back the service's address.

All flows follow from the ClusterNetwork and the node's HostSubnet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.openflow import Flow, OFPort, Table, matches
from testbed.openflow.actions import DROP, goto, output, track_and_restore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Cluster, HostSubnet


def routing_flows(cluster: Cluster, node: HostSubnet) -> Iterator[Flow]:
    """Yield the flows that choose a packet's way by its destination."""
    yield from _arp(cluster, node)
    if cluster.network.plugin.tracks_connections:
        yield _reply(cluster, node)
    yield from _ip(cluster, node)
    yield from _multicast()
    yield _flow(0, ("ip",), goto(Table.EGRESS_ROUTING))
    yield _flow(0, ("arp",), DROP)


def _arp(cluster: Cluster, node: HostSubnet) -> Iterator[Flow]:
    yield _flow(300, ("arp", matches.arp_tpa(node.gateway)), output(OFPort.TUN0))
    yield _flow(
        200, ("arp", matches.arp_tpa(node.subnet)), goto(Table.ARP_TO_LOCAL_POD)
    )
    for cidr in cluster.cidrs:
        yield _flow(100, ("arp", matches.arp_tpa(cidr)), goto(Table.ARP_TO_REMOTE_POD))


def _reply(cluster: Cluster, node: HostSubnet) -> Flow:
    # A commit that may change ports sends replies to tun0's address through NAT, too:
    # those must not be taken for a pod's.
    priority = 300 if cluster.quirks.commit_keeps_source_port else 250
    return _flow(
        priority,
        (matches.REPLY, "ip", matches.nw_dst(node.subnet)),
        track_and_restore(Table.IP_TO_LOCAL_POD),
    )


def _ip(cluster: Cluster, node: HostSubnet) -> Iterator[Flow]:
    services = cluster.network.service_network
    yield _flow(300, ("ip", matches.nw_dst(node.gateway)), output(OFPort.TUN0))
    yield _flow(200, ("ip", matches.nw_dst(node.subnet)), goto(Table.IP_TO_LOCAL_POD))
    yield _flow(100, ("ip", matches.nw_dst(services)), goto(Table.IP_TO_SERVICE))
    for cidr in cluster.cidrs:
        yield _flow(100, ("ip", matches.nw_dst(cidr)), goto(Table.IP_TO_REMOTE_POD))


def _multicast() -> Iterator[Flow]:
    yield _flow(
        50,
        ("ip", matches.in_port(OFPort.VXLAN0), matches.MULTICAST),
        goto(Table.MULTICAST_TO_LOCAL_PODS),
    )
    yield _flow(25, ("ip", matches.MULTICAST), goto(Table.MULTICAST_FROM_POD))


def _flow(priority: int, match: tuple[str, ...], action: str) -> Flow:
    return Flow(table=Table.ROUTING, priority=priority, match=match, actions=(action,))
