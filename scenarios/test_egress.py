"""Tables 100 and 101: DNS to the node, and the way out through its kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, TCP, UDP

from testbed.host.dns import service_name
from testbed.openflow import Table
from testbed.patience import patience
from testbed.probe import arp_request, ip_between, send_syn

if TYPE_CHECKING:
    from scapy.packet import Packet

    from testbed.model import Service
    from testbed.probe import LiveCluster, Pod

pytestmark = pytest.mark.plugins("subnet", "multitenant", "networkpolicy")

ECHO = 7
GETENT = ("timeout", f"{patience(3):g}", "getent", "ahostsv4")
"""Resolves a name as programs do; glibc alone would wait for much longer."""


@pytest.fixture
def service(cluster: LiveCluster) -> Service:
    return next(s for s in cluster.objects.services if s.cluster_ip is not None)


def test_a_pod_that_sends_vxlan_is_dropped(cluster: LiveCluster, pod: Pod) -> None:
    packet = ip_between(pod, cluster.external) / UDP(
        sport=40009, dport=pod.node.vxlan_port
    )

    sent = cluster.send(pod, packet)

    sent.is_dropped(
        pod.node,
        Table.EGRESS_ROUTING,
        f"priority=300,udp,tp_dst={pod.node.vxlan_port}",
    )


def test_a_pod_that_sends_vxlan_to_another_node_is_dropped(
    cluster: LiveCluster, pod: Pod, remote: Pod
) -> None:
    packet = ip_between(pod, remote.node.ip) / UDP(
        sport=40009, dport=pod.node.vxlan_port
    )

    sent = cluster.send(pod, packet)

    sent.is_dropped(
        pod.node,
        Table.EGRESS_ROUTING,
        f"priority=300,udp,tp_dst={pod.node.vxlan_port}",
    )


def test_the_nodes_dnsmasq_answers_a_pod_over_udp(
    cluster: LiveCluster, pod: Pod, service: Service
) -> None:
    question = DNS(rd=1, qd=DNSQR(qname=service_name(service)))
    # A node that had to look for the pod would do it from its own address, in vain.
    cluster.send(pod, arp_request(pod, pod.node.gateway)).arrives(pod.node)

    sent = cluster.send(
        pod, ip_between(pod, pod.node.ip) / UDP(sport=40053, dport=53) / question
    )

    def answers(packet: Packet) -> bool:
        return DNS in packet and bool(packet[DNS].an)

    answer = sent.is_answered(answers)
    assert answer[IP].src == str(pod.node.ip)
    assert answer[DNS].an[0].rdata == str(service.cluster_ip)


def test_the_nodes_dnsmasq_answers_a_pod_over_tcp(
    cluster: LiveCluster, pod: Pod, service: Service
) -> None:
    name = service_name(service)

    answer = pod.run("env", "RES_OPTIONS=use-vc", *GETENT, name)

    assert answer.split()[0] == str(service.cluster_ip)
    to_dns = f"priority=200,tcp,nw_dst={pod.node.ip},tp_dst=53"
    assert cluster.hits(pod.node, Table.EGRESS_ROUTING, to_dns)


def test_a_pod_resolves_a_node_by_the_resolv_conf_it_was_given(
    cluster: LiveCluster, pod: Pod, remote: Pod
) -> None:
    answer = pod.run(*GETENT, remote.node.name)

    assert answer.split()[0] == str(remote.node.ip)
    to_dns = f"priority=200,udp,nw_dst={pod.node.ip},tp_dst=53"
    assert cluster.hits(pod.node, Table.EGRESS_ROUTING, to_dns)


def test_udp_leaves_with_the_nodes_address_and_the_reply_comes_back(
    cluster: LiveCluster, pod: Pod
) -> None:
    packet = ip_between(pod, cluster.external) / UDP(sport=40007, dport=ECHO)

    sent = cluster.send(pod, packet)

    assert sent.arrives(cluster.external)[IP].src == str(pod.node.ip)
    reply = sent.arrives(pod)
    assert (reply[IP].src, reply[IP].dst) == (str(cluster.external.ip), str(pod.ip))


def test_tcp_leaves_with_the_nodes_address_and_the_reply_comes_back(
    cluster: LiveCluster, pod: Pod
) -> None:
    with pod.connect(cluster.external.ip, ECHO) as connection:
        connection.sendall(b"whoami")
        seen_as = connection.recv(100).decode().split()[0]

    assert seen_as == str(pod.node.ip)


def test_a_segment_that_belongs_to_no_connection_is_not_forwarded(
    cluster: LiveCluster, pod: Pod
) -> None:
    """The host would not translate it: it would leave with the pod's own address."""
    reset = ip_between(pod, cluster.external) / TCP(sport=40071, dport=80, flags="R")

    sent = cluster.send(pod, reset)

    sent.arrives(pod.node)
    send_syn(cluster, pod, cluster.external, 80).arrives(cluster.external)
    cluster.recorder.settle()
    assert {seen.tap for seen in sent.received()} == {pod.node.tap}


def test_the_way_out_passes_the_egress_network_policys_table(
    cluster: LiveCluster, pod: Pod
) -> None:
    packet = ip_between(pod, cluster.external) / UDP(sport=40009, dport=9)

    cluster.send(pod, packet).arrives(cluster.external)

    assert cluster.hits(pod.node, Table.EGRESS_NETWORK_POLICY, "priority=0")


def test_a_pod_reaches_another_nodes_own_address_through_its_nodes_kernel(
    cluster: LiveCluster, pod: Pod, remote: Pod
) -> None:
    packet = ip_between(pod, remote.node.ip) / UDP(sport=40009, dport=9)

    sent = cluster.send(pod, packet)

    assert sent.crosses(remote.node.wire)[IP].src == str(pod.node.ip)
