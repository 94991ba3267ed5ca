"""What the kernels of nodes and pods are told."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.host.bandwidth import Bandwidth, pod_bandwidth
from testbed.host.dns import dnsmasq_configuration, hosts_file, pod_resolv_conf
from testbed.host.links import (
    assign_egress_ips,
    node_links,
    pod_links,
    release_egress_ips,
)
from testbed.host.names import underlay_mac, veth_name
from testbed.model import (
    ClusterNetworkEntry,
    Endpoints,
    EndpointSubset,
    UnderlayHost,
)

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


def test_an_egress_ip_comes_and_goes_by_itself(four_nodes: Cluster) -> None:
    ips = [IPv4Address("172.16.1.200")]

    assert (
        assign_egress_ips(four_nodes, ips)
        == "addr add 172.16.1.200/24 brd + dev eth0\n"
    )
    assert release_egress_ips(four_nodes, ips) == "addr del 172.16.1.200/24 dev eth0\n"


def test_what_a_pod_receives_is_shaped_to_its_limit(four_nodes: Cluster) -> None:
    pod = dataclasses.replace(four_nodes.pods[0], ingress_bandwidth=10_000_000)

    assert pod_bandwidth(pod) == Bandwidth(max_rate=10_000_000)


def test_what_a_pod_sends_is_policed_in_units_of_1024(four_nodes: Cluster) -> None:
    pod = dataclasses.replace(four_nodes.pods[0], egress_bandwidth=10_000_000)

    assert pod_bandwidth(pod) == Bandwidth(ingress_policing_rate=9765)


def test_a_pod_without_limits_is_not_limited(four_nodes: Cluster) -> None:
    limits = pod_bandwidth(four_nodes.pods[0])

    assert limits == Bandwidth(max_rate=None, ingress_policing_rate=0)


def test_names_of_nodes_and_services_are_served(four_nodes: Cluster) -> None:
    lines = hosts_file(four_nodes).splitlines()

    assert "172.16.1.15\toc-01.test" in lines
    assert "172.30.31.182\tsyslog.shop.svc.cluster.local" in lines


def test_names_of_external_hosts_are_served(four_nodes: Cluster) -> None:
    names = ("www.example.org", "example.org")
    host = UnderlayHost(name="www", ip=IPv4Address("198.51.100.7"), dns_names=names)
    underlay = dataclasses.replace(four_nodes.underlay, external_hosts=(host,))

    lines = hosts_file(dataclasses.replace(four_nodes, underlay=underlay)).splitlines()

    assert "198.51.100.7\twww.example.org" in lines
    assert "198.51.100.7\texample.org" in lines


def test_the_name_of_a_ghost_is_not_served(four_nodes: Cluster) -> None:
    first, *others = four_nodes.host_subnets
    ghost = dataclasses.replace(first, is_node=False)

    text = hosts_file(dataclasses.replace(four_nodes, host_subnets=(ghost, *others)))

    assert first.name not in text


def test_a_headless_service_has_the_addresses_of_its_endpoints(
    four_nodes: Cluster,
) -> None:
    service = dataclasses.replace(four_nodes.service("shop/web"), cluster_ip=None)
    pods = tuple(pod.ip for pod in four_nodes.pods)
    endpoints = Endpoints(
        namespace="shop",
        name="web",
        subsets=(EndpointSubset(addresses=pods, ports=()),),
    )

    lines = hosts_file(
        dataclasses.replace(four_nodes, services=(service,), endpoints=(endpoints,))
    ).splitlines()

    assert lines[-2:] == [f"{ip}\tweb.shop.svc.cluster.local" for ip in pods]


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
