"""Conntrack under ovs-networkpolicy: replies pass, whatever the policies say.

Tables 0, 21, 25 and 30 have flows for it that no other plugin has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP
from scapy.layers.vxlan import VXLAN

from testbed.openflow import Table
from testbed.ovs import TracedSwitch
from testbed.probe import (
    ask,
    echoing,
    send_syn,
    send_udp,
    udp_between,
)

if TYPE_CHECKING:
    from scapy.packet import Packet

    from testbed.probe import LiveCluster, Node, Pod

pytestmark = pytest.mark.plugins("networkpolicy")

ECHO = 7
LOCAL, REMOTE = "lab/client-a", "lab/client-d"
REPLY_IS_DELIVERED = "priority=200,ct_state=+rpl,ip"
ALLOW_LAB = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: default-deny
  namespace: vault
spec:
  podSelector: {}
  ingress:
  - from:
    - namespaceSelector:
        matchLabels:
          team: lab
---
apiVersion: v1
kind: Namespace
metadata:
  name: lab
  labels:
    team: lab
"""


DENY_ALL = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: default-deny
  namespace: vault
spec:
  podSelector: {}
"""


def via_tun0(node: Node, packet: Packet) -> Packet:
    """A packet as a node's kernel forwards it into br0."""
    packet.src = node.mac
    return packet


@pytest.fixture
def vault(cluster: LiveCluster) -> Pod:
    """A pod that nobody may reach, on oc-01."""
    return cluster.pod("vault/vault-0")


@pytest.mark.parametrize("server", [LOCAL, REMOTE])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_pod_that_nobody_may_reach_gets_the_answers_to_what_it_asks(
    cluster: LiveCluster, vault: Pod, server: str, protocol: str
) -> None:
    answering = cluster.pod(server)

    with echoing([answering]):
        seen_as = ask(vault, answering.ip, ECHO, "whoami", udp=protocol == "udp")

    assert seen_as.split()[0] == str(vault.ip)
    assert cluster.hits(vault.node, Table.POLICY, REPLY_IS_DELIVERED)


@pytest.mark.parametrize("server", [LOCAL, REMOTE])
def test_a_pod_that_policies_isolate_gets_answers_too(
    cluster: LiveCluster, server: str
) -> None:
    """The flow that drops what they do not allow comes after that for replies."""
    answering, db = cluster.pod(server), cluster.pod("backend/db-0")

    with echoing([answering]):
        seen_as = ask(db, answering.ip, ECHO, "whoami")

    assert seen_as.split()[0] == str(db.ip)


@pytest.mark.parametrize("server", [LOCAL, REMOTE])
def test_who_has_answered_may_still_not_ask(
    cluster: LiveCluster, vault: Pod, server: str
) -> None:
    answering = cluster.pod(server)
    with echoing([answering]):
        ask(vault, answering.ip, ECHO, "whoami")

    sent = send_syn(cluster, answering, vault, 40009, sport=ECHO)

    sent.is_dropped(vault.node, Table.POLICY)


def test_only_the_ports_of_the_question_make_an_answer(
    cluster: LiveCluster, vault: Pod
) -> None:
    peer = cluster.pod(REMOTE)
    send_udp(cluster, vault, peer, 40022, sport=40021).arrives(peer)

    send_udp(cluster, peer, vault, 40021, sport=40022).arrives(vault)

    sent = send_udp(cluster, peer, vault, 40023, sport=40022)
    sent.is_dropped(vault.node, Table.POLICY)


def test_a_reply_is_looked_up_for_nat_before_it_is_delivered(
    cluster: LiveCluster, vault: Pod
) -> None:
    """It may belong to a connection that iptables redirected from a service."""
    peer = cluster.pod(REMOTE)
    send_udp(cluster, vault, peer, 40032, sport=40031).arrives(peer)

    send_udp(cluster, peer, vault, 40031, sport=40032).arrives(vault)

    restores = f"priority=300,ct_state=+rpl,ip,nw_dst={vault.node.subnet}"
    assert cluster.hits(vault.node, Table.ROUTING, restores)
    tracks = "priority=300,ct_state=-trk,ip"
    assert cluster.hits(vault.node, Table.DISPATCH, tracks) >= 2


def test_conntrack_is_asked_to_undo_what_nat_did_to_a_reply(
    cluster: LiveCluster, vault: Pod
) -> None:
    """Traced: in the userspace datapath there is nothing that it could undo."""
    peer = cluster.pod(REMOTE)
    send_udp(cluster, vault, peer, 40034, sport=40033).arrives(peer)
    send_udp(cluster, peer, vault, 40033, sport=40034).arrives(vault)
    vnid = cluster.objects.vnid(peer.pod.namespace)
    tunnel = f"in_port=1,tun_src={peer.node.ip},tun_id={vnid}"
    traced = TracedSwitch(cluster.appctl(vault.node))

    trace = traced(
        f"{tunnel},udp,nw_src={peer.ip},nw_dst={vault.ip},udp_src=40034,udp_dst=40033",
        ct_states=("trk,est,rpl",) * 2,
    )

    assert "ct(nat)" in ",".join(bridge.datapath_actions for bridge in trace.bridges)
    assert [output.ofport for output in trace.outputs] == [vault.pod.ofport]


def test_what_stays_in_the_cluster_is_made_known_and_what_leaves_it_is_not(
    cluster: LiveCluster,
) -> None:
    pod, peer = cluster.pod(LOCAL), cluster.pod(REMOTE)
    cidr = next(cidr for cidr in cluster.objects.cidrs if peer.ip in cidr)
    commits = f"priority=200,ip,nw_dst={cidr}"

    send_udp(cluster, pod, peer, 9, sport=40041).arrives(peer)
    assert cluster.hits(pod.node, Table.FROM_POD_CONNTRACK, commits) == 1

    send_udp(cluster, pod, cluster.external, 9, sport=40041).arrives(cluster.external)
    assert cluster.hits(pod.node, Table.FROM_POD_CONNTRACK, commits) == 1
    assert cluster.hits(pod.node, Table.FROM_POD_CONNTRACK, "priority=0")


def test_a_connection_of_one_node_is_cut_when_it_is_allowed_no_more(
    cluster: LiveCluster, vault: Pod
) -> None:
    """Only its replies pass by; the other way is judged packet by packet."""
    peer = cluster.pod(LOCAL)
    cluster.apply(ALLOW_LAB)
    send_udp(cluster, peer, vault, 40052, sport=40051).arrives(vault)
    send_udp(cluster, vault, peer, 40051, sport=40052).arrives(peer)

    cluster.apply(DENY_ALL)

    sent = send_udp(cluster, peer, vault, 40052, sport=40051)
    sent.is_dropped(vault.node, Table.POLICY)


def test_a_connection_from_another_node_that_was_answered_goes_on_all_the_same(
    cluster: LiveCluster, vault: Pod
) -> None:
    """The receiver's node first hears of it by the answer, and takes it for the
    beginning: what the client sends is the reply.
    """
    peer = cluster.pod(REMOTE)
    cluster.apply(ALLOW_LAB)
    send_udp(cluster, peer, vault, 40054, sport=40053).arrives(vault)
    send_udp(cluster, vault, peer, 40053, sport=40054).arrives(peer)

    cluster.apply(DENY_ALL)

    send_udp(cluster, peer, vault, 40054, sport=40053).arrives(vault)
    assert cluster.hits(vault.node, Table.POLICY, REPLY_IS_DELIVERED)


def test_a_policy_that_is_changed_lets_the_answers_of_old_connections_pass(
    cluster: LiveCluster,
) -> None:
    peer = cluster.pod(REMOTE)
    send_udp(cluster, peer, cluster.pod(LOCAL), 40062, sport=40061)
    cluster.apply("""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: default-deny
  namespace: lab
spec:
  podSelector: {}
""")
    local = cluster.pod(LOCAL)

    send_udp(cluster, local, peer, 40061, sport=40062).arrives(peer)


def test_what_kube_proxy_returns_to_br0_gets_its_senders_vnid_back(
    cluster: LiveCluster,
) -> None:
    """A pod's packet to a service comes back with the address of an endpoint."""
    pod, endpoint = cluster.pod(LOCAL), cluster.pod("backend/syslog-0")
    packet = via_tun0(pod.node, udp_between(pod, endpoint, 514, sport=40071))

    sent = cluster.send(pod.node, packet)

    sent.arrives(endpoint)
    vnid = cluster.objects.vnid("lab")
    assert sent.crosses(pod.node.wire)[VXLAN].vni == vnid


def test_what_kube_proxy_returns_to_br0_meets_the_policies_of_the_endpoint(
    cluster: LiveCluster, vault: Pod
) -> None:
    pod = cluster.pod(REMOTE)
    packet = via_tun0(pod.node, udp_between(pod, vault, 8200, sport=40081))

    sent = cluster.send(pod.node, packet)

    sent.is_dropped(vault.node, Table.POLICY)


def test_what_tun0_returns_from_an_address_that_no_pod_has_is_dropped(
    cluster: LiveCluster,
) -> None:
    pod = cluster.pod(LOCAL)
    packet = via_tun0(pod.node, udp_between(pod, cluster.pod(REMOTE), 9, sport=40091))
    packet[IP].src = str(cluster.unused_ip(pod.node))

    sent = cluster.send(pod.node, packet)

    sent.is_dropped(pod.node, Table.FROM_POD_VIA_SERVICE)


def test_what_a_pod_sends_to_a_service_reaches_the_endpoint_with_its_own_address(
    cluster: LiveCluster,
) -> None:
    """Else policies, which are about senders, could not tell."""
    pod, endpoint = cluster.pod(REMOTE), cluster.pod("backend/syslog-0")
    ip = cluster.service("backend/syslog").cluster_ip
    assert ip is not None

    sent = send_udp(cluster, pod, ip, 514, sport=40111)

    assert sent.arrives(endpoint)[IP].src == str(pod.ip)
    assert cluster.hits(pod.node, Table.IP_TO_SERVICE, "priority=200") == 1
    returned = f"priority=100,ip,nw_src={pod.ip}"
    assert cluster.hits(pod.node, Table.FROM_POD_VIA_SERVICE, returned) == 1


def test_policies_are_about_the_endpoints_of_a_service_not_about_its_address(
    cluster: LiveCluster,
) -> None:
    batch, db = cluster.pod("backend/batch-1-zt6vd"), cluster.pod("backend/db-0")
    ip = cluster.service("backend/db").cluster_ip
    assert ip is not None
    vnid = cluster.objects.vnid("backend")

    sent = send_syn(cluster, batch, ip, 5432, sport=40121)

    isolates = f"priority=100,ip,reg1={vnid:#x},nw_dst={db.ip}"
    assert list(sent.drops()) == [(db.node.name, Table.POLICY, isolates)]
    cluster.recorder.settle()
    assert [seen.tap for seen in sent.received()] == [batch.node.tap]


@pytest.mark.usefixtures("shared_conntrack")
@pytest.mark.parametrize("client", ["lab/client-c", REMOTE, "vault/vault-0"])
def test_the_endpoint_of_a_service_answers_with_the_services_address(
    cluster: LiveCluster, client: str
) -> None:
    pod, endpoint = cluster.pod(client), cluster.pod("backend/syslog-0")
    ip = cluster.service("backend/syslog").cluster_ip
    assert ip is not None

    with echoing([endpoint], [514]):
        seen_as = ask(pod, ip, 514, "whoami")

    assert seen_as.split()[0] == str(pod.ip)


@pytest.mark.usefixtures("shared_conntrack")
def test_a_pod_that_nobody_may_reach_gets_answers_from_outside(
    cluster: LiveCluster, vault: Pod
) -> None:
    """The host knows the connection, which br0 did not commit."""
    seen_as = ask(vault, cluster.external.ip, ECHO, "whoami")

    assert seen_as.split()[0] == str(vault.node.ip)
