"""Large packets between nodes are lost inside the SDN.

Reference: BZ1564346, openshift/origin#19372
Family: MTU
Symptom: A node without pods reaches other nodes' SDN addresses, and pods, with small
    packets only. Transfers hang.
Mechanism: tun0 must be 50 bytes smaller than the nodes' network, the size of a VXLAN
    header. Its MTU was set once, and Open vSwitch set it back to 1500 when br0 had no
    other port that is smaller. What fits into 1500 does not fit when it has its header.
Fixed in: Before 3.11 was released: the MTU is requested of Open vSwitch (mtu_request).
Diagnosis: A tun0 whose MTU is more than eth0's less 50.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.packet import Raw

from testbed.faults import MtuDrifted
from testbed.probe import ip_between
from testbed.probe.packets import marked

if TYPE_CHECKING:
    from scapy.packet import Packet

    from testbed.probe import LiveCluster, Node

pytestmark = pytest.mark.plugins("networkpolicy")

SENDER, RECEIVER = "oc-04", "oc-01"
DRIFTED = 1500


def ping(sender: Node, receiver: Node, size: int, number: int) -> Packet:
    """One that is a whole IP packet of that size, once it has its mark."""
    headers = ip_between(sender, receiver.gateway) / ICMP(id=number)
    complete, _ = marked(headers)
    return headers / Raw(bytes(size - len(complete[IP])))


@pytest.mark.symptom
def test_a_packet_as_large_as_tun0_says_does_not_get_onto_the_wire(
    cluster: LiveCluster,
) -> None:
    """One that fits with its header arrives."""
    sender, receiver = cluster.node(SENDER), cluster.node(RECEIVER)
    right = cluster.objects.underlay.mtu
    with cluster.broken(MtuDrifted(node=sender.name, device="tun0", mtu=DRIFTED)):
        large = cluster.send(sender, ping(sender, receiver, DRIFTED, 401))
        small = cluster.send(sender, ping(sender, receiver, right, 402))

        small.arrives(sender)
        cluster.recorder.settle()
        assert not large.crossings(receiver.wire)


@pytest.mark.fix
def test_a_large_packet_is_sent_in_parts_and_answered(cluster: LiveCluster) -> None:
    sender, receiver = cluster.node(SENDER), cluster.node(RECEIVER)
    size = str(DRIFTED - 28)

    said = sender.run("ping", "-c1", "-W3", "-s", size, str(receiver.gateway))

    assert " 0% packet loss" in said
