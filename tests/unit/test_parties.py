"""Names that a person types become parties and addresses of the cluster."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from testbed.errors import NotFoundError
from testbed.model import Cluster, HostSubnet, Pod, Traffic, Transport, UnderlayHost
from testbed.parties import address, default_port, party, told
from testbed.topology import load

TOPOLOGIES = Path(__file__).parents[2] / "topologies"


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return load(TOPOLOGIES / "four-node.yaml").cluster


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("lab/client-a", Pod, "client-a"),
        ("node:oc-04.test", HostSubnet, "oc-04.test"),
        ("node:oc-04", HostSubnet, "oc-04.test"),
        ("external:external", UnderlayHost, "external"),
        ("10.131.1.241", Pod, "rsyslog-0"),
        ("172.16.1.25", HostSubnet, "oc-04.test"),
        ("10.131.0.1", HostSubnet, "oc-04.test"),
    ],
)
def test_a_sender_is_known_by_name_or_address(
    cluster: Cluster, text: str, kind: type, name: str
) -> None:
    found = party(cluster, text)

    assert isinstance(found, kind)
    assert found.name == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lab/client-z", "no pod lab/client-z; there are: lab/client-"),
        ("node:oc-9", "no single node oc-9; there are: oc-01.test"),
        ("external:mars", "no external mars; there are: external"),
        ("host:oc-01", "there is no host:; write NAMESPACE/POD, node:NAME"),
        ("oc-01", "oc-01 is no party: write NAMESPACE/POD"),
        ("192.0.2.1", "no machine of the cluster has the address 192.0.2.1"),
        ("svc:lab/hello", "sends nothing"),
    ],
)
def test_an_unknown_sender_is_told_what_there_is(
    cluster: Cluster, text: str, message: str
) -> None:
    with pytest.raises(NotFoundError, match=message):
        party(cluster, text)


def test_a_packet_for_a_service_goes_to_its_cluster_address(cluster: Cluster) -> None:
    service = next(item for item in cluster.services if item.cluster_ip)

    assert address(cluster, f"svc:{service.key}") == service.cluster_ip


def test_any_address_may_be_asked_for(cluster: Cluster) -> None:
    assert address(cluster, "192.0.2.1") == IPv4Address("192.0.2.1")


def test_a_node_is_reached_at_its_own_address(cluster: Cluster) -> None:
    assert address(cluster, "node:oc-04") == cluster.node("oc-04").host_ip


def test_a_service_is_asked_on_its_first_port_that_fits(cluster: Cluster) -> None:
    service = next(item for item in cluster.services if item.cluster_ip)
    port = service.ports[0]
    name = f"svc:{service.key}"

    assert default_port(cluster, name, None) == (
        Transport(port.protocol.lower()),
        port.port,
    )
    assert default_port(cluster, name, Transport.ICMP) == (Transport.ICMP, None)


def test_a_question_is_told_with_names_and_addresses(cluster: Cluster) -> None:
    traffic = Traffic(
        sender=cluster.pod("lab/client-a"),
        destination=cluster.node("oc-04").gateway,
        transport=Transport.UDP,
        dport=53,
    )

    assert told(cluster, traffic) == (
        "lab/client-a → oc-04.test tun0 (10.131.0.1) udp:53"
    )
