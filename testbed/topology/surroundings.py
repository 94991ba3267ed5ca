"""The underlay where the file leaves it open: chosen to fit around the nodes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from testbed import model
from testbed.topology.allocation import free, is_host_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from testbed.topology import schema

EVERYWHERE = IPv4Network("0.0.0.0/0")

_EXTERNAL_NETWORKS = (
    IPv4Network("198.51.100.0/24"),
    IPv4Network("203.0.113.0/24"),
    IPv4Network("192.0.2.0/24"),
)
"""Documentation ranges, so that no real cluster has them. Source: RFC 5737."""


def completed_underlay(
    underlay: schema.Underlay,
    host_ips: Collection[IPv4Address],
    occupied: Sequence[IPv4Network],
) -> model.Underlay:
    """Choose whatever the underlay leaves open.

    Args:
        underlay: what the file says of it.
        host_ips: the nodes' addresses.
        occupied: the ranges of pods and services.
    """
    rogues = _hosts(underlay.rogues)
    neighbours = {*host_ips, *(rogue.ip for rogue in rogues)}
    subnet = underlay.subnet or _around(neighbours)
    external_network = underlay.external_network or next(
        (
            network
            for network in _EXTERNAL_NETWORKS
            if not any(map(network.overlaps, (*occupied, subnet)))
        ),
        _EXTERNAL_NETWORKS[0],
    )
    external_hosts = (
        (model.UnderlayHost(name="external", ip=external_network[1]),)
        if underlay.external_hosts is None
        else _hosts(underlay.external_hosts)
    )
    return model.Underlay(
        subnet=subnet,
        gateway=underlay.gateway or _last_free(subnet, neighbours),
        external_network=external_network,
        external_gateway=underlay.external_gateway
        or _last_free(external_network, {host.ip for host in external_hosts}),
        external_hosts=external_hosts,
        rogues=rogues,
        mtu=underlay.mtu,
    )


def _hosts(hosts: Sequence[schema.UnderlayHost]) -> tuple[model.UnderlayHost, ...]:
    return tuple(model.UnderlayHost(name=host.name, ip=host.ip) for host in hosts)


def _around(addresses: Collection[IPv4Address]) -> IPv4Network:
    """The smallest network, /24 or wider, with these hosts and room for a gateway."""
    candidates = (
        IPv4Network((min(addresses), length), strict=False)
        for length in range(24, 0, -1)
    )
    return next(
        (
            network
            for network in candidates
            if all(is_host_of(address, network) for address in addresses)
            and len(addresses) < network.num_addresses - 2
        ),
        EVERYWHERE,
    )


def _last_free(network: IPv4Network, taken: Collection[IPv4Address]) -> IPv4Address:
    """The highest free host address, else the highest, which ``check`` refuses."""
    hosts = (network[-offset] for offset in range(2, network.num_addresses))
    return next(free(hosts, taken), network[-2])
