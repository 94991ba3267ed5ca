"""A project that denies all egress resolves no names.

Reference: BZ1458849, openshift/origin#14924, openshift/origin#19279
Family: DNS
Symptom: An EgressNetworkPolicy allows a few servers by name and denies the rest. Pods
    do not even reach those: they cannot resolve their names.
Mechanism: Pods ask the dnsmasq of their own node, at the node's address. That is
    outside of the cluster network, so it is egress, and table 101 denied it. Now table
    100 has flows for port 53 of the own node, before egress IPs and policies.
Fixed in: Before 3.11 was released.
Diagnosis: A node whose table 100 lacks the flows for tp_dst=53.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest
from scapy.layers.dns import DNS, DNSQR

from testbed.faults import FlowDeleted
from testbed.openflow import Table
from testbed.probe import arp_request, send_syn, send_udp, udp_between

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.probe import LiveCluster, Node

pytestmark = pytest.mark.plugins("multitenant")

POD, ALLOWED = "bank/api-2-m4xjt", "partner.example.com"


@contextmanager
def without_dns(cluster: LiveCluster, node: Node) -> Iterator[None]:
    """Have the node's table 100 know nothing of DNS."""
    with ExitStack() as stack:
        for protocol in ("udp", "tcp"):
            selector = f"priority=200,{protocol},nw_dst={node.ip},tp_dst=53"
            table = Table.EGRESS_ROUTING
            deleted = FlowDeleted(node=node.name, table=table, selector=selector)
            stack.enter_context(cluster.broken(deleted))
        yield


@pytest.mark.symptom
def test_questions_to_the_own_node_are_denied(cluster: LiveCluster) -> None:
    """By the policy's last rule, as all that it does not allow."""
    pod = cluster.pod(POD)
    denies = f"priority=1,ip,reg0={cluster.objects.vnid('bank'):#x}"
    with without_dns(cluster, pod.node):
        for send in (send_udp, send_syn):
            sent = send(cluster, pod, pod.node.ip, 53)

            sent.is_dropped(pod.node, Table.EGRESS_NETWORK_POLICY, denies)


@pytest.mark.fix
def test_names_are_resolved(cluster: LiveCluster) -> None:
    pod, question = cluster.pod(POD), DNS(rd=1, qd=DNSQR(qname=ALLOWED))
    # A node that had to look for the pod would do it from its own address, in vain.
    cluster.send(pod, arp_request(pod, pod.node.gateway)).arrives(pod.node)

    sent = cluster.send(pod, udp_between(pod, pod.node.ip, 53) / question)

    answer = sent.is_answered(lambda frame: DNS in frame and bool(frame[DNS].an))
    assert answer[DNS].an[0].rdata == str(cluster.external_hosts[0].ip)
