"""Table 100: traffic that leaves the cluster, and the node it leaves from.

It takes IP for no pod, service or group. Pods must not speak VXLAN, or they could forge
any sender. DNS to their own node goes straight out of tun0, past table 101.

A VNID that asked for an egress IP then leaves one way only: on the node that has the
address, with a mark by which iptables knows what to make the source; on any other,
through a tunnel to that node, past table 101, which it meets there; nowhere while no
node has the address. All others go on to table 101.

Every NetNamespace with egress IPs, and every HostSubnet that has one of them, has its
part in this; ovs-subnet knows no egress IPs.

Source: openshift/origin release-3.11 pkg/network/node/ovscontroller.go and egressip.go
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.egress import egress_mark, egress_state
from testbed.openflow import Flow, OFPort, Register, Table, matches, table_miss
from testbed.openflow.actions import (
    DROP,
    commit,
    goto,
    output,
    set_destination_mac,
    set_packet_mark,
    set_tunnel_destination,
    vnid_to_tunnel,
)
from testbed.pipeline.vnids import named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.egress import Claim
    from testbed.model import Cluster, HostSubnet

_DNS = 53


def egress_flows(cluster: Cluster, node: HostSubnet) -> Iterator[Flow]:
    """Yield the flows that choose how pods reach the world outside."""
    yield _flow(300, ("udp", matches.tp_dst(cluster.network.vxlan_port)), DROP)
    for protocol in ("tcp", "udp"):
        yield _flow(
            200,
            (protocol, matches.nw_dst(node.host_ip), matches.tp_dst(_DNS)),
            output(OFPort.TUN0),
        )
    tracks_connections = cluster.network.plugin.tracks_connections
    if tracks_connections and not cluster.quirks.replies_take_egress_ip:
        yield _flow(150, (matches.REPLY, "ip"), output(OFPort.TUN0))
    commits = tracks_connections and not cluster.quirks.remote_egress_not_committed
    for vnid, claim in sorted(
        egress_state(cluster).ways.items(), key=lambda item: item[0]
    ):
        from_vnid = matches.register(Register.SOURCE_VNID, vnid)
        name = named(cluster, vnid)
        if claim is None:
            yield _flow(100, (from_vnid,), DROP, made_by=name)
        elif claim.node == node:
            yield _flow(100, ("ip", from_vnid), *_here(claim), made_by=name)
        else:
            actions = _there(claim, commits=commits)
            yield _flow(100, ("ip", from_vnid), *actions, made_by=name)
    yield table_miss(Table.EGRESS_ROUTING, goto(Table.EGRESS_NETWORK_POLICY))


def _here(claim: Claim) -> Iterator[str]:
    # A packet that came through a tunnel still bears the MAC its pod knew.
    yield set_destination_mac(claim.node.tun0_mac)
    yield set_packet_mark(egress_mark(claim.vnid))
    yield goto(Table.EGRESS_NETWORK_POLICY)


def _there(claim: Claim, *, commits: bool) -> Iterator[str]:
    if commits:
        yield commit()
    yield vnid_to_tunnel(Register.SOURCE_VNID)
    yield set_tunnel_destination(claim.node.host_ip)
    yield output(OFPort.VXLAN0)


def _flow(
    priority: int, match: tuple[str, ...], *actions: str, made_by: str = ""
) -> Flow:
    return Flow(
        table=Table.EGRESS_ROUTING,
        priority=priority,
        match=match,
        actions=actions,
        made_by=made_by,
    )
