"""A pod reaches the pods of every tenant by VXLAN of its own making.

Reference: BZ1643965, openshift/origin#21363, openshift/origin#21377
Family: VXLAN
Symptom: None that an administrator would see: a pod that wants to gets into other
    projects.
Mechanism: A pod sends VXLAN to another node's address, with any VNID inside. Its own
    node masquerades it on the way out, so that it comes from a node's address, and
    table 10 of the other lets it in. The VNID in a VXLAN header is believed.
Fixed in: An early 3.11.z, by openshift/origin#21376: table 100 drops UDP 4789 from
    pods.
Diagnosis: A node whose table 100 lacks the flow that drops VXLAN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.vxlan import VXLAN

from testbed.faults import FlowDeleted
from testbed.openflow import Table
from testbed.probe import ip_between, send_udp, udp_between

if TYPE_CHECKING:
    from scapy.packet import Packet

    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("multitenant")

ATTACKER, VICTIM, FORGED = "build/maven-7-build", "shop/db-0", "shop/web-1-k9s5c"


def smuggled(cluster: LiveCluster) -> Packet:
    """A packet of one project in a tunnel that a pod of another has made."""
    attacker, victim, forged = map(cluster.pod, (ATTACKER, VICTIM, FORGED))
    outer = ip_between(attacker, victim.node.ip)
    tunnel = UDP(sport=40015, dport=victim.node.vxlan_port)
    vnid = cluster.objects.vnid("shop")
    # Not scapy's flags, which are VXLAN-GPE's: Linux drops those.
    header = VXLAN(vni=vnid, flags="Instance")
    return outer / tunnel / header / udp_between(forged, victim)


@pytest.mark.symptom
def test_another_projects_pod_receives_what_was_smuggled(cluster: LiveCluster) -> None:
    """What the attacker sends it openly is dropped as another tenant's."""
    attacker, victim = cluster.pod(ATTACKER), cluster.pod(VICTIM)
    unguarded = FlowDeleted(
        node=attacker.node.name,
        table=Table.EGRESS_ROUTING,
        selector=f"priority=300,udp,tp_dst={attacker.node.vxlan_port}",
    )
    with cluster.broken(unguarded):
        sent = cluster.send(attacker, smuggled(cluster))

        sent.arrives(victim)
        assert sent.crosses(victim.node.wire)[IP].src == str(attacker.node.ip)
        openly = send_udp(cluster, attacker, victim)
        openly.is_dropped(victim.node, Table.POLICY)


@pytest.mark.fix
def test_what_was_to_be_smuggled_is_dropped_where_it_comes_from(
    cluster: LiveCluster,
) -> None:
    attacker = cluster.pod(ATTACKER)

    sent = cluster.send(attacker, smuggled(cluster))

    vxlan = f"priority=300,udp,tp_dst={attacker.node.vxlan_port}"
    sent.is_dropped(attacker.node, Table.EGRESS_ROUTING, vxlan)
