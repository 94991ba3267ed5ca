"""Who plays which part in the scenarios; any topology with two nodes will do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testbed.probe import LiveCluster, Node, Pod


@pytest.fixture
def node(cluster: LiveCluster) -> Node:
    """The node in the middle of a scenario: the last, in the seed's cluster oc-04."""
    return cluster.nodes[-1]


@pytest.fixture
def pod(cluster: LiveCluster, node: Node) -> Pod:
    """A pod on the node."""
    return cluster.pods_on(node)[0]


@pytest.fixture
def neighbour(cluster: LiveCluster, node: Node) -> Pod:
    """Another pod on the same node."""
    return cluster.pods_on(node)[1]


@pytest.fixture
def remote(cluster: LiveCluster) -> Pod:
    """A pod on another node."""
    return cluster.pods_on(cluster.nodes[0])[0]
