"""Tables 20, 21, 25, 40 and 70: the node's own pods.

* 20 takes what a pod sends. It must carry the pod's own address: IP by its source, ARP
  by the sender's address and the last four bytes of its MAC, which are the address
  again. reg0 then holds the pod's VNID. The MAC of an IP packet is not looked at.
* 21 is where ovs-networkpolicy makes connections into the cluster known to conntrack,
  so that table 80 knows their replies; under the other plugins packets pass through.
* 25, ovs-networkpolicy only, takes what a pod sent to a service and iptables redirected
  to a pod. It has been through the host, so reg0 gets the sender's VNID once more.
* 40 takes ARP for a pod of this node and delivers it, whoever asks.
* 70 takes IP for a pod of this node, notes its VNID in reg1 and its port in reg2, and
  leaves the decision to table 80.

Every pod with a port on br0 adds its flows; pods in the host's network have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.openflow import Flow, Register, Table, matches, table_miss
from testbed.openflow.actions import commit, goto, load, output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Cluster, HostSubnet, Pod


def pod_flows(cluster: Cluster, node: HostSubnet) -> Iterator[Flow]:
    """Yield the flows that let the node's pods send and receive."""
    tracks_connections = cluster.network.plugin.tracks_connections
    for pod in cluster.pods_on(node):
        if pod.ofport is not None:
            yield from flows_of_pod(
                pod,
                ofport=pod.ofport,
                vnid=cluster.vnid(pod.namespace),
                tracks_connections=tracks_connections,
            )
    if tracks_connections:
        yield from _commits(cluster)
        yield table_miss(Table.FROM_POD_VIA_SERVICE)
    yield table_miss(Table.FROM_POD)
    yield table_miss(Table.FROM_POD_CONNTRACK, goto(Table.ROUTING))
    yield table_miss(Table.ARP_TO_LOCAL_POD)
    yield table_miss(Table.IP_TO_LOCAL_POD)


def flows_of_pod(
    pod: Pod, *, ofport: int, vnid: int, tracks_connections: bool
) -> Iterator[Flow]:
    """Yield the flows of one pod, which has that port and that VNID."""
    yield from _from_pod(pod, ofport=ofport, vnid=vnid)
    yield from _to_pod(pod, ofport=ofport, vnid=vnid)
    if tracks_connections:
        yield _via_service(pod, vnid=vnid)


def _from_pod(pod: Pod, *, ofport: int, vnid: int) -> Iterator[Flow]:
    in_port = matches.in_port(ofport)
    for match in (
        ("arp", in_port, matches.arp_spa(pod.ip), matches.arp_sha(pod.ip)),
        ("ip", in_port, matches.nw_src(pod.ip)),
    ):
        yield Flow(
            table=Table.FROM_POD,
            priority=100,
            match=match,
            actions=(
                load(vnid, Register.SOURCE_VNID),
                goto(Table.FROM_POD_CONNTRACK),
            ),
            made_by=f"Pod {pod.key}",
        )


def _via_service(pod: Pod, *, vnid: int) -> Flow:
    return Flow(
        table=Table.FROM_POD_VIA_SERVICE,
        priority=100,
        match=("ip", matches.nw_src(pod.ip)),
        actions=(load(vnid, Register.SOURCE_VNID), goto(Table.ROUTING)),
        made_by=f"Pod {pod.key}",
    )


def _commits(cluster: Cluster) -> Iterator[Flow]:
    keeps_source_port = cluster.quirks.commit_keeps_source_port
    for cidr in cluster.cidrs:
        yield Flow(
            table=Table.FROM_POD_CONNTRACK,
            priority=200,
            match=("ip", matches.nw_dst(cidr)),
            actions=(
                commit(Table.ROUTING, may_change_source_port=not keeps_source_port),
            ),
        )


def _to_pod(pod: Pod, *, ofport: int, vnid: int) -> Iterator[Flow]:
    yield Flow(
        table=Table.ARP_TO_LOCAL_POD,
        priority=100,
        match=("arp", matches.arp_tpa(pod.ip)),
        actions=(output(ofport),),
        made_by=f"Pod {pod.key}",
    )
    yield Flow(
        table=Table.IP_TO_LOCAL_POD,
        priority=100,
        match=("ip", matches.nw_dst(pod.ip)),
        actions=(
            load(vnid, Register.DESTINATION_VNID),
            load(ofport, Register.DESTINATION_OFPORT),
            goto(Table.POLICY),
        ),
        made_by=f"Pod {pod.key}",
    )
