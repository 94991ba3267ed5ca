"""Addresses that are no multicast are dropped as multicast.

Reference: BZ1420032
Family: multicast
Symptom: Pods cannot reach 240.0.0.0/4, which some networks use inside.
Mechanism: Multicast is 224.0.0.0/4; table 30 (and table 0, for tun0) matched
    224.0.0.0/3, which is twice as much, and sent it all to table 110.
Fixed in: Before 3.11 was released.
Diagnosis: A flow of table 30 with nw_dst=224.0.0.0/3.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from testbed.gallery.remains import OlderFlow
from testbed.openflow import Table
from testbed.probe import send_udp

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("multitenant")

SENDER = "ci/jenkins-1-b7d2n"
BEYOND = IPv4Address("240.0.0.1")


@pytest.mark.symptom
def test_an_address_above_the_range_is_dropped_as_multicast(
    cluster: LiveCluster,
) -> None:
    pod = cluster.pod(SENDER)
    with cluster.broken(
        OlderFlow(
            node=pod.node.name,
            table=Table.ROUTING,
            selector="priority=25,ip,nw_dst=224.0.0.0/4",
            older="priority=25,ip,nw_dst=224.0.0.0/3",
        )
    ):
        sent = send_udp(cluster, pod, BEYOND)

        sent.is_dropped(pod.node, Table.MULTICAST_FROM_POD)


@pytest.mark.fix
def test_an_address_above_the_range_leaves_by_the_nodes_kernel(
    cluster: LiveCluster,
) -> None:
    pod = cluster.pod(SENDER)

    sent = send_udp(cluster, pod, BEYOND)

    sent.arrives(pod.node)
