"""The underlay where the file leaves it open: chosen to fit around the nodes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from testbed import model
from testbed.topology.allocation import free, is_host_of
from testbed.topology.objects import Entry

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from testbed.topology import schema
    from testbed.topology.problem import Problem

_EXTERNAL_NETWORKS = (
    IPv4Network("198.51.100.0/24"),
    IPv4Network("203.0.113.0/24"),
    IPv4Network("192.0.2.0/24"),
)
"""Documentation ranges, so that no real cluster has them. Source: RFC 5737."""


def completed_underlay(
    entry: Entry[schema.Underlay],
    host_ips: Collection[IPv4Address],
    occupied: Sequence[IPv4Network],
    problems: list[Problem],
) -> Entry[model.Underlay] | None:
    """Choose whatever the underlay leaves open.

    Args:
        entry: what the file says of it.
        host_ips: the nodes' addresses.
        occupied: the ranges that no underlay may touch.
        problems: takes what cannot be chosen.
    """
    underlay, source = entry
    rogues = _hosts(underlay.rogues)
    taken = {*host_ips, *(rogue.ip for rogue in rogues)}
    # Addresses in occupied ranges are wrong, for ``check`` to tell.
    outside = {ip for ip in taken if not any(ip in cidr for cidr in occupied)}
    subnet = underlay.subnet or _around(outside, occupied)
    if subnet is None:
        if outside:
            text = (
                f"is missing, and every network from {min(outside)} to {max(outside)} "
                "overlaps the cluster's own"
            )
            problems.append(source.problem(("subnet",), text))
        return None
    external_network = underlay.external_network or next(
        (
            network
            for network in _EXTERNAL_NETWORKS
            if not any(map(network.overlaps, (*occupied, subnet)))
        ),
        _EXTERNAL_NETWORKS[0],
    )
    first = next(free(external_network.hosts(), {underlay.external_gateway}))
    external_hosts = (
        (model.UnderlayHost(name="external", ip=first),)
        if underlay.external_hosts is None
        else _hosts(underlay.external_hosts)
    )
    external_ips = {host.ip for host in external_hosts}
    gateway = underlay.gateway or _last_free(subnet, taken)
    external_gateway = underlay.external_gateway or _last_free(
        external_network, external_ips
    )
    for field, address, network in (
        ("gateway", gateway, subnet),
        ("externalGateway", external_gateway, external_network),
    ):
        if address is None:
            text = f"is missing, and no address is left in {network}"
            problems.append(source.problem((field,), text))
    if not gateway or not external_gateway:
        return None
    return Entry(
        model.Underlay(
            subnet=subnet,
            gateway=gateway,
            external_network=external_network,
            external_gateway=external_gateway,
            external_hosts=external_hosts,
            rogues=rogues,
            mtu=underlay.mtu,
        ),
        source,
    )


def _hosts(hosts: Sequence[schema.UnderlayHost]) -> tuple[model.UnderlayHost, ...]:
    return tuple(
        model.UnderlayHost(name=host.name, ip=host.ip, dns_names=tuple(host.dns_names))
        for host in hosts
    )


def _around(
    addresses: Collection[IPv4Address], occupied: Sequence[IPv4Network]
) -> IPv4Network | None:
    """The smallest network, /24 or wider, with these hosts and room for a gateway."""
    candidates = (
        IPv4Network((address, length), strict=False)
        for address in sorted(addresses)[:1]
        for length in range(24, 0, -1)
    )
    return next(
        (
            network
            for network in candidates
            if all(is_host_of(address, network) for address in addresses)
            and len(addresses) < network.num_addresses - 2
            and not any(map(network.overlaps, occupied))
        ),
        None,
    )


def _last_free(
    network: IPv4Network, taken: Collection[IPv4Address]
) -> IPv4Address | None:
    """The highest host address that is free."""
    hosts = (network[-offset] for offset in range(2, network.num_addresses))
    return next(free(hosts, taken), None)
