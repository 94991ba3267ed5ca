"""Tables 110, 111 and 120: multicast between pods.

* 110 takes what a pod of this node sends to a group, and lets pass the VNIDs that have
  multicast enabled: all namespaces that share the VNID must ask for it. ovs-subnet
  never enables it, so everything is dropped.
* 111 sends a copy to every other node, then goes on.
* 120 takes that, and what came from another node, to this node's pods of the VNID.

Table 111 holds a single flow, which every HostSubnet but the node's own is a part of.

Source: openshift/origin release-3.11 pkg/network/node/ovscontroller.go and vnids.go
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from testbed.openflow import (
    DEFAULT_PRIORITY,
    Flow,
    OFPort,
    Register,
    Table,
    matches,
    table_miss,
)
from testbed.openflow.actions import (
    goto,
    output,
    set_tunnel_destination,
    vnid_to_tunnel,
)
from testbed.pipeline.vnids import named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Cluster, HostSubnet


def multicast_flows(cluster: Cluster, node: HostSubnet) -> Iterator[Flow]:
    """Yield the flows that copy multicast to nodes and pods."""
    if cluster.network.plugin.has_vnids:
        yield from _enabled(cluster, node)
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


def _enabled(cluster: Cluster, node: HostSubnet) -> Iterator[Flow]:
    outputs: dict[int, list[str]] = defaultdict(list)
    for pod in cluster.pods_on(node):
        if pod.ofport is not None:
            outputs[cluster.vnid(pod.namespace)].append(output(pod.ofport))
    for vnid in _enabled_vnids(cluster):
        from_vnid = matches.register(Register.SOURCE_VNID, vnid)
        yield Flow(
            table=Table.MULTICAST_FROM_POD,
            priority=DEFAULT_PRIORITY,
            match=(from_vnid,),
            actions=(goto(Table.MULTICAST_TO_VXLAN),),
            made_by=named(cluster, vnid),
        )
        if vnid in outputs:
            yield Flow(
                table=Table.MULTICAST_TO_LOCAL_PODS,
                priority=100,
                match=(from_vnid,),
                # The SDN sorts text here, too: output:10 precedes output:3.
                actions=tuple(sorted(outputs[vnid])),
                made_by=named(cluster, vnid),
            )


def _enabled_vnids(cluster: Cluster) -> list[int]:
    asking = {item.netid for item in cluster.net_namespaces if item.multicast_enabled}
    silent = {
        item.netid for item in cluster.net_namespaces if not item.multicast_enabled
    }
    return sorted(asking - silent)


def _copies(peers: tuple[HostSubnet, ...]) -> Iterator[str]:
    if peers:
        yield vnid_to_tunnel(Register.SOURCE_VNID)
    # The SDN sorts text, so 10.0.0.10 precedes 10.0.0.9.
    for destination in sorted(set_tunnel_destination(peer.host_ip) for peer in peers):
        yield destination
        yield output(OFPort.VXLAN0)
