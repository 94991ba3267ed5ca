"""Pods leave by an egress IP only on the node that has it.

Reference: BZ1501876, openshift/origin#16866, openshift/origin#17099, BZ1507871
Family: egress IP
Symptom: A namespace has an egress IP. Its pods on the node of that address reach the
    outside, all others reach nothing there.
Mechanism: Pods elsewhere are tunnelled to the egress node. There, first, table 0 let
    nothing in from VXLAN but what was for a pod. Then, once that was mended, the frame
    that came out of tun0 still had the MAC of the sender's own tun0, and the node's
    kernel ignored it as somebody else's.
Fixed in: Before 3.11 was released: table 0 lets in what comes from a pod, and table 100
    sets eth_dst to tun0's MAC.
Diagnosis: An egress node whose table 0 lacks the flow for VXLAN from the cluster
    network, or whose table 100 sets no eth_dst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether

from testbed.egress import egress_mark
from testbed.faults import FlowChanged, FlowDeleted
from testbed.openflow import Table
from testbed.probe import send_ping

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("networkpolicy")

HERE, ELSEWHERE, EGRESS_NODE = (
    "payments/gateway-1-v7d2c",
    "payments/gateway-1-2kx8z",
    "oc-02.test",
)
EGRESS_IP = "172.16.1.102"


@pytest.mark.symptom
def test_at_first_what_is_tunnelled_to_the_egress_node_is_not_let_in(
    cluster: LiveCluster,
) -> None:
    here, elsewhere = cluster.pod(HERE), cluster.pod(ELSEWHERE)
    cidr = cluster.objects.cidrs[0]
    too_strict = FlowDeleted(
        node=EGRESS_NODE,
        table=Table.DISPATCH,
        selector=f"priority=200,ip,in_port=1,nw_src={cidr}",
    )
    with cluster.broken(too_strict):
        send_ping(cluster, here, cluster.external).arrives(cluster.external)
        sent = send_ping(cluster, elsewhere, cluster.external)

        sent.is_dropped(here.node, Table.DISPATCH, "priority=150,in_port=1")


@pytest.mark.symptom
def test_then_it_comes_out_of_tun0_for_another_mac(cluster: LiveCluster) -> None:
    """The egress node's kernel does not look at it."""
    here, elsewhere = cluster.pod(HERE), cluster.pod(ELSEWHERE)
    vnid = cluster.objects.vnid("payments")
    keeps_mac = FlowChanged(
        node=EGRESS_NODE,
        table=Table.EGRESS_ROUTING,
        selector=f"priority=100,ip,reg0={vnid:#x}",
        actions=f"set_field:{egress_mark(vnid):#x}->pkt_mark,goto_table:101",
    )
    with cluster.broken(keeps_mac):
        sent = send_ping(cluster, elsewhere, cluster.external)

        frame = sent.arrives(here.node)
        assert frame[Ether].dst == elsewhere.node.mac != here.node.mac
        send_ping(cluster, here, cluster.external).arrives(cluster.external)
        assert {seen.tap for seen in sent.received()} == {here.node.tap}


@pytest.mark.fix
def test_pods_of_all_nodes_leave_by_it(cluster: LiveCluster) -> None:
    for pod in map(cluster.pod, (HERE, ELSEWHERE)):
        sent = send_ping(cluster, pod, cluster.external)

        assert sent.arrives(cluster.external)[IP].src == EGRESS_IP
        sent.arrives(pod)
