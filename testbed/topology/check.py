"""What no cluster can be: objects that contradict each other."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, TypeVar

from testbed.model import DOCKER_NETWORK, Plugin
from testbed.topology.allocation import is_host_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator
    from ipaddress import IPv4Address, IPv4Network

    from testbed import model
    from testbed.topology.complete import Draft
    from testbed.topology.objects import Entry, Path, Source
    from testbed.topology.problem import Problem

ValueT = TypeVar("ValueT")


def check(draft: Draft) -> Iterator[Problem]:
    """Yield everything that keeps a draft from being a cluster."""
    if draft.network:
        yield from _check_network(draft.network)
        yield from _check_nodes(draft.host_subnets, draft.network.value)
        yield from _check_services(draft.services, draft.network.value)
    if draft.network and draft.underlay:
        yield from _check_underlay(draft.underlay, draft)
    yield from _check_pods(draft)


def _check_network(entry: Entry[model.ClusterNetwork]) -> Iterator[Problem]:
    network, source = entry
    if network.plugin is not Plugin.SUBNET:
        text = f"{network.plugin} is not supported yet; use {Plugin.SUBNET}"
        yield source.problem(("pluginName",), text)
    ranges = [("clusterNetworks", item.cidr) for item in network.cluster_networks]
    named = [*ranges, ("serviceNetwork", network.service_network)]
    for (_, first), (field, second) in combinations(named, 2):
        if first.overlaps(second):
            yield source.problem((field,), f"{second} overlaps {first}")
    for field, cidr in named:
        if cidr.overlaps(DOCKER_NETWORK):
            text = f"{cidr} overlaps docker0's {DOCKER_NETWORK}"
            yield source.problem((field,), text)


def _check_nodes(
    nodes: Iterable[Entry[model.HostSubnet]], network: model.ClusterNetwork
) -> Iterator[Problem]:
    nodes = tuple(nodes)
    yield from _repeated(nodes, lambda node: node.host_ip, ("hostIP",))
    for (first, _), (second, source) in combinations(nodes, 2):
        if first.subnet.overlaps(second.subnet):
            text = f"{second.subnet} overlaps {first.subnet} of {first.name}"
            yield source.problem(("subnet",), text)
    for node, source in nodes:
        for cidr in (*_ranges(network), network.service_network):
            if node.host_ip in cidr:
                text = f"{node.host_ip} is inside the cluster's own {cidr}"
                yield source.problem(("hostIP",), text)
        home = [e for e in network.cluster_networks if node.subnet.subnet_of(e.cidr)]
        if not home:
            text = f"{node.subnet} is in none of the clusterNetworks"
            yield source.problem(("subnet",), text)
        elif node.subnet.prefixlen != 32 - home[0].host_subnet_length:
            text = (
                f"{node.subnet} must be a /{32 - home[0].host_subnet_length}, "
                f"as hostSubnetLength {home[0].host_subnet_length} says"
            )
            yield source.problem(("subnet",), text)


def _check_services(
    services: Iterable[Entry[model.Service]], network: model.ClusterNetwork
) -> Iterator[Problem]:
    services = tuple(entry for entry in services if entry.value.cluster_ip)
    where = ("spec", "clusterIP")
    yield from _repeated(services, lambda service: service.cluster_ip, where)
    for service, source in services:
        ip = service.cluster_ip
        if ip and not is_host_of(ip, network.service_network):
            text = f"{ip} is outside serviceNetwork {network.service_network}"
            yield source.problem(where, text)


def _check_underlay(entry: Entry[model.Underlay], draft: Draft) -> Iterator[Problem]:
    underlay, source = entry
    network = draft.network.value if draft.network else None
    for field, own in (
        ("subnet", underlay.subnet),
        ("externalNetwork", underlay.external_network),
    ):
        others = [*_ranges(network), network.service_network] if network else []
        for other in (*others, DOCKER_NETWORK):
            if own.overlaps(other):
                yield source.problem((field,), f"{own} overlaps {other}")
    if underlay.subnet.overlaps(underlay.external_network):
        text = f"{underlay.external_network} overlaps subnet {underlay.subnet}"
        yield source.problem(("externalNetwork",), text)
    taken = {underlay.gateway: "the gateway"}
    yield from _outside(source, ("gateway",), underlay.gateway, underlay.subnet)
    for node, node_source in draft.host_subnets:
        where: Path = ("hostIP",)
        yield from _outside(node_source, where, node.host_ip, underlay.subnet)
        if node.host_ip == underlay.gateway:
            text = f"{node.host_ip} is the gateway's"
            yield node_source.problem(where, text)
        taken.setdefault(node.host_ip, node.name)
    yield from _check_hosts(entry, "rogues", underlay.rogues, underlay.subnet, taken)
    external = underlay.external_network
    taken = {underlay.external_gateway: "the gateway"}
    where = ("externalGateway",)
    yield from _outside(source, where, underlay.external_gateway, external)
    hosts = underlay.external_hosts
    yield from _check_hosts(entry, "externalHosts", hosts, external, taken)


def _check_hosts(
    entry: Entry[model.Underlay],
    field: str,
    hosts: tuple[model.UnderlayHost, ...],
    network: IPv4Network,
    taken: dict[IPv4Address, str],
) -> Iterator[Problem]:
    names = set[str]()
    for number, host in enumerate(hosts):
        where: Path = (field, number, "ip")
        yield from _outside(entry.source, where, host.ip, network)
        if host.ip in taken:
            text = f"{host.ip} is {taken[host.ip]}'s already"
            yield entry.source.problem(where, text)
        if host.name in names:
            text = f"{host.name!r} is another one's name already"
            yield entry.source.problem((field, number, "name"), text)
        taken.setdefault(host.ip, host.name)
        names.add(host.name)


def _check_pods(draft: Draft) -> Iterator[Problem]:
    nodes = {node.name: node for node, _ in draft.host_subnets}
    where: Path = ("status", "podIP")
    pods = tuple(entry for entry in draft.pods if not entry.value.host_network)
    yield from _repeated(pods, lambda pod: pod.ip, where)
    annotation: Path = ("metadata", "annotations", "testbed/ofport")
    yield from _repeated(pods, lambda pod: (pod.node, pod.ofport), annotation)
    for pod, source in pods:
        node = nodes[pod.node]
        if not is_host_of(pod.ip, node.subnet):
            text = f"{pod.ip} is outside {node.subnet} of its node {node.name}"
            yield source.problem(where, text)
        elif pod.ip == node.gateway:
            text = f"{pod.ip} is tun0's of its node {node.name}"
            yield source.problem(where, text)
    for pod, source in draft.pods:
        if pod.host_network and pod.ip != nodes[pod.node].host_ip:
            text = (
                f"must be {nodes[pod.node].host_ip}, the address of its node, "
                f"since hostNetwork is true, not {pod.ip}"
            )
            yield source.problem(where, text)


def _repeated(
    entries: Iterable[Entry[ValueT]], key: Callable[[ValueT], Hashable], where: Path
) -> Iterator[Problem]:
    """Yield a problem for each value that an earlier object has, too."""
    first: dict[Hashable, Entry[ValueT]] = {}
    for entry in entries:
        value = key(entry.value)
        holder = first.setdefault(value, entry)
        if holder is not entry:
            shown = value[-1] if isinstance(value, tuple) else value
            text = f"{shown} is that of {holder.source} already"
            yield entry.source.problem(where, text)


def _outside(
    source: Source, where: Path, ip: IPv4Address, network: IPv4Network
) -> Iterator[Problem]:
    if not is_host_of(ip, network):
        yield source.problem(where, f"{ip} is no host address of {network}")


def _ranges(network: model.ClusterNetwork) -> list[IPv4Network]:
    return [entry.cidr for entry in network.cluster_networks]
