"""Table 80: whether the packet may go where it is meant to.

It comes from table 60 or 70 with the sender's VNID in reg0, the receiver's in reg1 and
the port that leads there in reg2. The node itself may always reach its own pods, which
kubelet's health checks need. The rest is the plugin's:

* ovs-subnet allows everything.
* ovs-multitenant allows what stays within a VNID, and VNID 0 on either end. Every VNID
  in use on the node has a flow; services are used on all nodes.
* ovs-networkpolicy allows replies, and leaves the rest to the policies of the
  namespaces that have pods on the node (``network_policy``).

Source: openshift/origin release-3.11 pkg/network/node/singletenant.go, multitenant.go
and networkpolicy.go
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from testbed.model import Plugin
from testbed.openflow import Flow, Register, Table, matches, table_miss
from testbed.openflow.actions import output_register
from testbed.pipeline.vnids import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbed.model import Cluster, HostSubnet
    from testbed.pipeline.network_policy import NamespaceFlows

_DELIVER = (output_register(Register.DESTINATION_OFPORT),)


def policy_flows(
    cluster: Cluster, node: HostSubnet, namespaces: Sequence[NamespaceFlows]
) -> Iterator[Flow]:
    """Yield the flows that deliver what is allowed to the port in reg2.

    They come by falling priority. ``namespaces`` are those in use on the node, for
    ovs-networkpolicy.
    """
    yield _deliver(300, "ip", matches.nw_src(node.gateway))
    match cluster.network.plugin:
        case Plugin.SUBNET:
            yield _deliver(200)
        case Plugin.MULTITENANT:
            yield from _within_vnids(cluster, node)
        case Plugin.NETWORKPOLICY:
            yield _deliver(200, matches.REPLY, "ip")
            yield from chain.from_iterable(item.allowing for item in namespaces)
            yield from chain.from_iterable(item.isolating for item in namespaces)
            yield from chain.from_iterable(item.opening for item in namespaces)
    yield table_miss(Table.POLICY)


def pod_vnids(cluster: Cluster, node: HostSubnet) -> set[int]:
    """The VNIDs that pods of the node have."""
    return {
        cluster.vnid(namespace)
        for namespace in {pod.namespace for pod in cluster.pods_on(node)}
    }


def _within_vnids(cluster: Cluster, node: HostSubnet) -> Iterator[Flow]:
    for register in (Register.SOURCE_VNID, Register.DESTINATION_VNID):
        yield _deliver(200, matches.register(register, 0))
    of_services = {
        cluster.vnid(service.namespace)
        for service in cluster.services
        if service.cluster_ip is not None
    }
    for vnid in sorted((pod_vnids(cluster, node) | of_services) - {0}):
        yield _deliver(
            100,
            matches.register(Register.SOURCE_VNID, vnid),
            matches.register(Register.DESTINATION_VNID, vnid),
            made_by=named(cluster, vnid),
        )


def _deliver(priority: int, *match: str, made_by: str = "") -> Flow:
    return Flow(
        table=Table.POLICY,
        priority=priority,
        match=match,
        actions=_DELIVER,
        made_by=made_by,
    )
