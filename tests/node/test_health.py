"""What is wrong with a cluster is found without a packet, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.host.links import pod_links
from testbed.openflow import Table
from testbed.pipeline import node_flows
from testbed.probe.health import examine
from testbed.verdict import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.probe import LiveCluster, Node, Pod


@pytest.fixture
def node(cluster: LiveCluster) -> Node:
    return cluster.nodes[-1]


@pytest.fixture
def pod(cluster: LiveCluster, node: Node) -> Pod:
    return cluster.pods_on(node)[0]


@pytest.fixture
def forwarding_nothing(node: Node) -> Iterator[None]:
    node.machine.write_sysctls({"net.ipv4.ip_forward": "0"})
    yield
    node.machine.write_sysctls({"net.ipv4.ip_forward": "1"})


def told(cluster: LiveCluster) -> list[str]:
    places = (*cluster.nodes, *cluster.pods)
    return [str(fact) for fact in examine(cluster, [place.name for place in places])]


@pytest.mark.plugins("subnet", "multitenant", "networkpolicy")
def test_with_a_whole_cluster_nothing_is_wrong(cluster: LiveCluster) -> None:
    assert told(cluster) == []


@pytest.mark.usefixtures("forwarding_nothing")
def test_a_node_that_forwards_nothing_is_told(cluster: LiveCluster, node: Node) -> None:
    assert told(cluster) == [
        f"{node}: its kernel forwards nothing (net.ipv4.ip_forward is 0)"
    ]


def test_a_missing_flow_is_told_with_its_object(
    cluster: LiveCluster, node: Node
) -> None:
    objects = cluster.objects
    flow = next(
        flow
        for flow in node_flows(objects, objects.node(node.name))
        if flow.table == Table.FROM_VXLAN and flow.made_by
    )

    with node.switch.without_flow(flow):
        (fact,) = examine(cluster, [node.name])

    assert fact.kind is Kind.FLOWS
    assert fact.text.startswith("missing: ")
    assert fact.text.endswith(f"({flow.made_by})")


def test_a_pod_without_its_address_is_told(cluster: LiveCluster, pod: Pod) -> None:
    objects = cluster.objects
    pod.run("ip", "address", "flush", "dev", "eth0")
    try:
        found = told(cluster)
    finally:
        links = pod_links(objects, objects.node(pod.node.name), pod.pod)
        pod.machine.configure_links(links)

    assert found == [f"{pod}: its address is not {pod.ip}; it has none"]
