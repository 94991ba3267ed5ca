"""Tables 110, 111 and 120: multicast between pods.

* 110 takes what a pod of this node sends to a group, and lets pass the VNIDs that have
  multicast enabled. ovs-subnet never enables it, so everything is dropped.
* 111 sends a copy to every other node, then goes on.
* 120 takes that, and what came from another node, to this node's pods of the VNID.

Table 111 holds a single flow, which every HostSubnet but the node's own is a part of.

"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.openflow import Flow, OFPort, Register, Table, table_miss
from testbed.openflow.actions import (
    goto,
    output,
    set_tunnel_destination,
    vnid_to_tunnel,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Cluster, HostSubnet


def multicast_flows(cluster: Cluster, node: HostSubnet) -> Iterator[Flow]:
    """Yield the flows that copy multicast to nodes and pods."""
    yield table_miss(Table.MULTICAST_FROM_POD)
    yield Flow(
        table=Table.MULTICAST_TO_VXLAN,
        priority=100,
        actions=(
            *_copies(cluster.peers(node)),
            goto(Table.MULTICAST_TO_LOCAL_PODS),
        ),
    )
    yield table_miss(Table.MULTICAST_TO_LOCAL_PODS)


def _copies(peers: tuple[HostSubnet, ...]) -> Iterator[str]:
    if peers:
        yield vnid_to_tunnel(Register.SOURCE_VNID)
    # The SDN sorts text, so 10.0.0.10 precedes 10.0.0.9.
    for destination in sorted(set_tunnel_destination(peer.host_ip) for peer in peers):
        yield destination
        yield output(OFPort.VXLAN0)
