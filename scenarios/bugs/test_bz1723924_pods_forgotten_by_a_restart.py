"""After a restart of the SDN, host ports refuse and multicast reaches new pods only.

Reference: BZ1723924, openshift/origin#23522
Family: restart
Symptom: The SDN's pod of a node was restarted. From the next pod that starts on the
    node on, host ports of older pods refuse connections, and older pods hear no
    multicast.
Mechanism: The SDN keeps the node's running pods in memory and wrote KUBE-HOSTPORTS and
    the list of table 120 from there. After a restart the list was empty, so both were
    written anew without the pods that ran already.
Fixed in: A later 3.11.z, by openshift/origin#23522.
Diagnosis: A node whose KUBE-HOSTPORTS lacks a running pod, or whose table 120 does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from testbed.faults import FlowChanged, RuleDeleted
from testbed.openflow import Table
from testbed.probe import ask, echoing

if TYPE_CHECKING:
    from scapy.packet import Packet

    from testbed.probe import LiveCluster, Pod

pytestmark = pytest.mark.plugins("multitenant")

SERVER, HOST_PORT = "bank/ledger-0", 1521
SPEAKER, OLDER = "shop/web-1-4wq8n", "shop/db-0"
NEWER = """
apiVersion: v1
kind: Pod
metadata: {name: newcomer, namespace: shop}
spec: {nodeName: oc-04.test}
"""


def multicast(pod: Pod) -> Packet:
    return Ether(src=pod.mac) / IP(src=str(pod.ip), dst="239.255.0.2") / UDP(dport=9)


@pytest.mark.symptom
def test_the_host_port_of_a_pod_that_ran_already_refuses(cluster: LiveCluster) -> None:
    """The pod itself answers."""
    server = cluster.pod(SERVER)
    forgotten = RuleDeleted(
        node=server.node.name, table="nat", rule="-A KUBE-HOSTPORTS -p tcp"
    )
    with cluster.broken(forgotten), echoing([server], [HOST_PORT]):
        assert ask(server.node, server.ip, HOST_PORT, "hello") == "hello"
        with pytest.raises(ConnectionRefusedError):
            ask(cluster.external, server.node.ip, HOST_PORT, "hello")


@pytest.mark.symptom
def test_multicast_reaches_the_newcomer_and_not_who_was_there_before(
    cluster: LiveCluster,
) -> None:
    speaker, older = cluster.pod(SPEAKER), cluster.pod(OLDER)
    cluster.apply(NEWER)
    newer = cluster.pod("shop/newcomer")
    forgotten = FlowChanged(
        node=older.node.name,
        table=Table.MULTICAST_TO_LOCAL_PODS,
        selector=f"priority=100,reg0={cluster.objects.vnid('shop'):#x}",
        actions=f"output:{newer.pod.ofport}",
    )
    with cluster.broken(forgotten):
        sent = cluster.send(speaker, multicast(speaker))

        sent.arrives(newer)
        cluster.send(speaker, multicast(speaker)).arrives(newer)
        assert older.tap not in {seen.tap for seen in sent.received()}


@pytest.mark.fix
def test_the_host_port_of_a_pod_answers(cluster: LiveCluster) -> None:
    server = cluster.pod(SERVER)

    with echoing([server], [HOST_PORT]):
        assert ask(cluster.external, server.node.ip, HOST_PORT, "hello") == "hello"


@pytest.mark.fix
def test_multicast_reaches_both(cluster: LiveCluster) -> None:
    speaker = cluster.pod(SPEAKER)
    cluster.apply(NEWER)

    sent = cluster.send(speaker, multicast(speaker))

    sent.arrives(cluster.pod("shop/newcomer"))
    sent.arrives(cluster.pod(OLDER))
