"""Marks where br0's are lost: whose packets a node's iptables mark instead."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from testbed.host.egress import marks_by_sender
from testbed.model import NetNamespace, Plugin

if TYPE_CHECKING:
    from testbed.model import Cluster

EGRESS_IP = IPv4Address("172.16.1.101")
PODS = ("10.131.1.241", "10.131.0.16")


@pytest.fixture
def cluster(four_nodes: Cluster) -> Cluster:
    """Shop, whose VNID is odd, leaves by oc-01."""
    return dataclasses.replace(
        four_nodes,
        network=dataclasses.replace(four_nodes.network, plugin=Plugin.MULTITENANT),
        net_namespaces=(NetNamespace(name="shop", netid=43, egress_ips=(EGRESS_IP,)),),
        host_subnets=tuple(
            dataclasses.replace(node, egress_ips=(EGRESS_IP,))
            if node.name == "oc-01.test"
            else node
            for node in four_nodes.host_subnets
        ),
    )


def marked(cluster: Cluster, node: str) -> list[str]:
    rules = marks_by_sender(cluster, cluster.node(node)).splitlines()
    return [rule for rule in rules if "MARK" in rule]


def test_the_egress_node_marks_what_pods_send_wherever_they_run(
    cluster: Cluster,
) -> None:
    assert marked(cluster, "oc-01") == [
        f"-A PREROUTING -i tun0 -s {ip}/32 -j MARK --set-xmark 0x100002a" for ip in PODS
    ]


def test_a_node_that_the_namespace_does_not_leave_by_marks_nothing(
    cluster: Cluster,
) -> None:
    assert marked(cluster, "oc-04") == []


def test_what_stays_in_the_cluster_is_not_marked(cluster: Cluster) -> None:
    rules = marks_by_sender(cluster, cluster.node("oc-01")).splitlines()

    accepts = [rule for rule in rules if "ACCEPT" in rule and rule.startswith("-A")]
    assert accepts == [
        "-A PREROUTING -i tun0 -d 10.128.0.0/14 -j ACCEPT",
        "-A PREROUTING -i tun0 -d 172.30.0.0/16 -j ACCEPT",
    ]
    assert rules.index(accepts[-1]) < rules.index(marked(cluster, "oc-01")[0])
