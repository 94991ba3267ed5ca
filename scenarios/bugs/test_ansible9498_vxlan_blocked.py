"""Pods of different nodes cannot talk, pods of one node can.

Reference: openshift/openshift-ansible#9498, openshift/openshift-sdn#62,
    openshift/origin#10718, openshift/origin#14713
Family: VXLAN
Symptom: Pods resolve nothing and reach no service whose endpoints are elsewhere;
    everything on the same node works, and so do the nodes among themselves.
Mechanism: A firewall (the nodes' own, or a security group of the cloud) does not let
    UDP 4789 pass. VXLAN has no answer by which a sender could tell; packets leave and
    do not arrive.
Fixed in: By configuration: nodes must let UDP 4789 of each other in.
Diagnosis: A rule that drops UDP 4789; a table 10 that never counted a packet of a peer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.vxlan import VXLAN

from testbed.faults import VxlanBlocked
from testbed.faults.tunnel import Direction
from testbed.probe import ask, echoing, send_udp

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("multitenant")

INSIDE, BESIDE, ELSEWHERE = "shop/db-0", "shop/checkout-3-x6tlf", "shop/web-1-vh3rj"


@pytest.mark.symptom
def test_vxlan_comes_to_the_node_and_not_into_it(cluster: LiveCluster) -> None:
    """Its own pods reach each other, and nodes reach it."""
    inside, beside, elsewhere = map(cluster.pod, (INSIDE, BESIDE, ELSEWHERE))
    blocked = VxlanBlocked(node=inside.node.name, direction=Direction.IN)
    with cluster.broken(blocked):
        sent = send_udp(cluster, elsewhere, inside)

        assert VXLAN in sent.crosses(inside.node.wire)
        send_udp(cluster, beside, inside).arrives(inside)
        with echoing([inside.node], [7777]):
            assert ask(elsewhere.node, inside.node.ip, 7777, "hello") == "hello"
        cluster.recorder.settle()
        assert not sent.received()


@pytest.mark.fix
def test_where_vxlan_is_let_in_it_is_delivered(cluster: LiveCluster) -> None:
    inside, elsewhere = cluster.pod(INSIDE), cluster.pod(ELSEWHERE)

    send_udp(cluster, elsewhere, inside).arrives(inside)
