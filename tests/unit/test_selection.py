"""What a matrix is made of: selectors of pods, and lists of protocols."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import NotFoundError
from testbed.model import Cluster, Transport
from testbed.parties import name_of
from testbed.selection import protocols, selected
from testbed.topology import load

TOPOLOGIES = Path(__file__).parents[2] / "topologies"


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return load(TOPOLOGIES / "networkpolicy.yaml").cluster


def names(cluster: Cluster, selector: str | None) -> set[str]:
    return {name_of(item) for item in selected(cluster, selector)}


def test_without_a_selector_every_pod_with_an_address_of_its_own(
    cluster: Cluster,
) -> None:
    assert names(cluster, None) == {
        pod.key for pod in cluster.pods if not pod.host_network
    }


def test_a_bare_word_is_a_namespace(cluster: Cluster) -> None:
    found = names(cluster, "shop")

    assert found == {pod.key for pod in cluster.pods if pod.namespace == "shop"}
    assert found


def test_a_pod_may_be_a_pattern(cluster: Cluster) -> None:
    assert names(cluster, "shop/web-*") == {
        pod.key for pod in cluster.pods_in("shop") if pod.name.startswith("web-")
    }


def test_a_node_means_its_pods(cluster: Cluster) -> None:
    node = cluster.nodes[0]

    assert names(cluster, "node:oc-01") == {pod.key for pod in cluster.pods_on(node)}


def test_a_label_is_matched_exactly(cluster: Cluster) -> None:
    pod = next(pod for pod in cluster.pods if pod.labels)
    key, value = next(iter(pod.labels.items()))

    found = names(cluster, f"{key}={value}")

    assert found == {
        item.key
        for item in cluster.pods
        if item.labels.get(key) == value and not item.host_network
    }


def test_several_selectors_name_nobody_twice(cluster: Cluster) -> None:
    both = selected(cluster, "shop,shop/*")

    assert len(both) == len({name_of(item) for item in both})


def test_nodes_are_parties_themselves(cluster: Cluster) -> None:
    assert selected(cluster, "nodes") == cluster.nodes


@pytest.mark.parametrize("selector", ["nobody", "app=nobody", "shop/nobody", "shop,"])
def test_a_selector_of_nobody_is_an_error(cluster: Cluster, selector: str) -> None:
    with pytest.raises(NotFoundError, match="selects no pod"):
        selected(cluster, selector)


def test_protocols_are_listed_with_their_ports() -> None:
    assert protocols("arp, icmp,udp:53,tcp:80,udp:53") == (
        (Transport.ARP, None),
        (Transport.ICMP, None),
        (Transport.UDP, 53),
        (Transport.TCP, 80),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http", "no protocol 'http'; there are: arp, icmp"),
        ("udp", "'udp' is no protocol; write udp:PORT"),
        ("tcp:0", "'tcp:0' is no protocol; write tcp:PORT"),
        ("tcp:65536", "with a port from 1 to 65535"),
        ("icmp:8", "'icmp:8' is no protocol; write icmp"),
        ("", "no protocol ''"),
    ],
)
def test_a_wrong_protocol_is_told_what_to_write(text: str, message: str) -> None:
    with pytest.raises(NotFoundError, match=message):
        protocols(text)
