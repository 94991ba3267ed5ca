"""Tables 10, 50 and 90: the other nodes.

* 10 takes what came out of a tunnel, and lets in only what a node of the cluster sent.
* 50 takes ARP for a pod on another node, 90 takes IP for one. Both put the sender's
  VNID in the VXLAN header, choose the node and send the packet out of vxlan0. A ghost
  may have asked for one VNID whoever sends.

Every HostSubnet but the node's own adds one flow to each, under a cookie that only its
uid decides, so that they can be found again when it changes.

Source: openshift/origin release-3.11 pkg/network/node/subnets.go
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from testbed.openflow import Flow, OFPort, Register, Table, matches, table_miss
from testbed.openflow.actions import (
    goto,
    output,
    set_tunnel_destination,
    set_tunnel_vnid,
    vnid_to_tunnel,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Cluster, HostSubnet


def peer_flows(cluster: Cluster, node: HostSubnet) -> Iterator[Flow]:
    """Yield the flows that let pods reach other nodes' pods and be reached."""
    for peer in cluster.peers(node):
        yield from _flows_of_peer(peer)
    for table in (Table.FROM_VXLAN, Table.ARP_TO_REMOTE_POD, Table.IP_TO_REMOTE_POD):
        yield table_miss(table)


def peer_cookie(peer: HostSubnet) -> int:
    """The first four bytes, big-endian, of the SHA-256 of the HostSubnet's uid.

    Where a live cluster's cookie is known and its uid is not, it is that.
    """
    if peer.cookie is not None:
        return peer.cookie
    return int.from_bytes(sha256(peer.uid.encode()).digest()[:4], "big")


def _flows_of_peer(peer: HostSubnet) -> Iterator[Flow]:
    cookie = peer_cookie(peer)
    through_tunnel = (
        vnid_to_tunnel(Register.SOURCE_VNID)
        if peer.fixed_vnid is None
        else set_tunnel_vnid(peer.fixed_vnid),
        set_tunnel_destination(peer.host_ip),
        output(OFPort.VXLAN0),
    )
    yield Flow(
        table=Table.FROM_VXLAN,
        priority=100,
        match=(matches.tun_src(peer.host_ip),),
        actions=(goto(Table.ROUTING),),
        cookie=cookie,
        made_by=f"HostSubnet {peer.name}",
    )
    yield Flow(
        table=Table.ARP_TO_REMOTE_POD,
        priority=100,
        match=("arp", matches.arp_tpa(peer.subnet)),
        actions=through_tunnel,
        cookie=cookie,
        made_by=f"HostSubnet {peer.name}",
    )
    yield Flow(
        table=Table.IP_TO_REMOTE_POD,
        priority=100,
        match=("ip", matches.nw_dst(peer.subnet)),
        actions=through_tunnel,
        cookie=cookie,
        made_by=f"HostSubnet {peer.name}",
    )
