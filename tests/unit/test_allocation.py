"""Who gets which address: the order of the master and of host-local."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from itertools import islice, pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from testbed.model import ClusterNetworkEntry
from testbed.topology.allocation import (
    free,
    is_host_of,
    later_addresses,
    node_subnets,
)


def entry(cidr: str, host_subnet_length: int) -> ClusterNetworkEntry:
    return ClusterNetworkEntry(
        cidr=IPv4Network(cidr), host_subnet_length=host_subnet_length
    )


@pytest.mark.parametrize(
    ("number", "subnet"),
    [
        (0, "10.128.0.0/23"),
        (1, "10.129.0.0/23"),
        (2, "10.130.0.0/23"),
        (3, "10.131.0.0/23"),
        (4, "10.128.2.0/23"),
        (5, "10.129.2.0/23"),
        (511, "10.131.254.0/23"),
    ],
)
def test_the_octet_on_the_left_counts_first(number: int, subnet: str) -> None:
    subnets = list(node_subnets(entry("10.128.0.0/14", 9)))

    assert subnets[number] == IPv4Network(subnet)
    assert len(subnets) == 512


@pytest.mark.parametrize(
    ("cidr", "host_bits", "first"),
    [
        ("10.1.0.0/16", 8, ["10.1.0.0/24", "10.1.1.0/24", "10.1.2.0/24"]),
        ("10.1.0.0/16", 6, ["10.1.0.0/26", "10.1.1.0/26", "10.1.2.0/26"]),
        ("10.0.0.0/8", 16, ["10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16"]),
        ("10.1.2.0/24", 6, ["10.1.2.0/26", "10.1.2.64/26", "10.1.2.128/26"]),
        ("10.1.2.0/23", 7, ["10.1.2.0/25", "10.1.3.0/25", "10.1.2.128/25"]),
        ("10.128.0.0/14", 18, ["10.128.0.0/14"]),
    ],
)
def test_bits_rotate_only_across_an_octet(
    cidr: str, host_bits: int, first: list[str]
) -> None:
    subnets = islice(node_subnets(entry(cidr, host_bits)), 3)

    assert list(map(str, subnets)) == first


@given(st.integers(8, 28), st.integers(2, 16))
@settings(deadline=None)
def test_subnets_are_all_there_is_of_a_cluster_network(
    prefix: int, host_bits: int
) -> None:
    assume(0 <= 32 - prefix - host_bits <= 8)
    cluster_network = IPv4Network((int(IPv4Address("10.255.255.255")), prefix), False)  # noqa: FBT003 - positional in ipaddress

    subnets = sorted(node_subnets(entry(str(cluster_network), host_bits)))

    assert subnets == list(cluster_network.subnets(new_prefix=32 - host_bits))


def test_pods_get_the_addresses_between_the_gateway_and_the_broadcast() -> None:
    addresses = list(later_addresses(IPv4Network("10.128.0.0/29")))

    assert list(map(str, addresses)) == [f"10.128.0.{n}" for n in range(2, 7)]
    assert all(after - before == 1 for before, after in pairwise(map(int, addresses)))


def test_what_somebody_insists_on_is_handed_to_nobody_else() -> None:
    assert list(free(range(3, 8), {4, 7, None})) == [3, 5, 6]


def test_neither_end_of_a_network_is_a_host() -> None:
    network = IPv4Network("10.128.0.0/30")

    hosts = [address for address in network if is_host_of(address, network)]

    assert list(map(str, hosts)) == ["10.128.0.1", "10.128.0.2"]
    assert not is_host_of(IPv4Address("10.128.0.4"), network)
