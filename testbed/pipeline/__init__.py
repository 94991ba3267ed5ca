"""The whole of br0 as a pure function of the cluster.

A packet starts in table 0 and goes on from table to table until a flow outputs or drops
it. The bridge delivers nothing by itself, and every table ends in a flow that catches
the rest, so that what is lost is also counted. In short::

                      ┌─ vxlan0 ─► 10 ─────────┐
    0, who sent it? ──┼─ tun0 ─────────────────┼─► 30, who is it for?
                      └─ pods ───► 20 ─► 21 ───┘         │
        ┌────────────────────────────────────────────────┘
        ├─ this node's gateway ► tun0
        ├─ this node's pods: ARP 40; IP 70 ─┬─► 80, is it allowed? ► the port in reg2
        ├─ services: 60 ────────────────────┘
        ├─ other nodes' pods: ARP 50, IP 90 ► vxlan0
        ├─ multicast: 110 ► 111 the other nodes ► 120 this node's pods
        └─ anything else: 100 ► 101 ► tun0

Each module holds a group of tables; its docstring says what enters them, what they
decide and which objects fill them. Every ``<what>_flows`` takes the cluster and the
node, and asks ``cluster.network.plugin`` where the plugins differ.

Source: openshift/origin release-3.11 pkg/network/node/ovscontroller.go
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from testbed.errors import SDNError
from testbed.model import Plugin
from testbed.pipeline.dispatch import dispatch_flows
from testbed.pipeline.egress import egress_flows
from testbed.pipeline.multicast import multicast_flows
from testbed.pipeline.peers import peer_flows
from testbed.pipeline.pods import pod_flows
from testbed.pipeline.policy import policy_flows
from testbed.pipeline.routing import routing_flows
from testbed.pipeline.services import service_flows
from testbed.pipeline.version import version_flows

if TYPE_CHECKING:
    from testbed.model import Cluster, HostSubnet
    from testbed.openflow import Flow

__all__ = ["node_flows"]


def node_flows(cluster: Cluster, node: HostSubnet) -> tuple[Flow, ...]:
    """Every flow of the node's br0: by table, then by falling priority.

    Raises:
        SDNError: the cluster's plugin has no pipeline here.
    """
    if cluster.network.plugin is not Plugin.SUBNET:
        raise SDNError(
            f"no pipeline for {cluster.network.plugin}: {Plugin.SUBNET} only"
        )
    flows = chain(
        dispatch_flows(cluster, node),
        peer_flows(cluster, node),
        pod_flows(cluster, node),
        routing_flows(cluster, node),
        service_flows(cluster),
        policy_flows(node),
        egress_flows(cluster, node),
        multicast_flows(cluster, node),
        version_flows(cluster),
    )
    return tuple(sorted(flows, key=lambda flow: (flow.table, -flow.priority)))
