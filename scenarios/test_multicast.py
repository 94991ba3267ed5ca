"""Tables 110, 111 and 120: multicast, for tenants that have all of it enabled."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN

from testbed.openflow import Flow, Table
from testbed.openflow.actions import goto
from testbed.probe import vxlan

if TYPE_CHECKING:
    from scapy.packet import Packet

    from testbed.probe import LiveCluster, Node, Pod, Sent

GROUPS = ["224.0.0.251", "239.255.255.250"]
ENABLED = "netnamespace.network.openshift.io/multicast-enabled"


def multicast(pod: Pod, group: str) -> Packet:
    return (
        Ether(src=pod.mac) / IP(src=str(pod.ip), dst=group) / UDP(sport=40009, dport=9)
    )


def enabled(cluster: LiveCluster, *namespaces: str, value: str = "true") -> str:
    """The NetNamespaces as ``oc annotate`` would leave them."""
    items = [
        {
            "apiVersion": "network.openshift.io/v1",
            "kind": "NetNamespace",
            "metadata": {"name": namespace, "annotations": {ENABLED: value}},
            "netname": namespace,
            "netid": cluster.objects.vnid(namespace),
        }
        for namespace in namespaces
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def arrives_at_the_whole_tenant_only(sent: Sent, sender: Pod) -> bool:
    """Whether all other pods of the sender's VNID receive it, and no others do."""
    objects = sent.cluster.objects
    tenant = [
        pod
        for pod in sent.cluster.pods
        if pod != sender
        and objects.vnid(pod.pod.namespace) == objects.vnid(sender.pod.namespace)
    ]
    assert len({pod.node for pod in (sender, *tenant)}) > 1
    control = sent.cluster.send(sent.sender, sent.unmarked)
    for pod in tenant:
        sent.arrives(pod)
        control.arrives(pod)  # what was sent before it, has been handled everywhere
    received = {seen.tap for seen in sent.received()}
    return received & {pod.tap for pod in sent.cluster.pods} == {
        pod.tap for pod in tenant
    }


@pytest.mark.plugins("subnet")
@pytest.mark.parametrize("group", GROUPS)
def test_ovs_subnet_drops_all_multicast_from_pods(
    cluster: LiveCluster, pod: Pod, group: str
) -> None:
    sent = cluster.send(pod, multicast(pod, group))

    sent.is_dropped(pod.node, Table.MULTICAST_FROM_POD)


@pytest.mark.plugins("subnet", "multitenant", "networkpolicy")
@pytest.mark.parametrize("group", GROUPS)
def test_multicast_from_vxlan_with_vnid_0_is_dropped(
    cluster: LiveCluster, node: Node, remote: Pod, group: str
) -> None:
    rogue = cluster.rogue

    sent = cluster.send(
        rogue, vxlan(multicast(remote, group), source=remote.node.ip, node=node)
    )

    sent.is_dropped(node, Table.MULTICAST_TO_LOCAL_PODS)


@pytest.mark.plugins("subnet", "multitenant", "networkpolicy")
def test_an_address_above_the_multicast_range_is_no_multicast(
    cluster: LiveCluster, pod: Pod
) -> None:
    """240.0.0.0/4 was once taken for multicast (BZ1420032)."""
    sent = cluster.send(pod, multicast(pod, "240.0.0.1"))

    sent.arrives(pod.node)


@pytest.mark.plugins("subnet")
def test_if_table_110_let_it_through_every_peer_would_get_a_copy_and_drop_it(
    cluster: LiveCluster, pod: Pod
) -> None:
    let_through = Flow(
        table=Table.MULTICAST_FROM_POD,
        priority=1,
        actions=(goto(Table.MULTICAST_TO_VXLAN),),
    )
    with pod.node.switch.with_flow(let_through):
        sent = cluster.send(pod, multicast(pod, GROUPS[0]))

        dropped = sent.drops()

    copies = sent.crossings(pod.node.wire)
    peers = [node for node in cluster.nodes if node != pod.node]
    assert {copy[IP].dst for copy in copies} == {str(peer.ip) for peer in peers}
    assert {copy[VXLAN].vni for copy in copies} == {0}
    miss = int(Table.MULTICAST_TO_LOCAL_PODS), "priority=0"
    assert dropped == {(node.name, *miss): 1 for node in cluster.nodes}


@pytest.fixture
def receiving(cluster: LiveCluster, vnid: int) -> None:
    """The tenant of ``pod`` has multicast enabled."""
    namespaces = cluster.objects.net_namespaces_of(vnid)
    if not all(namespace.multicast_enabled for namespace in namespaces):
        cluster.apply(enabled(cluster, *(item.name for item in namespaces)))


@pytest.fixture
def stranger(cluster: LiveCluster, pod: Pod, vnid: int) -> Pod:
    """A pod on the same node, of a tenant that has multicast disabled."""
    return next(
        other
        for other in cluster.pods_on(pod.node)
        for namespaces in [
            cluster.objects.net_namespaces_of(cluster.objects.vnid(other.pod.namespace))
        ]
        if cluster.objects.vnid(other.pod.namespace) not in (0, vnid)
        and len(namespaces) == 1
        and not namespaces[0].multicast_enabled
    )


@pytest.mark.plugins("multitenant", "networkpolicy")
@pytest.mark.usefixtures("receiving")
@pytest.mark.parametrize("group", GROUPS)
def test_all_pods_of_the_tenant_receive_it_and_no_others(
    cluster: LiveCluster, pod: Pod, group: str
) -> None:
    sent = cluster.send(pod, multicast(pod, group))

    assert arrives_at_the_whole_tenant_only(sent, pod)


@pytest.mark.plugins("multitenant", "networkpolicy")
@pytest.mark.usefixtures("receiving")
def test_every_node_gets_one_copy_with_the_tenants_vnid(
    cluster: LiveCluster, pod: Pod, vnid: int
) -> None:
    sent = cluster.send(pod, multicast(pod, GROUPS[0]))

    assert arrives_at_the_whole_tenant_only(sent, pod)
    own = str(pod.node.ip)
    crossings = sent.crossings(pod.node.wire)
    copies = [copy for copy in crossings if copy[IP].src == own]
    node = cluster.objects.node(pod.node.name)
    peers = [str(peer.host_ip) for peer in cluster.objects.peers(node)]
    assert sorted(copy[IP].dst for copy in copies) == sorted(peers)
    assert {copy[VXLAN].vni for copy in copies} == {vnid}


@pytest.mark.plugins("multitenant", "networkpolicy")
@pytest.mark.usefixtures("receiving")
def test_multicast_of_a_tenant_that_has_it_disabled_is_dropped(
    cluster: LiveCluster, stranger: Pod
) -> None:
    """Although another tenant of the node has it enabled."""
    sent = cluster.send(stranger, multicast(stranger, GROUPS[0]))

    sent.is_dropped(stranger.node, Table.MULTICAST_FROM_POD)


@pytest.mark.plugins("multitenant", "networkpolicy")
def test_multicast_is_enabled_and_disabled_by_annotation(
    cluster: LiveCluster, stranger: Pod
) -> None:
    namespace = stranger.pod.namespace
    cluster.apply(enabled(cluster, namespace))
    sent = cluster.send(stranger, multicast(stranger, GROUPS[0]))
    assert arrives_at_the_whole_tenant_only(sent, stranger)

    cluster.apply(enabled(cluster, namespace, value="false"))
    sent = cluster.send(stranger, multicast(stranger, GROUPS[0]))
    sent.is_dropped(stranger.node, Table.MULTICAST_FROM_POD)


@pytest.mark.plugins("multitenant")
def test_joined_namespaces_must_both_have_it_enabled(cluster: LiveCluster) -> None:
    objects = cluster.objects
    sender, names = next(
        (pod, [item.name for item in namespaces])
        for pod in cluster.pods
        for namespaces in [objects.net_namespaces_of(objects.vnid(pod.pod.namespace))]
        if len(namespaces) > 1 and objects.vnid(pod.pod.namespace) != 0
    )
    cluster.apply(enabled(cluster, names[0]))
    sent = cluster.send(sender, multicast(sender, GROUPS[0]))
    sent.is_dropped(sender.node, Table.MULTICAST_FROM_POD)

    cluster.apply(enabled(cluster, *names))
    sent = cluster.send(sender, multicast(sender, GROUPS[0]))
    assert arrives_at_the_whole_tenant_only(sent, sender)


@pytest.mark.plugins("multitenant", "networkpolicy")
@pytest.mark.usefixtures("receiving")
def test_multicast_from_vxlan_goes_to_the_tenants_local_pods_and_no_further(
    cluster: LiveCluster, pod: Pod, remote: Pod, vnid: int
) -> None:
    rogue, node = cluster.rogue, pod.node
    inner = multicast(remote, GROUPS[0])

    sent = cluster.send(
        rogue, vxlan(inner, source=remote.node.ip, node=node, vnid=vnid)
    )

    sent.arrives(pod)
    assert len(sent.crossings(node.wire)) == 1


@pytest.mark.plugins("multitenant", "networkpolicy")
@pytest.mark.usefixtures("receiving")
def test_multicast_from_vxlan_of_a_tenant_that_has_it_disabled_is_dropped(
    cluster: LiveCluster, node: Node, remote: Pod, stranger: Pod
) -> None:
    """Although another tenant of the node has it enabled."""
    vnid = cluster.objects.vnid(stranger.pod.namespace)
    inner = multicast(remote, GROUPS[0])

    sent = cluster.send(
        cluster.rogue, vxlan(inner, source=remote.node.ip, node=node, vnid=vnid)
    )

    sent.is_dropped(node, Table.MULTICAST_TO_LOCAL_PODS)
