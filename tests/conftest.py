"""Clusters that many tests start from and change with ``dataclasses.replace``."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import settings

from testbed.emulation.prerequisites import choose_datapath
from testbed.emulation.wiring import Datapath  # noqa: TC001 - evaluated
from testbed.errors import PrerequisiteError
from testbed.model import (
    Cluster,
    ClusterNetwork,
    ClusterNetworkEntry,
    HostSubnet,
    Namespace,
    NetNamespace,
    Plugin,
    Pod,
    Protocol,
    Service,
    ServicePort,
    Underlay,
)

# Machines are noisy, so no test is timed.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
# pytest --hypothesis-profile=thorough
settings.register_profile("thorough", deadline=None, max_examples=1000)


@pytest.fixture(scope="session")
def datapath() -> Datapath:
    """The datapath that this machine has, if it can run a testbed at all."""
    try:
        return choose_datapath()
    except PrerequisiteError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def four_nodes() -> Cluster:
    """The live cluster that ``golden/oc-04.flows`` was dumped in."""
    nodes = {
        "oc-01.test": ("172.16.1.15", "10.128.0.0/23"),
        "oc-02.test": ("172.16.1.16", "10.129.0.0/23"),
        "oc-03.test": ("172.16.1.22", "10.130.0.0/23"),
        "oc-04.test": ("172.16.1.25", "10.131.0.0/23"),
    }
    return Cluster(
        network=ClusterNetwork(
            plugin=Plugin.SUBNET,
            cluster_networks=(
                ClusterNetworkEntry(
                    cidr=IPv4Network("10.128.0.0/14"), host_subnet_length=9
                ),
            ),
            service_network=IPv4Network("172.30.0.0/16"),
        ),
        host_subnets=tuple(
            HostSubnet(
                name=name,
                host_ip=IPv4Address(host_ip),
                subnet=IPv4Network(subnet),
                uid=f"uid-of-{name}",
            )
            for name, (host_ip, subnet) in nodes.items()
        ),
        net_namespaces=(NetNamespace(name="shop", netid=4711),),
        namespaces=(Namespace(name="shop"),),
        pods=(
            Pod(
                namespace="shop",
                name="web",
                node="oc-04.test",
                ip=IPv4Address("10.131.1.241"),
                ofport=3,
            ),
            Pod(
                namespace="shop",
                name="db",
                node="oc-04.test",
                ip=IPv4Address("10.131.0.16"),
                ofport=28,
            ),
        ),
        services=(
            Service(
                namespace="shop",
                name="syslog",
                cluster_ip=IPv4Address("172.30.31.182"),
                ports=(
                    ServicePort(
                        name="udp", protocol=Protocol.UDP, port=514, target_port=514
                    ),
                    ServicePort(
                        name="tcp", protocol=Protocol.TCP, port=514, target_port=514
                    ),
                ),
            ),
            Service(
                namespace="shop",
                name="web",
                cluster_ip=IPv4Address("172.30.69.140"),
                ports=(
                    ServicePort(
                        name="https", protocol=Protocol.TCP, port=443, target_port=8443
                    ),
                ),
            ),
        ),
        endpoints=(),
        underlay=Underlay(
            subnet=IPv4Network("172.16.1.0/24"),
            gateway=IPv4Address("172.16.1.253"),
            external_network=IPv4Network("198.51.100.0/24"),
            external_gateway=IPv4Address("198.51.100.1"),
            external_hosts=(),
        ),
    )
