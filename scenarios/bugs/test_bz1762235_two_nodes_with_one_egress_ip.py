"""Two nodes answer for one egress IP.

Reference: BZ1762235, openshift/origin#24161, BZ1753216, BZ1787488
Family: egress IP
Symptom: Every other connection of a namespace hangs: it leaves by its egress IP, and
    the answer does not come back.
Mechanism: An egress IP was given to another node while the SDN of the first was down.
    When that came up it knew nothing of an address to be taken away. Both nodes answer
    ARP for it; where the gateway believes the wrong one, answers get to a node that has
    no such connection.
Fixed in: A later 3.11.z, by openshift/origin#24161, for the address; leftover iptables
    rules in 4.x.
Diagnosis: An egress IP on eth0 of a node whose HostSubnet does not have it.
"""

from __future__ import annotations

from functools import partial
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import ARP, Ether

from testbed.faults import EgressIpStale
from testbed.probe import arp_request, send_ping

if TYPE_CHECKING:
    from scapy.packet import Packet

    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("networkpolicy")

SENDER, EGRESS_NODE, FORMER = "payments/gateway-1-v7d2c", "oc-02", "oc-03.test"
EGRESS_IP = IPv4Address("172.16.1.102")
IS_AT = 2


def is_answer(frame: Packet, ip: IPv4Address, mac: str = "") -> bool:
    """Whether a frame says who has an address, or that this MAC has it."""
    return bool(
        ARP in frame
        and frame[ARP].op == IS_AT
        and frame[ARP].psrc == str(ip)
        and mac in (frame[ARP].hwsrc, "")
    )


def who_answers(cluster: LiveCluster) -> set[str]:
    """The MACs that claim the egress IP, as somebody on the wire hears them."""
    rogue = cluster.rogue
    for node in cluster.nodes:
        # All nodes hear the first question before this one hears the second.
        cluster.send(rogue, arp_request(rogue, EGRESS_IP))
        own = cluster.send(rogue, arp_request(rogue, node.ip))
        own.is_answered(partial(is_answer, ip=node.ip, mac=node.wire_mac))
    heard = [
        Ether(seen.frame)
        for seen in cluster.recorder.sightings()
        if seen.tap is rogue.tap and not seen.sent
    ]
    return {
        frame[ARP].hwsrc
        for frame in heard
        if frame.dst == rogue.mac and is_answer(frame, EGRESS_IP)
    }


@pytest.mark.symptom
def test_two_nodes_answer_for_it_and_answers_get_to_the_one_that_announced_it_last(
    cluster: LiveCluster,
) -> None:
    """And not to the pod."""
    pod = cluster.pod(SENDER)
    holder, former = cluster.node(EGRESS_NODE), cluster.node(FORMER)
    # The gateway must know the address already: announcements change what is known.
    send_ping(cluster, pod, cluster.external).arrives(pod)
    with cluster.broken(EgressIpStale(node=FORMER, ip=EGRESS_IP)):
        announced = cluster.recorder.wait_for(
            lambda seen: (
                seen.tap is cluster.rogue.tap
                and is_answer(Ether(seen.frame), EGRESS_IP, former.wire_mac)
            ),
            timeout=cluster.patience,
        )
        assert announced is not None
        sent = send_ping(cluster, pod, cluster.external)

        assert sent.arrives(cluster.external)[IP].src == str(EGRESS_IP)
        assert sent.crosses(former.wire)[IP].dst == str(EGRESS_IP)
        assert pod.tap not in {seen.tap for seen in sent.received()}
        assert who_answers(cluster) == {holder.wire_mac, former.wire_mac}


@pytest.mark.fix
def test_one_node_answers_and_the_pod_gets_its_answer(cluster: LiveCluster) -> None:
    pod, holder = cluster.pod(SENDER), cluster.node(EGRESS_NODE)

    assert who_answers(cluster) == {holder.wire_mac}
    send_ping(cluster, pod, cluster.external).arrives(pod)
