"""Table 80 under ovs-multitenant: who has another VNID is another tenant.

VNID 0 is everybody's friend. Services are judged where they are asked for, pods where
they are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.vxlan import VXLAN

from testbed.model import Protocol
from testbed.openflow import Table
from testbed.probe import (
    arp_request,
    ask,
    echoing,
    ip_between,
    send_udp,
    udp_between,
    vxlan,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from scapy.packet import Packet

    from testbed.probe import LiveCluster, Pod, Sent

pytestmark = pytest.mark.plugins("multitenant")

CHANGE = "pod.network.openshift.io/multitenant.change-network"


@dataclass(frozen=True, slots=True)
class Tenants:
    """Which VNID a pod has, and whom it finds by that."""

    cluster: LiveCluster

    def vnid(self, pod: Pod) -> int:
        return self.cluster.objects.vnid(pod.pod.namespace)

    def pod(self, wanted: Callable[[Pod], bool]) -> Pod:
        return next(pod for pod in self.cluster.pods if wanted(pod))


@pytest.fixture
def tenants(cluster: LiveCluster) -> Tenants:
    return Tenants(cluster)


@pytest.fixture
def stranger(tenants: Tenants, pod: Pod) -> Pod:
    """A pod of another tenant on the same node."""
    return tenants.pod(
        lambda p: p.node == pod.node and tenants.vnid(p) not in (0, tenants.vnid(pod))
    )


@pytest.fixture
def remote_stranger(tenants: Tenants, pod: Pod, stranger: Pod) -> Pod:
    """A pod of that tenant on another node."""
    return tenants.pod(
        lambda p: p.node != pod.node and p.pod.namespace == stranger.pod.namespace
    )


@pytest.fixture
def friends(tenants: Tenants) -> tuple[Pod, Pod]:
    """Two pods of namespaces that were joined, on two nodes."""
    return next(
        (one, other)
        for one in tenants.cluster.pods
        for other in tenants.cluster.pods
        if one.pod.namespace != other.pod.namespace
        and one.node != other.node
        and tenants.vnid(one) == tenants.vnid(other) != 0
    )


def change(cluster: LiveCluster, namespace: str, wish: str) -> str:
    """The NetNamespace as ``oc adm pod-network`` would annotate it."""
    return json.dumps(
        {
            "apiVersion": "network.openshift.io/v1",
            "kind": "NetNamespace",
            "metadata": {"name": namespace, "annotations": {CHANGE: wish}},
            "netname": namespace,
            "netid": cluster.objects.vnid(namespace),
        }
    )


def test_pods_of_a_tenant_on_one_node_reach_each_other(
    cluster: LiveCluster, pod: Pod, neighbour: Pod, vnid: int
) -> None:
    send_udp(cluster, pod, neighbour).arrives(neighbour)

    within = f"priority=100,reg0={vnid:#x},reg1={vnid:#x}"
    assert cluster.hits(pod.node, Table.POLICY, within)


def test_pods_of_a_tenant_on_two_nodes_reach_each_other_by_the_vnid_in_the_header(
    cluster: LiveCluster, pod: Pod, remote: Pod, vnid: int
) -> None:
    sent = send_udp(cluster, pod, remote)

    sent.arrives(remote)
    assert sent.crosses(pod.node.wire)[VXLAN].vni == vnid
    within = f"priority=100,reg0={vnid:#x},reg1={vnid:#x}"
    assert cluster.hits(remote.node, Table.POLICY, within)


def test_a_pod_of_another_tenant_on_the_node_is_not_reached(
    cluster: LiveCluster, pod: Pod, stranger: Pod
) -> None:
    sent = send_udp(cluster, pod, stranger)

    sent.is_dropped(pod.node, Table.POLICY)


def test_a_pod_of_another_tenant_on_another_node_is_not_reached_and_its_node_drops(
    cluster: LiveCluster, pod: Pod, remote_stranger: Pod, vnid: int
) -> None:
    sent = send_udp(cluster, pod, remote_stranger)

    assert sent.crosses(remote_stranger.node.wire)[VXLAN].vni == vnid
    sent.is_dropped(remote_stranger.node, Table.POLICY)


@pytest.mark.parametrize("packet", [ICMP(), TCP(dport=8080), UDP(dport=9)])
def test_isolation_is_the_same_for_icmp_tcp_and_udp(
    cluster: LiveCluster, pod: Pod, stranger: Pod, packet: Packet
) -> None:
    sent = cluster.send(pod, ip_between(pod, stranger) / packet)

    sent.is_dropped(pod.node, Table.POLICY)


def test_every_two_pods_reach_each_other_if_they_share_a_vnid_or_one_is_global(
    cluster: LiveCluster, tenants: Tenants
) -> None:
    sender, *receivers = cluster.pods
    assert tenants.vnid(sender) == 0
    for receiver in receivers:
        send_udp(cluster, sender, receiver).arrives(receiver)
        send_udp(cluster, receiver, sender).arrives(sender)


def test_a_namespace_that_was_made_global_has_vnid_0_like_default(
    cluster: LiveCluster, tenants: Tenants, pod: Pod
) -> None:
    made_global = tenants.pod(
        lambda p: tenants.vnid(p) == 0 and p.pod.namespace != "default"
    )

    sent = send_udp(cluster, made_global, pod)

    sent.arrives(pod)
    assert sent.crosses(pod.node.wire)[VXLAN].vni == 0
    assert cluster.hits(pod.node, Table.POLICY, "priority=200,reg0=0")


def test_what_a_tenant_sends_to_a_global_namespace_keeps_the_tenants_vnid(
    cluster: LiveCluster, tenants: Tenants, pod: Pod, vnid: int
) -> None:
    other = tenants.pod(lambda p: tenants.vnid(p) == 0 and p.node != pod.node)

    sent = send_udp(cluster, pod, other)

    sent.arrives(other)
    assert sent.crosses(pod.node.wire)[VXLAN].vni == vnid
    assert cluster.hits(other.node, Table.POLICY, "priority=200,reg1=0")


def test_pods_of_joined_namespaces_reach_each_other(
    cluster: LiveCluster, tenants: Tenants, friends: tuple[Pod, Pod]
) -> None:
    one, other = friends

    sent = send_udp(cluster, one, other)

    sent.arrives(other)
    assert sent.crosses(one.node.wire)[VXLAN].vni == tenants.vnid(other)
    send_udp(cluster, other, one).arrives(one)


@pytest.mark.parametrize("place", ["stranger", "remote_stranger"])
def test_arp_is_not_isolated(
    cluster: LiveCluster, pod: Pod, place: str, request: pytest.FixtureRequest
) -> None:
    other: Pod = request.getfixturevalue(place)

    sent = cluster.send(pod, arp_request(pod, other.ip))

    sent.arrives(other)
    sent.is_answered(lambda frame: "ARP" in frame and frame["ARP"].hwsrc == other.mac)


def test_every_node_reaches_every_pod(cluster: LiveCluster) -> None:
    for node in cluster.nodes:
        for pod in cluster.pods:
            send_udp(cluster, node, pod).arrives(pod)
        own = f"priority=300,ip,nw_src={node.gateway}"
        assert cluster.hits(node, Table.POLICY, own) >= len(cluster.pods_on(node))


def test_a_vnid_in_the_header_is_believed_of_every_node(
    cluster: LiveCluster, pod: Pod, remote_stranger: Pod, vnid: int
) -> None:
    """A node that is taken over is in every tenant at once."""
    inner = udp_between(remote_stranger, pod)
    forged = vxlan(inner, source=remote_stranger.node.ip, node=pod.node, vnid=vnid)

    cluster.send(cluster.rogue, forged).arrives(pod)


def test_what_comes_from_outside_by_a_tunnel_is_of_the_tenant_in_its_header(
    cluster: LiveCluster, tenants: Tenants, pod: Pod, stranger: Pod, remote: Pod
) -> None:
    inner = udp_between(cluster.external, pod.ip)

    def tunnelled(vnid: int) -> Sent:
        forged = vxlan(inner, source=remote.node.ip, node=pod.node, vnid=vnid)
        return cluster.send(cluster.rogue, forged)

    for vnid in (0, tenants.vnid(pod)):
        tunnelled(vnid).arrives(pod)
    tunnelled(tenants.vnid(stranger)).is_dropped(pod.node, Table.POLICY)


def test_a_vnid_that_no_tenant_has_reaches_nobody(
    cluster: LiveCluster, pod: Pod, remote: Pod
) -> None:
    inner = udp_between(remote, pod)
    forged = vxlan(inner, source=remote.node.ip, node=pod.node, vnid=4711)

    sent = cluster.send(cluster.rogue, forged)

    sent.is_dropped(pod.node, Table.POLICY)


def test_a_joined_project_reaches_the_other_and_no_longer_once_isolated(
    cluster: LiveCluster, pod: Pod, stranger: Pod, remote_stranger: Pod
) -> None:
    namespace = stranger.pod.namespace
    cluster.apply(change(cluster, namespace, f"join:{pod.pod.namespace}"))

    send_udp(cluster, pod, stranger).arrives(stranger)
    send_udp(cluster, remote_stranger, pod).arrives(pod)

    cluster.apply(change(cluster, namespace, "isolate"))

    send_udp(cluster, stranger, remote_stranger).arrives(remote_stranger)
    send_udp(cluster, pod, stranger).is_dropped(pod.node, Table.POLICY)
    send_udp(cluster, remote_stranger, pod).is_dropped(pod.node, Table.POLICY)


def test_a_project_that_leaves_its_friends_is_alone(
    cluster: LiveCluster, tenants: Tenants, friends: tuple[Pod, Pod]
) -> None:
    one, other = friends
    cluster.apply(change(cluster, one.pod.namespace, "isolate"))

    assert tenants.vnid(one) != tenants.vnid(other)
    send_udp(cluster, one, other).is_dropped(other.node, Table.POLICY)


def test_a_project_made_global_reaches_all_and_is_reached_by_all(
    cluster: LiveCluster, pod: Pod, stranger: Pod, friends: tuple[Pod, Pod]
) -> None:
    with cluster.applied(change(cluster, stranger.pod.namespace, "global")):
        for other in (pod, *friends):
            send_udp(cluster, stranger, other).arrives(other)
            send_udp(cluster, other, stranger).arrives(stranger)

    send_udp(cluster, pod, stranger).is_dropped(pod.node, Table.POLICY)


def test_another_tenants_service_is_not_reached(
    cluster: LiveCluster, pod: Pod, vnid: int
) -> None:
    objects = cluster.objects
    others = [
        (service.cluster_ip, port)
        for service in objects.services
        if service.cluster_ip and objects.vnid(service.namespace) not in (0, vnid)
        for port in service.ports
    ]
    assert {port.protocol for _, port in others} == set(Protocol)
    for address, port in others:
        layer = UDP if port.protocol is Protocol.UDP else TCP

        sent = cluster.send(pod, ip_between(pod, address) / layer(dport=port.port))

        sent.is_dropped(pod.node, Table.POLICY)


def test_services_of_friends_and_of_global_projects_are_answered(
    cluster: LiveCluster, tenants: Tenants, friends: tuple[Pod, Pod]
) -> None:
    objects = cluster.objects
    asks = friends[1]
    offered = [
        (service, port)
        for service in objects.services
        if service.cluster_ip
        and service.namespace != asks.pod.namespace
        and objects.vnid(service.namespace) in (0, tenants.vnid(asks))
        for port in service.ports
        if port.protocol is Protocol.TCP
    ]
    assert {objects.vnid(service.namespace) for service, _ in offered} == {
        0,
        tenants.vnid(asks),
    }
    for service, port in offered:
        endpoints = objects.endpoints_of(service)
        assert service.cluster_ip
        assert endpoints
        subset = endpoints.subsets[0]
        pods = [pod for pod in cluster.pods if pod.ip in subset.addresses]
        with echoing(pods, [item.port for item in subset.ports]):
            answer = ask(asks, service.cluster_ip, port.port, "hostname")

        assert answer in {pod.machine.name for pod in pods}


def test_a_node_port_lets_tenants_into_each_others_services(
    cluster: LiveCluster, pod: Pod, vnid: int
) -> None:
    """What a pod sends to a node is no tenant's any more when it comes back."""
    objects = cluster.objects
    service, port = next(
        (service, port)
        for service in objects.services
        if objects.vnid(service.namespace) not in (0, vnid)
        for port in service.ports
        if port.node_port
    )
    endpoints = objects.endpoints_of(service)
    assert endpoints
    assert port.node_port
    subset = endpoints.subsets[0]
    pods = [other for other in cluster.pods if other.ip in subset.addresses]

    with echoing(pods, [item.port for item in subset.ports]):
        answer = ask(pod, pod.node.ip, port.node_port, "hostname")

    assert answer in {other.machine.name for other in pods}


def test_a_reply_goes_no_other_way_than_a_first_packet(
    cluster: LiveCluster, pod: Pod, stranger: Pod
) -> None:
    """There is no conntrack: both ways are judged alike, each on its own."""
    sent = cluster.send(
        pod, ip_between(pod, stranger) / TCP(sport=8080, dport=40009, flags="SA")
    )

    sent.is_dropped(pod.node, Table.POLICY)


def test_a_tenant_pings_its_own_pods_everywhere(
    cluster: LiveCluster, pod: Pod, vnid: int
) -> None:
    others = [
        other
        for other in cluster.pods
        if other != pod and cluster.objects.vnid(other.pod.namespace) == vnid
    ]
    assert {other.node for other in others} == set(cluster.nodes)
    for other in others:
        reply = cluster.send(pod, ip_between(pod, other) / ICMP()).arrives(pod)

        assert (reply[IP].src, reply[ICMP].type) == (str(other.ip), 0)
