"""Tables 100 and 101: traffic that leaves the cluster.

* 100 takes IP for no pod, service or group. Pods must not speak VXLAN, or they could
  forge any sender. DNS to their own node goes straight out of tun0, past table 101. The
  plugins with egress addresses choose here the node that a namespace leaves from.
* 101 is where the plugins with EgressNetworkPolicy filter; then tun0, and the host
  routes and masquerades.

All flows under ovs-subnet follow from the ClusterNetwork and the node's own address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.openflow import Flow, OFPort, Table, matches, table_miss
from testbed.openflow.actions import DROP, goto, output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Cluster, HostSubnet

_DNS = 53


def egress_flows(cluster: Cluster, node: HostSubnet) -> Iterator[Flow]:
    """Yield the flows that let pods reach the world outside."""
    yield Flow(
        table=Table.EGRESS_ROUTING,
        priority=300,
        match=("udp", matches.tp_dst(cluster.network.vxlan_port)),
        actions=(DROP,),
    )
    for protocol in ("tcp", "udp"):
        yield Flow(
            table=Table.EGRESS_ROUTING,
            priority=200,
            match=(protocol, matches.nw_dst(node.host_ip), matches.tp_dst(_DNS)),
            actions=(output(OFPort.TUN0),),
        )
    yield table_miss(Table.EGRESS_ROUTING, goto(Table.EGRESS_NETWORK_POLICY))
    yield table_miss(Table.EGRESS_NETWORK_POLICY, output(OFPort.TUN0))
