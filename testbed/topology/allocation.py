"""How the master and the nodes hand out addresses and numbers, in their order."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator
    from ipaddress import IPv4Address

    from testbed.model import ClusterNetworkEntry

T = TypeVar("T")


def free(candidates: Iterable[T], taken: Container[object]) -> Iterator[T]:
    """Yield the candidates that nobody insists on; each is handed out once."""
    return (candidate for candidate in candidates if candidate not in taken)


def node_subnets(entry: ClusterNetworkEntry) -> Iterator[IPv4Network]:
    """Yield a cluster network's node subnets in the order nodes get them.

    Where the bits that number the subnets span an octet boundary, the octet on their
    left counts first: 10.128.0.0, 10.129.0.0, ... before 10.128.2.0.

    Source: openshift/origin release-3.11 pkg/network/master/subnet_allocator.go
    """
    host_bits = entry.host_subnet_length
    subnet_bits = 32 - entry.cidr.prefixlen - host_bits
    in_the_last_octet = -host_bits % 8
    left = right = 0
    left_mask, right_mask = 0xFFFFFFFF, 0
    if in_the_last_octet and (host_bits - 1) // 8 != (host_bits + subnet_bits - 1) // 8:
        left = in_the_last_octet
        left_mask = (1 << (32 - entry.cidr.prefixlen)) - 1
        right = subnet_bits - left
        right_mask = ((1 << left) - 1) << host_bits
    base = int(entry.cidr.network_address)
    for number in range(1 << subnet_bits):
        shifted = number << host_bits
        address = (
            base | ((shifted << left) & left_mask) | ((shifted >> right) & right_mask)
        )
        yield IPv4Network((address, 32 - host_bits))


def later_addresses(network: IPv4Network) -> Iterator[IPv4Address]:
    """Yield a network's host addresses in order, but not the first.

    That one is the gateway's in a node's subnet and the ``kubernetes`` service's in
    the service network. Pods get the others as host-local first hands them out.

    Source: containernetworking/plugins plugins/ipam/host-local
    """
    return (network[offset] for offset in range(2, network.num_addresses - 1))


def is_host_of(address: IPv4Address, network: IPv4Network) -> bool:
    """Whether a machine in that network can have that address."""
    return network.network_address < address < network.broadcast_address
