"""A pod of one tenant cuts off the pods of another by ARP.

Reference: BZ1311702, openshift/origin#7765, openshift/openshift-sdn#231
Family: ARP
Symptom: Connections between pods of one project time out when a pod of another project
    claims their addresses.
Mechanism: ARP is not isolated by VNID: every pod hears who asks for it. Table 20 did
    not check what pods say of themselves, so a pod could ask in the name of another
    address, and whoever was asked remembered the asker's MAC for it. Now ARP must come
    from the pod's own address, and with the MAC that goes with it.
Fixed in: Before 3.11 was released: table 20 matches arp_spa and arp_sha.
Diagnosis: A flow of table 20 for ARP without arp_spa and arp_sha.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import ICMP
from scapy.layers.l2 import ARP, Ether

from testbed.gallery.remains import OlderFlow
from testbed.openflow import Table
from testbed.probe import arp_request, ip_between

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scapy.packet import Packet

    from testbed.probe import LiveCluster, Pod

pytestmark = pytest.mark.plugins("multitenant")

ATTACKER, VICTIM, PEER = "ci/jenkins-1-b7d2n", "shop/db-0", "shop/web-1-k9s5c"


@contextmanager
def unchecked(cluster: LiveCluster, pod: Pod) -> Iterator[None]:
    """Have table 20 let ARP of the pod pass, whatever it says."""
    port = f"in_port={pod.pod.ofport}"
    now = next(
        item.flow.selector
        for item in pod.node.switch.dump_flows()
        if item.flow.table == Table.FROM_POD and {"arp", port} <= {*item.flow.match}
    )
    older = OlderFlow(
        node=pod.node.name,
        table=Table.FROM_POD,
        selector=now,
        older=f"priority=100,arp,{port}",
    )
    with cluster.broken(older):
        yield


def lie(attacker: Pod, victim: Pod, peer: Pod) -> Packet:
    """A question to the victim, as if the peer asked and had the attacker's MAC."""
    question = arp_request(attacker, victim.ip)
    question[ARP].psrc = str(peer.ip)
    return question


def forget(pod: Pod, other: Pod) -> None:
    """Have a pod know nothing of another, as when it has just started."""
    known = json.loads(pod.run("ip", "-json", "neigh", "show", str(other.ip)))
    if known:
        pod.run("ip", "neigh", "del", str(other.ip), "dev", "eth0")


@pytest.mark.symptom
def test_the_victim_remembers_the_attackers_mac_for_its_peer(
    cluster: LiveCluster,
) -> None:
    """And its peer's kernel ignores what it sends there."""
    attacker, victim, peer = map(cluster.pod, (ATTACKER, VICTIM, PEER))
    forget(victim, peer)
    try:
        with unchecked(cluster, attacker):
            sent = cluster.send(attacker, lie(attacker, victim, peer))
            sent.arrives(victim)

            known = json.loads(victim.run("ip", "-json", "neigh", "show", str(peer.ip)))

        assert [entry["lladdr"] for entry in known] == [attacker.mac]
        ping = ip_between(victim, peer) / ICMP(id=103)
        ping[Ether].dst = attacker.mac
        ignored = cluster.send(victim, ping)
        cluster.send(victim, ip_between(victim, peer) / ICMP(id=104)).arrives(victim)
        ignored.arrives(peer)
        assert victim.tap not in {seen.tap for seen in ignored.received()}
    finally:
        forget(victim, peer)


@pytest.mark.fix
def test_the_lie_is_dropped_where_it_is_told(cluster: LiveCluster) -> None:
    attacker, victim, peer = map(cluster.pod, (ATTACKER, VICTIM, PEER))

    sent = cluster.send(attacker, lie(attacker, victim, peer))

    sent.is_dropped(attacker.node, Table.FROM_POD)
