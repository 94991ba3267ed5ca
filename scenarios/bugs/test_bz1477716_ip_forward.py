"""Pods reach each other and nothing outside.

Reference: BZ1477716, BZ1495105
Family: forwarding
Symptom: Pods reach pods, on all nodes, and services; from one node nothing reaches the
    outside, and host ports of its pods are dead.
Mechanism: What leaves the cluster leaves br0 by tun0, and the node's kernel must
    forward it. net.ipv4.ip_forward was 0: another program had set it so when it
    reloaded its sysctls. The SDN sets none.
Fixed in: Before 3.11 was released: the SDN refuses to start where it is 0; what happens
    later it does not notice.
Diagnosis: A node with net.ipv4.ip_forward = 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.faults import IpForwardOff
from testbed.probe import send_udp

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("multitenant")

POD, BESIDE, ELSEWHERE = "shop/db-0", "shop/checkout-3-x6tlf", "shop/web-1-vh3rj"


@pytest.mark.symptom
def test_what_leaves_comes_to_the_nodes_kernel_and_no_further(
    cluster: LiveCluster,
) -> None:
    """Its pods still reach each other, and pods elsewhere."""
    pod, beside, elsewhere = map(cluster.pod, (POD, BESIDE, ELSEWHERE))
    outside = cluster.external
    with cluster.broken(IpForwardOff(node=pod.node.name)):
        sent = send_udp(cluster, pod, outside)

        sent.arrives(pod.node)
        send_udp(cluster, pod, beside).arrives(beside)
        send_udp(cluster, pod, elsewhere).arrives(elsewhere)
        send_udp(cluster, elsewhere, outside).arrives(outside)
        cluster.recorder.settle()
        assert {seen.tap for seen in sent.received()} == {pod.node.tap}


@pytest.mark.fix
def test_what_leaves_arrives(cluster: LiveCluster) -> None:
    pod, outside = cluster.pod(POD), cluster.external

    send_udp(cluster, pod, outside).arrives(outside)
