"""All rules of one node of a cluster that has a bit of everything.

``golden/services.iptables`` was reviewed rule by rule against what 3.11 writes.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.host.iptables import node_rules
from testbed.model import (
    ClusterNetworkEntry,
    EgressNetworkPolicy,
    EgressRule,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    HostPort,
    NetNamespace,
    Plugin,
    Protocol,
    Service,
    ServicePort,
)

if TYPE_CHECKING:
    from testbed.model import Cluster

GOLDEN = Path(__file__).parents[1] / "golden" / "services.iptables"
WEB, DB, REMOTE = "10.131.1.241", "10.131.0.16", "10.130.0.9"
MASTER = "172.16.1.15"


def service(
    name: str,
    cluster_ip: str | None,
    *ports: tuple[str, int, int | None],
    protocol: Protocol = Protocol.TCP,
) -> Service:
    """A service of ports with a name, a number and perhaps a port of the nodes."""
    return Service(
        namespace="shop",
        name=name,
        cluster_ip=IPv4Address(cluster_ip) if cluster_ip else None,
        ports=tuple(
            ServicePort(
                name=port_name,
                protocol=protocol,
                port=port,
                target_port=8080,
                node_port=node_port,
            )
            for port_name, port, node_port in ports
        ),
    )


def endpoints(
    name: str, *ips: str, port: str = "http", protocol: Protocol = Protocol.TCP
) -> Endpoints:
    return Endpoints(
        namespace="shop",
        name=name,
        subsets=(
            EndpointSubset(
                addresses=tuple(map(IPv4Address, ips)),
                ports=(EndpointPort(name=port, protocol=protocol, port=8080),),
            ),
        ),
    )


SERVICES = (
    replace(
        service("web", "172.30.0.10", ("http", 80, 30080), ("https", 443, None)),
        external_ips=(IPv4Address("203.0.113.10"),),
        load_balancer_ips=(IPv4Address("203.0.113.11"),),
        source_ranges=(IPv4Network("198.51.100.0/24"), IPv4Network("172.16.0.0/16")),
    ),
    replace(
        service("sticky", "172.30.0.20", ("", 53, None), protocol=Protocol.UDP),
        affinity_timeout=10800,
    ),
    replace(
        service("local", "172.30.0.30", ("http", 80, 30030)),
        local_only=True,
        load_balancer_ips=(IPv4Address("203.0.113.31"),),
        affinity_timeout=60,
    ),
    replace(service("elsewhere", "172.30.0.40", ("http", 80, 30040)), local_only=True),
    replace(
        service("empty", "172.30.0.50", ("http", 80, 30050)),
        local_only=True,
        external_ips=(IPv4Address("203.0.113.50"),),
        load_balancer_ips=(IPv4Address("203.0.113.51"),),
    ),
    service("headless", None, ("http", 80, None)),
    service("partner", "172.30.0.60", ("http", 80, None)),
    service("masters", "172.30.0.1", ("http", 443, None)),
)
ENDPOINTS = (
    endpoints("web", WEB, DB, REMOTE),
    endpoints("sticky", WEB, REMOTE, port="", protocol=Protocol.UDP),
    endpoints("local", WEB, REMOTE, DB),
    endpoints("elsewhere", REMOTE),
    endpoints("headless", WEB),
    endpoints("partner", "198.51.100.7"),
    endpoints("masters", MASTER),
)


@pytest.fixture
def rich(four_nodes: Cluster) -> Cluster:
    web, db = four_nodes.pods
    hostports = (
        HostPort(host_port=8081, container_port=8080, protocol=Protocol.TCP),
        HostPort(host_port=5353, container_port=53, protocol=Protocol.UDP),
    )
    more = ClusterNetworkEntry(cidr=IPv4Network("10.132.0.0/14"), host_subnet_length=9)
    *others, oc_04 = four_nodes.host_subnets
    eips = (IPv4Address("172.16.1.200"), IPv4Address("172.16.1.201"))
    return replace(
        four_nodes,
        network=replace(
            four_nodes.network,
            plugin=Plugin.MULTITENANT,
            cluster_networks=(*four_nodes.network.cluster_networks, more),
        ),
        host_subnets=(*others, replace(oc_04, egress_ips=eips)),
        net_namespaces=(
            NetNamespace(name="shop", netid=4711, egress_ips=eips[:1]),
            NetNamespace(name="bank", netid=4712, egress_ips=eips[1:]),
        ),
        pods=(replace(web, host_ports=hostports), db),
        services=SERVICES,
        endpoints=ENDPOINTS,
        egress_network_policies=(
            EgressNetworkPolicy(
                namespace="shop",
                name="no-partner",
                egress=(EgressRule(allow=False, cidr=IPv4Network("198.51.100.0/24")),),
            ),
        ),
    )


def test_a_node_has_exactly_the_rules_of_the_golden_file(rich: Cluster) -> None:
    assert node_rules(rich, rich.node("oc-04")) == GOLDEN.read_text()
