"""Open vSwitch takes the pipeline's flows, and prints them as we wrote them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import pytest

from testbed.model import ClusterNetworkEntry, HostSubnet
from testbed.pipeline import node_flows

if TYPE_CHECKING:
    from testbed.model import Cluster
    from testbed.ovs import Switch

pytestmark = pytest.mark.switch


def assert_dumped_as_written(br0: Switch, cluster: Cluster) -> None:
    __tracebackhide__ = True
    flows = node_flows(cluster, cluster.node("oc-04"))
    br0.replace_flows(flows)
    dumped = [dump.flow for dump in br0.dump_flows()]
    assert sorted(map(str, dumped)) == sorted(map(str, flows))


def test_the_live_clusters_flows_are_dumped_as_written(
    br0: Switch, four_nodes: Cluster
) -> None:
    assert_dumped_as_written(br0, four_nodes)


def test_the_flows_of_two_cluster_networks_are_dumped_as_written(
    br0: Switch, four_nodes: Cluster
) -> None:
    second = ClusterNetworkEntry(
        cidr=IPv4Network("10.200.0.0/16"), host_subnet_length=8
    )
    entries = (*four_nodes.network.cluster_networks, second)
    network = replace(four_nodes.network, cluster_networks=entries, vxlan_port=4790)

    assert_dumped_as_written(br0, replace(four_nodes, network=network))


def test_the_flows_of_a_lone_node_are_dumped_as_written(
    br0: Switch, four_nodes: Cluster
) -> None:
    alone = replace(four_nodes, host_subnets=four_nodes.host_subnets[3:])

    assert_dumped_as_written(br0, alone)


def test_the_flows_of_many_nodes_are_dumped_as_written(
    br0: Switch, four_nodes: Cluster
) -> None:
    more = tuple(
        HostSubnet(
            name=f"node-{number}",
            host_ip=IPv4Address(f"172.16.2.{number}"),
            subnet=IPv4Network(f"10.129.{2 * number}.0/23"),
            uid=f"uid-{number}",
        )
        for number in range(1, 101)
    )
    cluster = replace(four_nodes, host_subnets=(*four_nodes.host_subnets, *more))

    assert_dumped_as_written(br0, cluster)
