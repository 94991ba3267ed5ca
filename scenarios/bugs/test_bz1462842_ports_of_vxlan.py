"""A node that uses another VXLAN port than the rest is alone.

Reference: BZ1462842, BZ1776141
Family: VXLAN
Symptom: After the cluster's VXLAN port was changed (NSX-T uses 4789 itself), pods of
    nodes that were not restarted reach no pod of the others.
Mechanism: ClusterNetwork's vxlanPort becomes vxlan0's dst_port when the SDN of a node
    starts. A tunnel's two ends must have the same; to all others, packets for another
    port are no VXLAN.
Fixed in: By configuration: all nodes must be restarted when the port is changed.
Diagnosis: vxlan0 with another dst_port than ClusterNetwork's vxlanPort.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import UDP

from testbed.faults import VxlanPortWrong
from testbed.probe import send_udp

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("multitenant")

ALONE, NEIGHBOUR, ELSEWHERE = (
    "build/gradle-3-build",
    "monitoring/alertmanager-0",
    "ci/jenkins-1-b7d2n",
)
OLD = 8472


@pytest.mark.symptom
def test_packets_cross_the_wire_and_are_no_vxlan_at_the_other_end(
    cluster: LiveCluster,
) -> None:
    """Two nodes that have the same port reach each other."""
    alone, elsewhere = cluster.pod(ALONE), cluster.pod(ELSEWHERE)
    witness = cluster.pod(NEIGHBOUR)
    with cluster.broken(VxlanPortWrong(node=alone.node.name, port=OLD)):
        there = send_udp(cluster, alone, elsewhere)
        back = send_udp(cluster, elsewhere, alone)

        assert there.crosses(elsewhere.node.wire)[UDP].dport == OLD
        assert back.crosses(alone.node.wire)[UDP].dport == alone.node.vxlan_port
        send_udp(cluster, elsewhere, witness).arrives(witness)
        cluster.recorder.settle()
        assert not there.received()
        assert not back.received()


@pytest.mark.fix
def test_with_one_port_everywhere_both_ways_are_open(cluster: LiveCluster) -> None:
    alone, elsewhere = cluster.pod(ALONE), cluster.pod(ELSEWHERE)

    send_udp(cluster, alone, elsewhere).arrives(elsewhere)
    send_udp(cluster, elsewhere, alone).arrives(alone)
