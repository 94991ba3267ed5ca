"""What the kernels of nodes and pods are told."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.host.dns import dnsmasq_configuration, hosts_file, pod_resolv_conf
from testbed.host.iptables import node_rules
from testbed.host.links import node_links, pod_links
from testbed.host.names import underlay_mac, veth_name
from testbed.model import ClusterNetworkEntry

if TYPE_CHECKING:
    from testbed.model import Cluster


@pytest.fixture
def two_networks(four_nodes: Cluster) -> Cluster:
    more = ClusterNetworkEntry(cidr=IPv4Network("10.132.0.0/14"), host_subnet_length=9)
    network = four_nodes.network
    networks = (*network.cluster_networks, more)
    return dataclasses.replace(
        four_nodes, network=dataclasses.replace(network, cluster_networks=networks)
    )


def test_tun0_loses_the_route_that_came_with_its_address(four_nodes: Cluster) -> None:
    lines = node_links(four_nodes, four_nodes.node("oc-04")).splitlines()

    address = lines.index("addr add 10.131.0.1/23 brd + dev tun0")
    removal = lines.index(
        "route del 10.131.0.0/23 dev tun0 proto kernel scope link src 10.131.0.1"
    )
    assert address < removal


def test_every_cluster_network_is_routed_to_tun0(two_networks: Cluster) -> None:
    lines = node_links(two_networks, two_networks.node("oc-04")).splitlines()

    assert "route add 10.128.0.0/14 dev tun0 scope link" in lines
    assert "route add 10.132.0.0/14 dev tun0 scope link" in lines


def test_a_pod_reaches_every_cluster_network_directly(two_networks: Cluster) -> None:
    node = two_networks.node("oc-04")
    (pod, *_) = two_networks.pods_on(node)

    lines = pod_links(two_networks, node, pod).splitlines()

    assert "route add 10.132.0.0/14 dev eth0 scope global" in lines


def test_every_cluster_network_is_masqueraded(two_networks: Cluster) -> None:
    rules = node_rules(two_networks)

    assert "-A OPENSHIFT-MASQUERADE -s 10.128.0.0/14 " in rules
    assert "-A OPENSHIFT-MASQUERADE -s 10.132.0.0/14 " in rules


def test_invalid_packets_are_dropped_before_any_accept(four_nodes: Cluster) -> None:
    """Else pods' addresses leak unmasqueraded (BZ1438762)."""
    forward = [
        rule
        for rule in node_rules(four_nodes).splitlines()
        if rule.startswith("-A OPENSHIFT-FIREWALL-FORWARD")
    ]

    assert "--ctstate INVALID -j DROP" in forward[0]


def test_vxlan_is_let_in_on_the_clusters_port(four_nodes: Cluster) -> None:
    network = dataclasses.replace(four_nodes.network, vxlan_port=4790)

    rules = node_rules(dataclasses.replace(four_nodes, network=network))

    assert "--dport 4790 -m comment --comment" in rules
    assert "4789" not in rules


def test_names_of_nodes_and_services_are_served(four_nodes: Cluster) -> None:
    lines = hosts_file(four_nodes).splitlines()

    assert "172.16.1.15\toc-01.test" in lines
    assert "172.30.31.182\tsyslog.shop.svc.cluster.local" in lines


def test_dnsmasq_asks_nobody_else() -> None:
    lines = dnsmasq_configuration(Path("/n")).splitlines()

    assert "no-resolv" in lines
    assert "local=/cluster.local/" in lines


def test_a_pod_may_shorten_names_of_its_own_namespace(four_nodes: Cluster) -> None:
    node = four_nodes.node("oc-04")
    (pod, *_) = four_nodes.pods_on(node)

    text = pod_resolv_conf(node, pod)

    assert "search shop.svc.cluster.local svc.cluster.local cluster.local" in text


def test_a_mac_on_the_underlay_is_made_of_the_address() -> None:
    assert underlay_mac(IPv4Address("172.16.1.25")) == "52:54:ac:10:01:19"


def test_a_veth_name_fits_into_linux(four_nodes: Cluster) -> None:
    names = [veth_name(pod) for pod in four_nodes.pods]

    assert len(set(names)) == len(names)
    assert all(len(name) <= 15 for name in names)
