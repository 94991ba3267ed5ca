"""The topologies that come with the testbed."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.model import Plugin
from testbed.topology import load
from testbed.topology.shipped import shipped

TOPOLOGIES = sorted(
    path.name for path in (Path(__file__).parents[2] / "topologies").glob("*.yaml")
)
PLUGINS = {"multitenant": Plugin.MULTITENANT, "networkpolicy": Plugin.NETWORKPOLICY}


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_a_shipped_topology_is_a_cluster_and_nothing_is_passed_over(name: str) -> None:
    topology = load(shipped(name))

    assert topology.warnings == ()
    plugin = PLUGINS.get(name.removesuffix(".yaml"), Plugin.SUBNET)
    assert topology.cluster.network.plugin is plugin


def test_there_are_small_usual_and_large_ones() -> None:
    numbers = [
        len(load(shipped(f"{name}-node.yaml")).cluster.host_subnets)
        for name in ("two", "four", "ten")
    ]

    assert numbers == [2, 4, 10]


def test_four_node_is_the_cluster_that_golden_dumps_were_taken_in() -> None:
    cluster = load(shipped("four-node.yaml")).cluster

    assert [str(node.host_ip) for node in cluster.host_subnets] == [
        "172.16.1.15",
        "172.16.1.16",
        "172.16.1.22",
        "172.16.1.25",
    ]
    assert [
        (str(pod.ip), pod.ofport) for pod in cluster.pods_on(cluster.node("oc-04"))
    ] == [("10.131.1.241", 3), ("10.131.0.16", 28)]


def test_four_node_has_sixteen_pods_on_its_bridges_and_three_on_every_node() -> None:
    cluster = load(shipped("four-node.yaml")).cluster

    on_bridges = [len(cluster.pods_on(node)) for node in cluster.host_subnets]
    anywhere = [
        sum(pod.node == node.name for pod in cluster.pods)
        for node in cluster.host_subnets
    ]
    assert sum(on_bridges) == 16
    assert min(anywhere) >= 3


def test_every_service_of_four_node_is_answered() -> None:
    cluster = load(shipped("four-node.yaml")).cluster

    answered = {f"{e.namespace}/{e.name}" for e in cluster.endpoints if e.subsets}
    assert answered == {service.key for service in cluster.services}


def test_a_name_that_is_not_shipped_is_a_path_that_is_not_there() -> None:
    assert not shipped("five-node.yaml").exists()
