"""Who plays which part in the scenarios; any topology with two nodes will do.

Who shares a scenario with ``pod`` has its VNID, and may talk with it. A cluster that is
chosen on the command line, as a customer's, may lack whom a scenario needs: then it is
skipped, and says whom. The shipped ones lack nobody.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, TypeVar

import pytest

from testbed.errors import NotFoundError
from testbed.model import Outcome, Traffic, Transport
from testbed.oracle import expected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.probe import LiveCluster, Node, Pod

_ActorT = TypeVar("_ActorT")

PROBES = ((Transport.UDP, 9), (Transport.TCP, 8080), (Transport.ICMP, None))
"""What the scenarios send."""


@pytest.fixture
def node(cluster: LiveCluster) -> Node:
    """The node in the middle of a scenario: the last, in the seed's cluster oc-04."""
    return cluster.nodes[-1]


@pytest.fixture
def pod(cluster: LiveCluster, node: Node) -> Pod:
    """A pod on the node that may talk with others, here and elsewhere."""
    return _cast(
        (
            pod
            for pod in cluster.pods_on(node)
            if any(_partners(cluster, pod, node))
            and any(_partners(cluster, pod, cluster.nodes[0]))
        ),
        f"pod on {node} that may talk with one there and one on {cluster.nodes[0]}",
    )


@pytest.fixture
def neighbour(cluster: LiveCluster, pod: Pod) -> Pod:
    """Another pod on the same node."""
    return _cast(_partners(cluster, pod, pod.node), f"partner for {pod} on its node")


@pytest.fixture
def remote(cluster: LiveCluster, pod: Pod) -> Pod:
    """A pod on another node."""
    first = cluster.nodes[0]
    return _cast(_partners(cluster, pod, first), f"partner for {pod} on {first}")


@pytest.fixture
def vnid(cluster: LiveCluster, pod: Pod) -> int:
    """The VNID that the three pods have; 0 under ovs-subnet."""
    return cluster.objects.vnid(pod.pod.namespace)


@pytest.fixture
def local_pairs(cluster: LiveCluster) -> list[tuple[Pod, Pod]]:
    """Two pods of every node that may talk, each as the sender."""
    return [
        pair
        for node in cluster.nodes
        for one, other in [_pair(cluster, node, node)]
        for pair in ((one, other), (other, one))
    ]


@pytest.fixture
def remote_pairs(cluster: LiveCluster) -> list[tuple[Pod, Pod]]:
    """Two pods that may talk of every two nodes, each as the sender."""
    return [
        _pair(cluster, *nodes) for nodes in itertools.permutations(cluster.nodes, 2)
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with _skipped_if_lacking(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with _skipped_if_lacking(item):
        return (yield)


@contextlib.contextmanager
def _skipped_if_lacking(item: pytest.Item) -> Iterator[None]:
    """Skip a scenario where the cluster is the user's and lacks whom it needs."""
    try:
        yield
    except NotFoundError as error:
        option = item.config.option
        if not (option.topology or option.replay):
            raise
        pytest.skip(str(error))


def _cast(found: Iterator[_ActorT], part: str) -> _ActorT:
    """The first who can play a part."""
    for actor in found:
        return actor
    raise NotFoundError(f"this cluster has no {part}")


def _pair(cluster: LiveCluster, here: Node, there: Node) -> tuple[Pod, Pod]:
    where = f"{here} and {there}" if here != there else f"{here}"
    return _cast(_pairs(cluster, here, there), f"two pods on {where} that may talk")


def _pairs(cluster: LiveCluster, here: Node, there: Node) -> Iterator[tuple[Pod, Pod]]:
    """Yield pods of two nodes that may talk, first those of one VNID."""
    pairs = [
        (one, other)
        for one in cluster.pods_on(here)
        for other in cluster.pods_on(there)
        if one != other
    ]
    pairs.sort(key=lambda pair: not _share_a_vnid(cluster, *pair))
    yield from (pair for pair in pairs if _may_talk(cluster, *pair))


def _partners(cluster: LiveCluster, pod: Pod, node: Node) -> Iterator[Pod]:
    """Yield the pods of a node that have a pod's VNID and may talk with it."""
    for other in cluster.pods_on(node):
        if (
            other != pod
            and _share_a_vnid(cluster, pod, other)
            and _may_talk(cluster, pod, other)
        ):
            yield other


def _share_a_vnid(cluster: LiveCluster, one: Pod, other: Pod) -> bool:
    vnid = cluster.objects.vnid
    return vnid(one.pod.namespace) == vnid(other.pod.namespace)


def _may_talk(cluster: LiveCluster, one: Pod, other: Pod) -> bool:
    return all(
        expected(
            cluster.objects,
            Traffic(
                sender=sender.pod,
                destination=receiver.ip,
                transport=transport,
                dport=dport,
            ),
        ).outcome
        is Outcome.DELIVERED
        for sender, receiver in ((one, other), (other, one))
        for transport, dport in PROBES
    )
