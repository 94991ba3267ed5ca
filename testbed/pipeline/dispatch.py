"""Table 0: who sent this packet.

Every packet starts here and goes on by the port it came in on:

* vxlan0: with a pod's address at either end, its VNID comes out of the VXLAN header and
  table 10 checks the sender. One end may lie outside: traffic to and from an egress
  address crosses nodes too.
* tun0: the node itself, or what it forwards. ARP must come from the gateway's address;
  the host's own multicast stays out.
* any other port is a pod: table 20 checks its address.

What is neither IP nor ARP is dropped.

Under ovs-networkpolicy, every IP packet is looked up in conntrack first and comes here
again. What a pod sent to a service comes back out of tun0 with a pod's address at both
ends; table 25 finds the sender's VNID again.

All flows follow from the ClusterNetwork and the node's HostSubnet, and last as long as
the bridge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.openflow import Flow, OFPort, Register, Table, matches, table_miss
from testbed.openflow.actions import DROP, goto, track, vnid_from_tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Cluster, HostSubnet


def dispatch_flows(cluster: Cluster, node: HostSubnet) -> Iterator[Flow]:
    """Yield the flows that tell vxlan0, tun0 and pods apart."""
    if cluster.network.plugin.tracks_connections:
        yield from _tracking(cluster, node)
    yield from _from_vxlan(cluster, node)
    yield from _from_tun0(cluster, node)
    for ethertype in ("arp", "ip"):
        yield Flow(
            table=Table.DISPATCH,
            priority=100,
            match=(ethertype,),
            actions=(goto(Table.FROM_POD),),
        )
    yield table_miss(Table.DISPATCH)


def _tracking(cluster: Cluster, node: HostSubnet) -> Iterator[Flow]:
    yield Flow(
        table=Table.DISPATCH,
        priority=300 if cluster.quirks.dispatch_overlaps else 1000,
        match=(matches.UNTRACKED, "ip"),
        actions=(track(Table.DISPATCH),),
    )
    in_port = matches.in_port(OFPort.TUN0)
    yield Flow(
        table=Table.DISPATCH,
        priority=400,
        match=("ip", in_port, matches.nw_src(node.gateway)),
        actions=(goto(Table.ROUTING),),
    )
    for cidr in cluster.cidrs:
        yield Flow(
            table=Table.DISPATCH,
            priority=300,
            match=("ip", in_port, matches.nw_src(node.subnet), matches.nw_dst(cidr)),
            actions=(goto(Table.FROM_POD_VIA_SERVICE),),
        )


def _from_vxlan(cluster: Cluster, node: HostSubnet) -> Iterator[Flow]:
    in_port = matches.in_port(OFPort.VXLAN0)
    for cidr in cluster.cidrs:
        for match in (
            ("arp", in_port, matches.arp_spa(cidr), matches.arp_tpa(node.subnet)),
            ("ip", in_port, matches.nw_src(cidr)),
            ("ip", in_port, matches.nw_dst(cidr)),
        ):
            yield Flow(
                table=Table.DISPATCH,
                priority=200,
                match=match,
                actions=(
                    vnid_from_tunnel(Register.SOURCE_VNID),
                    goto(Table.FROM_VXLAN),
                ),
            )
    yield Flow(table=Table.DISPATCH, priority=150, match=(in_port,), actions=(DROP,))


def _from_tun0(cluster: Cluster, node: HostSubnet) -> Iterator[Flow]:
    in_port = matches.in_port(OFPort.TUN0)
    yield Flow(
        table=Table.DISPATCH,
        priority=250,
        match=("ip", in_port, matches.MULTICAST),
        actions=(DROP,),
    )
    for cidr in cluster.cidrs:
        yield Flow(
            table=Table.DISPATCH,
            priority=200,
            match=(
                "arp",
                in_port,
                matches.arp_spa(node.gateway),
                matches.arp_tpa(cidr),
            ),
            actions=(goto(Table.ROUTING),),
        )
    yield Flow(
        table=Table.DISPATCH,
        priority=200,
        match=("ip", in_port),
        actions=(goto(Table.ROUTING),),
    )
    yield Flow(table=Table.DISPATCH, priority=150, match=(in_port,), actions=(DROP,))
