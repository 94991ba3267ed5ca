"""Table 10: only the nodes of the cluster may tunnel to a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from testbed.openflow import Table
from testbed.probe import arp_request, ip_between, udp_between, vxlan

if TYPE_CHECKING:
    from testbed.probe import LiveCluster, Node, Pod


pytestmark = pytest.mark.plugins("subnet", "multitenant", "networkpolicy")


def test_every_node_is_let_in_by_every_other(
    cluster: LiveCluster, remote_pairs: list[tuple[Pod, Pod]]
) -> None:
    for sender, receiver in remote_pairs:
        sent = cluster.send(
            sender, ip_between(sender, receiver) / UDP(sport=40009, dport=9)
        )

        sent.arrives(receiver)
        assert cluster.hits(
            receiver.node,
            Table.FROM_VXLAN,
            f"priority=100,tun_src={sender.node.ip}",
        )


def test_a_rogue_vtep_is_dropped(cluster: LiveCluster, node: Node, pod: Pod) -> None:
    rogue = cluster.rogue
    inner = (
        Ether() / IP(src="10.128.100.100", dst=str(pod.ip)) / UDP(sport=40009, dport=9)
    )

    sent = cluster.send(rogue, vxlan(inner, source=rogue.ip, node=node))

    sent.is_dropped(node, Table.FROM_VXLAN)


def test_a_rogue_vtep_that_forges_the_inner_source_is_dropped(
    cluster: LiveCluster, node: Node, pod: Pod, remote: Pod
) -> None:
    rogue = cluster.rogue
    inner = ip_between(remote, pod) / UDP(sport=40009, dport=9)

    sent = cluster.send(rogue, vxlan(inner, source=rogue.ip, node=node))

    sent.is_dropped(node, Table.FROM_VXLAN)


@pytest.mark.parametrize("inwards", [True, False], ids=["inwards", "outwards"])
def test_a_rogue_vtep_does_not_get_past_it_between_the_cluster_and_outside(
    cluster: LiveCluster, node: Node, pod: Pod, remote: Pod, *, inwards: bool
) -> None:
    """Egress IPs need both ways through tunnels, from other nodes."""
    rogue = cluster.rogue
    inner = udp_between(remote, cluster.external)
    if inwards:
        inner = udp_between(cluster.external, pod.ip)

    sent = cluster.send(rogue, vxlan(inner, source=rogue.ip, node=node))

    sent.is_dropped(node, Table.FROM_VXLAN)


def test_arp_from_a_rogue_vtep_is_dropped(
    cluster: LiveCluster, node: Node, pod: Pod, remote: Pod
) -> None:
    rogue = cluster.rogue
    inner = arp_request(remote, pod.ip)

    sent = cluster.send(rogue, vxlan(inner, source=rogue.ip, node=node))

    sent.is_dropped(node, Table.FROM_VXLAN)


def test_a_rogue_vtep_that_forges_a_nodes_address_is_let_in(
    cluster: LiveCluster, node: Node, pod: Pod, remote: Pod
) -> None:
    """The outer source is all that table 10 knows; the underlay must be trusted."""
    rogue = cluster.rogue
    inner = ip_between(remote, pod) / UDP(sport=40009, dport=9)

    sent = cluster.send(rogue, vxlan(inner, source=remote.node.ip, node=node))

    sent.arrives(pod)
