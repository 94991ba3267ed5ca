"""Everyone to everyone: what must, would and does become of packets is the same.

The oracle has read the objects, the trace the flows and rules of the running nodes, and
the packets are real.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from testbed.model import HostSubnet, Pod, Traffic, Transport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from ipaddress import IPv4Address

    from testbed.model import Cluster, Party
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("subnet", "multitenant", "networkpolicy")

PROBES = (
    (Transport.ARP, None),
    (Transport.ICMP, None),
    (Transport.UDP, 53),
    (Transport.TCP, 80),
)
SCTP = (Transport.SCTP, 9)


def probes(cluster: LiveCluster) -> tuple[tuple[Transport, int | None], ...]:
    """What is sent; conntrack in userspace has no ports for SCTP.

    There, whoever was once sent SCTP may send any back, and it passes for an answer.
    """
    plugin = cluster.objects.network.plugin
    if plugin.tracks_connections and cluster.datapath == "netdev":
        return PROBES
    return (*PROBES, SCTP)


def pods(cluster: Cluster) -> tuple[Pod, ...]:
    return tuple(pod for pod in cluster.pods if not pod.host_network)


def between(
    cluster: LiveCluster,
    senders: Iterable[Party],
    destinations: Iterable[IPv4Address],
) -> Iterator[Traffic]:
    for (transport, dport), sender, destination in product(
        probes(cluster), senders, tuple(destinations)
    ):
        own = sender.gateway if isinstance(sender, HostSubnet) else sender.ip
        if destination != own:
            yield Traffic(
                sender=sender,
                destination=destination,
                transport=transport,
                dport=dport,
            )


def assert_agreed(cluster: LiveCluster, traffics: Iterable[Traffic]) -> None:
    __tracebackhide__ = True
    verdicts = cluster.probe_all(list(traffics))
    assert verdicts
    disagreed = [verdict for verdict in verdicts if not verdict.agrees]
    if disagreed:
        told = "\n".join(verdict.paragraph for verdict in disagreed[:5])
        pytest.fail(f"{len(disagreed)} of {len(verdicts)} verdicts:\n{told}")


def test_the_witnesses_agree_from_every_pod_to_every_pod(cluster: LiveCluster) -> None:
    objects = cluster.objects

    assert_agreed(
        cluster, between(cluster, pods(objects), (pod.ip for pod in pods(objects)))
    )


def test_the_witnesses_agree_from_every_node_to_every_pod(cluster: LiveCluster) -> None:
    objects = cluster.objects

    assert_agreed(
        cluster, between(cluster, objects.nodes, (pod.ip for pod in pods(objects)))
    )


def test_the_witnesses_agree_from_pods_to_every_node(cluster: LiveCluster) -> None:
    objects = cluster.objects
    addresses = [ip for node in objects.nodes for ip in (node.gateway, node.host_ip)]

    assert_agreed(cluster, between(cluster, pods(objects), addresses))


def test_the_witnesses_agree_from_pods_to_the_world(cluster: LiveCluster) -> None:
    objects = cluster.objects
    world = [host.ip for host in objects.underlay.external_hosts]

    assert_agreed(cluster, between(cluster, pods(objects), world))


def test_the_witnesses_agree_on_every_service(cluster: LiveCluster) -> None:
    objects = cluster.objects
    senders: list[Party] = [*pods(objects), *objects.nodes]

    assert_agreed(
        cluster,
        (
            Traffic(
                sender=sender,
                destination=service.cluster_ip,
                transport=Transport(port.protocol.lower()),
                dport=port.port,
            )
            for service in objects.services
            if service.cluster_ip
            for port in service.ports
            for sender in senders
        ),
    )
