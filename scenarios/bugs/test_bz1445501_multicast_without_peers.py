"""A cluster of one node delivers no multicast.

Reference: BZ1445501, openshift/origin#13768
Family: multicast
Symptom: In a cluster of a single node (as of `oc cluster up`) pods that join a group
    hear nothing, although multicast is enabled for their project.
Mechanism: Table 111 copies multicast to every peer and goes on to table 120, which
    delivers it to the node's own pods. Without peers it had no such flow but its first,
    which drops.
Fixed in: Before 3.11 was released: without peers, table 111 goes on to table 120.
Diagnosis: A node whose table 111 drops.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from testbed.faults import FlowChanged, HostSubnetForgotten
from testbed.openflow import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scapy.packet import Packet

    from testbed.probe import LiveCluster, Node, Pod

pytestmark = pytest.mark.plugins("multitenant")

SENDER, LISTENER = "shop/web-1-4wq8n", "shop/cart-1-zt6vd"
GROUP = "239.255.0.1"


@contextmanager
def alone(cluster: LiveCluster, node: Node) -> Iterator[None]:
    """Have the node know no peers, as the only node of a cluster."""
    with ExitStack() as stack:
        for peer in cluster.objects.peers(cluster.objects.node(node.name)):
            forgotten = HostSubnetForgotten(node=node.name, peer=peer.name)
            stack.enter_context(cluster.broken(forgotten))
        yield


def multicast(pod: Pod) -> Packet:
    return Ether(src=pod.mac) / IP(src=str(pod.ip), dst=GROUP) / UDP(dport=9)


@pytest.mark.symptom
def test_multicast_of_the_only_node_dies_on_its_way_to_peers(
    cluster: LiveCluster,
) -> None:
    pod = cluster.pod(SENDER)
    older = FlowChanged(
        node=pod.node.name,
        table=Table.MULTICAST_TO_VXLAN,
        selector="priority=100",
        actions="drop",
    )
    with alone(cluster, pod.node), cluster.broken(older):
        sent = cluster.send(pod, multicast(pod))

        sent.is_dropped(pod.node, Table.MULTICAST_TO_VXLAN, "priority=100")


@pytest.mark.fix
def test_multicast_of_the_only_node_is_heard_by_its_pods(cluster: LiveCluster) -> None:
    pod, listener = cluster.pod(SENDER), cluster.pod(LISTENER)
    with alone(cluster, pod.node):
        sent = cluster.send(pod, multicast(pod))

        sent.arrives(listener)
        assert not sent.crossings(pod.node.wire)
