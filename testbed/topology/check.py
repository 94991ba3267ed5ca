"""What no cluster can be: objects that contradict each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, TypeVar

from testbed.model import DOCKER_NETWORK
from testbed.topology.allocation import is_host_of
from testbed.topology.problem import shown
from testbed.topology.services import NODE_PORTS

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
    from ipaddress import IPv4Address, IPv4Network

    from testbed import model
    from testbed.topology.complete import Draft
    from testbed.topology.objects import Entry, Path, Source
    from testbed.topology.problem import Problem

ValueT = TypeVar("ValueT")

Fault: TypeAlias = "tuple[Entry[ValueT], str]"
"""An object, and what is wrong with the field in question."""


def check(draft: Draft) -> Iterator[Problem]:
    """Yield everything that keeps a draft from being a cluster.

    Nothing is measured by what is wrong itself: addresses are held against ranges only
    when no ranges overlap, and pods against their node only when it is right.
    """
    nodes = draft.host_subnets
    overlaps = list(_check_ranges(draft))
    network = draft.network.value if draft.network and not overlaps else None
    underlay = draft.underlay if not overlaps else None
    subnets = list(_subnet_faults(nodes, network))
    addresses = list(_address_faults(nodes, network, underlay))
    pod_ips = _pod_ip_faults(
        draft.pods,
        homes=_by_name(nodes, without=subnets),
        hosts=_by_name(nodes, without=addresses),
    )
    ofports = _repeated(
        (entry for entry in draft.pods if not entry.value.host_network),
        lambda pod: pod.ofport,
        among=lambda pod: pod.node,
    )
    cluster_ips = _cluster_ip_faults(draft.services, network)
    yield from overlaps
    if underlay:
        yield from _check_underlay(underlay, nodes)
    yield from _problems(("subnet",), subnets)
    yield from _problems(("hostIP",), addresses)
    yield from _problems(("status", "podIP"), pod_ips)
    yield from _problems(("metadata", "annotations", "testbed/ofport"), ofports)
    yield from _problems(("spec", "clusterIP"), cluster_ips)
    yield from _check_node_ports(draft.services)
    yield from _check_host_ports(draft.pods)
    if draft.underlay:
        yield from _check_offline_nodes(draft.underlay.source, draft)


def _check_ranges(draft: Draft) -> Iterator[Problem]:
    """Yield a problem for each range that overlaps one before it."""
    before = [("docker0's", DOCKER_NETWORK)]
    for source, path, cidr in _ranges(draft):
        for name, other in before:
            if cidr.overlaps(other):
                yield source.problem(path, f"{cidr} overlaps {name} {other}")
        before.append((str(path[0]), cidr))


def _ranges(draft: Draft) -> Iterator[tuple[Source, Path, IPv4Network]]:
    if draft.network:
        network, source = draft.network
        for number, entry in enumerate(network.cluster_networks):
            yield source, ("clusterNetworks", number, "CIDR"), entry.cidr
        yield source, ("serviceNetwork",), network.service_network
    if draft.underlay:
        underlay, source = draft.underlay
        yield source, ("subnet",), underlay.subnet
        yield source, ("externalNetwork",), underlay.external_network


def _subnet_faults(
    nodes: Iterable[Entry[model.HostSubnet]], network: model.ClusterNetwork | None
) -> Iterator[Fault[model.HostSubnet]]:
    """Yield the nodes whose subnet is another's or no part of the cluster network.

    Equal parts that start where they may overlap only when they are the same.
    """
    yield from _repeated(nodes, lambda node: node.subnet)
    ranges = network.cluster_networks if network else ()
    for entry in nodes if ranges else ():
        subnet = entry.value.subnet
        homes = [home for home in ranges if subnet.overlaps(home.cidr)]
        if not homes:
            yield entry, f"{subnet} is in none of the clusterNetworks"
        elif subnet.prefixlen != 32 - homes[0].host_subnet_length:
            text = (
                f"{subnet} must be a /{32 - homes[0].host_subnet_length}, "
                f"as hostSubnetLength {homes[0].host_subnet_length} says"
            )
            yield entry, text


def _address_faults(
    nodes: Iterable[Entry[model.HostSubnet]],
    network: model.ClusterNetwork | None,
    underlay: Entry[model.Underlay] | None,
) -> Iterator[Fault[model.HostSubnet]]:
    """Yield the nodes whose address is another's or none of the underlay's."""
    yield from _repeated(nodes, lambda node: node.host_ip)
    own = [DOCKER_NETWORK]
    if network:
        own += [entry.cidr for entry in network.cluster_networks]
        own += [network.service_network]
    for entry in nodes:
        ip = entry.value.host_ip
        inside = [cidr for cidr in own if ip in cidr]
        if inside:
            yield entry, f"{ip} is inside the cluster's own {inside[0]}"
        elif underlay and not is_host_of(ip, underlay.value.subnet):
            yield entry, f"{ip} is no host address of {underlay.value.subnet}"
        elif underlay and ip == underlay.value.gateway:
            yield entry, f"{ip} is the gateway's"


def _cluster_ip_faults(
    services: Iterable[Entry[model.Service]], network: model.ClusterNetwork | None
) -> Iterator[Fault[model.Service]]:
    published = [entry for entry in services if entry.value.cluster_ip]
    yield from _repeated(published, lambda service: service.cluster_ip)
    for entry in published:
        ip = entry.value.cluster_ip
        if network and ip and not is_host_of(ip, network.service_network):
            yield entry, f"{ip} is no host address of {network.service_network}"


def _check_node_ports(
    services: Iterable[Entry[model.Service]],
) -> Iterator[Problem]:
    """Yield a problem for each node port out of range, or another service's.

    Only within a service may TCP and UDP have the same.
    """
    first: dict[int, Source] = {}
    for service, source in services:
        for number, port in enumerate(service.ports):
            path: Path = ("spec", "ports", number, "nodePort")
            if port.node_port is None:
                continue
            holder = first.setdefault(port.node_port, source)
            if port.node_port not in NODE_PORTS:
                low, high = NODE_PORTS[0], NODE_PORTS[-1]
                text = f"must be {low} to {high}, not {port.node_port}"
                yield source.problem(path, text)
            elif holder is not source:
                text = f"{port.node_port} is that of {holder} already"
                yield source.problem(path, text)


def _check_host_ports(pods: Iterable[Entry[model.Pod]]) -> Iterator[Problem]:
    """Yield a problem for each port of a node that an earlier pod on it has.

    The kubelet does not start such a pod.
    """
    first: dict[Hashable, Source] = {}
    for pod, source in pods:
        for port in pod.host_ports:
            key = (pod.node, port.protocol, port.host_port)
            holder = first.setdefault(key, source)
            if holder is not source:
                text = (
                    f"hostPort {port.host_port} {port.protocol} of {pod.node} is that "
                    f"of {holder} already"
                )
                yield source.problem(("spec", "containers"), text)


def _check_offline_nodes(source: Source, draft: Draft) -> Iterator[Problem]:
    names = {node.name for node, _ in draft.host_subnets if node.is_node}
    for name in sorted(draft.offline_nodes - names):
        text = f"must be names of nodes, not {shown(name)}"
        yield source.problem(("offlineNodes",), text)


def _pod_ip_faults(
    pods: Iterable[Entry[model.Pod]],
    *,
    homes: Mapping[str, model.HostSubnet],
    hosts: Mapping[str, model.HostSubnet],
) -> Iterator[Fault[model.Pod]]:
    """Yield the pods whose address is another's or none of their node's.

    Args:
        pods: all of them.
        homes: the nodes whose subnet is right.
        hosts: the nodes whose address is right.
    """
    placed = []
    for entry in pods:
        pod = entry.value
        if pod.host_network:
            host = hosts.get(pod.node)
            if host and pod.ip != host.host_ip:
                text = (
                    f"must be {host.host_ip}, the address of its node, "
                    f"since hostNetwork is true, not {pod.ip}"
                )
                yield entry, text
        elif home := homes.get(pod.node):
            if not is_host_of(pod.ip, home.subnet):
                text = f"{pod.ip} is no host address of {home.subnet} on {home.name}"
                yield entry, text
            elif pod.ip == home.gateway:
                yield entry, f"{pod.ip} is tun0's on {home.name}"
            else:
                placed.append(entry)
    yield from _repeated(placed, lambda pod: pod.ip)


def _check_underlay(
    entry: Entry[model.Underlay], nodes: Iterable[Entry[model.HostSubnet]]
) -> Iterator[Problem]:
    underlay, source = entry
    subnet, external = underlay.subnet, underlay.external_network
    yield from _outside(source, ("gateway",), underlay.gateway, subnet)
    gateway = underlay.external_gateway
    yield from _outside(source, ("externalGateway",), gateway, external)
    taken = {node.host_ip: node.name for node, _ in nodes}
    taken[underlay.gateway] = "the gateway"
    yield from _check_hosts(source, "rogues", underlay.rogues, subnet, taken)
    hosts = underlay.external_hosts
    taken = {gateway: "the gateway"}
    yield from _check_hosts(source, "externalHosts", hosts, external, taken)


def _check_hosts(
    source: Source,
    field: str,
    hosts: Iterable[model.UnderlayHost],
    network: IPv4Network,
    taken: dict[IPv4Address, str],
) -> Iterator[Problem]:
    names = set[str]()
    for number, host in enumerate(hosts):
        where: Path = (field, number, "ip")
        yield from _outside(source, where, host.ip, network)
        if host.ip in taken:
            yield source.problem(where, f"{host.ip} is {taken[host.ip]}'s already")
        if host.name in names:
            text = f"{host.name!r} is another one's name already"
            yield source.problem((field, number, "name"), text)
        taken.setdefault(host.ip, host.name)
        names.add(host.name)


def _problems(path: Path, faults: Iterable[Fault[object]]) -> Iterator[Problem]:
    return (entry.source.problem(path, text) for entry, text in faults)


def _by_name(
    nodes: Iterable[Entry[model.HostSubnet]],
    *,
    without: Iterable[Fault[model.HostSubnet]],
) -> dict[str, model.HostSubnet]:
    wrong = {entry.value.name for entry, _ in without}
    return {node.name: node for node, _ in nodes if node.name not in wrong}


def _repeated(
    entries: Iterable[Entry[ValueT]],
    value: Callable[[ValueT], Hashable],
    *,
    among: Callable[[ValueT], Hashable] = lambda _: None,
) -> Iterator[Fault[ValueT]]:
    """Yield the objects with a value that an earlier one has, too."""
    first: dict[Hashable, Entry[ValueT]] = {}
    for entry in entries:
        holder = first.setdefault((among(entry.value), value(entry.value)), entry)
        if holder is not entry:
            yield entry, f"{value(entry.value)} is that of {holder.source} already"


def _outside(
    source: Source, where: Path, ip: IPv4Address, network: IPv4Network
) -> Iterator[Problem]:
    if not is_host_of(ip, network):
        yield source.problem(where, f"{ip} is no host address of {network}")
