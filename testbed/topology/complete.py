"""Fill in what the real controllers would, and turn API objects into the model.

Whoever insists on an address or a number gets it; the others get what the master, the
API server or the node would hand out next, in the order of the file.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from pydantic.alias_generators import to_snake

from testbed import model
from testbed.topology import schema
from testbed.topology.allocation import free, later_addresses
from testbed.topology.master import (
    host_subnets,
    net_namespaces,
    with_allocated_egress_ips,
)
from testbed.topology.objects import Entry, Source
from testbed.topology.policies import egress_network_policy, network_policy
from testbed.topology.problem import shown
from testbed.topology.services import (
    completed_services,
    given_endpoints,
    selected_endpoints,
)
from testbed.topology.surroundings import completed_underlay

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from testbed.topology.problem import Problem

ApiT = TypeVar("ApiT", bound=schema.Object)
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A complete cluster that may yet contradict itself, with its sources.

    What cannot be completed is left out; a problem tells of it.
    """

    network: Entry[model.ClusterNetwork] | None
    host_subnets: tuple[Entry[model.HostSubnet], ...]
    net_namespaces: tuple[model.NetNamespace, ...]
    namespaces: tuple[model.Namespace, ...]
    pods: tuple[Entry[model.Pod], ...]
    services: tuple[Entry[model.Service], ...]
    endpoints: tuple[model.Endpoints, ...]
    network_policies: tuple[model.NetworkPolicy, ...]
    egress_network_policies: tuple[model.EgressNetworkPolicy, ...]
    underlay: Entry[model.Underlay] | None
    quirks: model.Quirks
    offline_nodes: frozenset[str]


def complete(
    entries: Sequence[Entry[schema.Object]],
    broken: Collection[Source],
    problems: list[Problem],
) -> Draft:
    """Complete a cluster's objects.

    Args:
        entries: the objects whose shape is right, in the order of the file.
        broken: the others; problems tell of them, so nobody is blamed for needing them.
        problems: takes what cannot be completed.
    """

    def of(kind: type[ApiT]) -> list[Entry[ApiT]]:
        return [Entry(v, source) for v, source in entries if isinstance(v, kind)]

    api_pods = of(schema.Pod)
    api_nodes = of(schema.HostSubnet)
    network = next(map(_network, of(schema.ClusterNetwork)), None)
    hosts = tuple(host_subnets(api_nodes, network, problems))
    nodes = [entry for entry in hosts if entry.value.is_node]
    ghosts = {host.name for host, _ in hosts if not host.is_node}
    names = {node.metadata.name for node, _ in api_nodes} - ghosts
    names |= {source.key for source in broken if source.kind in ("HostSubnet", "")}
    pods = tuple(_pods(api_pods, nodes, names, ghosts, problems))
    services = completed_services(of(schema.Service), network, problems)
    endpoints = [given_endpoints(entry.value) for entry in of(schema.Endpoints)]
    endpoints += _missing_endpoints(endpoints, services, pods, api_pods)
    policies = [network_policy(value) for value, _ in of(schema.NetworkPolicy)]
    egress_policies = [
        egress_network_policy(value) for value, _ in of(schema.EgressNetworkPolicy)
    ]
    mentioned = [
        *(pod.namespace for pod in _values(pods)),
        *(service.namespace for service in _values(services)),
        *(item.namespace for item in endpoints),
        *(item.namespace for item in policies),
        *(item.namespace for item in egress_policies),
    ]
    namespaces = _namespaces(of(schema.Namespace), mentioned)
    plugin = network.value.plugin if network else None
    owners = net_namespaces(of(schema.NetNamespace), namespaces, plugin)
    api_underlay = next(iter(of(schema.Underlay)), None)
    given = api_underlay.value if api_underlay else schema.Underlay()
    offline_nodes = frozenset(given.offline_nodes)
    return Draft(
        network=network,
        host_subnets=with_allocated_egress_ips(hosts, owners, offline_nodes),
        net_namespaces=owners,
        namespaces=namespaces,
        pods=pods,
        services=services,
        endpoints=tuple(endpoints),
        network_policies=tuple(policies),
        egress_network_policies=tuple(egress_policies),
        quirks=model.Quirks(
            **{to_snake(name): value for name, value in given.quirks.items()}
        ),
        offline_nodes=offline_nodes,
        underlay=None
        if any(source.kind in ("Underlay", "") for source in broken)
        else _underlay(api_underlay, api_nodes, network, problems),
    )


def _network(entry: Entry[schema.ClusterNetwork]) -> Entry[model.ClusterNetwork]:
    network, source = entry
    ranges = [(item.cidr, item.host_subnet_length) for item in network.cluster_networks]
    if not ranges and network.network and network.hostsubnetlength:
        ranges = [(network.network, network.hostsubnetlength)]
    return Entry(
        model.ClusterNetwork(
            plugin=network.plugin_name,
            cluster_networks=tuple(
                model.ClusterNetworkEntry(cidr=cidr, host_subnet_length=length)
                for cidr, length in ranges
            ),
            service_network=network.service_network,
            vxlan_port=network.vxlan_port,
        ),
        source,
    )


def _pods(
    pods: Sequence[Entry[schema.Pod]],
    nodes: Iterable[Entry[model.HostSubnet]],
    node_names: AbstractSet[str],
    ghosts: AbstractSet[str],
    problems: list[Problem],
) -> Iterator[Entry[model.Pod]]:
    """Put each pod on its node.

    Args:
        pods: the running pods.
        nodes: the nodes that there is enough known of.
        node_names: the names of all nodes; an empty one may be any.
        ghosts: the names of the HostSubnets that are no nodes.
        problems: takes what keeps a pod from its place.
    """
    taken_ips = {pod.status.pod_ip for pod, _ in pods}
    taken_ofports: dict[str | None, set[int | None]] = defaultdict(set)
    for pod, _ in pods:
        taken_ofports[pod.spec.node_name].add(pod.metadata.annotations.ofport)
    hosts = {node.name: node for node, _ in nodes}
    ips = {
        name: free(later_addresses(node.subnet), taken_ips)
        for name, node in hosts.items()
    }
    ofports = {name: free(count(3), taken_ofports[name]) for name in hosts}
    for pod, source in pods:
        name = pod.spec.node_name
        if name is None:
            text = "is missing; a running pod has a node"
            problems.append(source.problem(("spec", "nodeName"), text))
            continue
        node = hosts.get(name)
        if node is None:
            if node_names and not node_names & {name, ""}:
                text = f"must be the name of a HostSubnet, not {shown(name)}"
                if name in ghosts:
                    text = f"{name} is no node: its HostSubnet was assigned by hand"
                problems.append(source.problem(("spec", "nodeName"), text))
            continue
        own_network = not pod.spec.host_network
        ip = pod.status.pod_ip or (
            next(ips[node.name], None) if own_network else node.host_ip
        )
        if ip is None:
            text = f"no address is left in {node.subnet}"
            problems.append(source.problem(("status", "podIP"), text))
            continue
        insisted = pod.metadata.annotations.ofport
        yield Entry(
            model.Pod(
                namespace=pod.metadata.namespace,
                name=pod.metadata.name,
                node=node.name,
                ip=ip,
                ofport=(insisted or next(ofports[node.name])) if own_network else None,
                labels=pod.metadata.labels,
                host_network=pod.spec.host_network,
                host_ports=tuple(
                    model.HostPort(
                        host_port=port.host_port,
                        container_port=port.container_port,
                        protocol=port.protocol,
                    )
                    for container in pod.spec.containers
                    for port in container.ports
                    if port.host_port and own_network
                ),
                ingress_bandwidth=pod.metadata.annotations.ingress_bandwidth,
                egress_bandwidth=pod.metadata.annotations.egress_bandwidth,
            ),
            source,
        )


def _missing_endpoints(
    given: Sequence[model.Endpoints],
    services: Iterable[Entry[model.Service]],
    pods: Iterable[Entry[model.Pod]],
    api_pods: Iterable[Entry[schema.Pod]],
) -> Iterator[model.Endpoints]:
    """Yield the endpoints that the file leaves to the endpoints controller."""
    known = {(endpoints.namespace, endpoints.name) for endpoints in given}
    container_ports = {
        f"{pod.metadata.namespace}/{pod.metadata.name}": [
            port for container in pod.spec.containers for port in container.ports
        ]
        for pod, _ in api_pods
    }
    by_namespace: dict[str, list[model.Pod]] = defaultdict(list)
    for pod in _values(pods):
        by_namespace[pod.namespace].append(pod)
    for service in _values(services):
        if service.selector and (service.namespace, service.name) not in known:
            candidates = by_namespace[service.namespace]
            yield selected_endpoints(service, candidates, container_ports)


def _namespaces(
    given: Iterable[Entry[schema.Namespace]], mentioned: Iterable[str]
) -> tuple[model.Namespace, ...]:
    """Those of the file, then those that other objects are in."""
    labels = {item.metadata.name: item.metadata.labels for item in _values(given)}
    labels |= {name: {} for name in mentioned if name not in labels}
    return tuple(
        model.Namespace(name=name, labels=mapping) for name, mapping in labels.items()
    )


def _underlay(
    given: Entry[schema.Underlay] | None,
    nodes: Sequence[Entry[schema.HostSubnet]],
    network: Entry[model.ClusterNetwork] | None,
    problems: list[Problem],
) -> Entry[model.Underlay] | None:
    """The file's underlay, or one that fits around the nodes."""
    if not nodes or not network:
        return None
    if given is None:
        source = replace(network.source, kind="Underlay", key="")
        given = Entry(schema.Underlay(), source)
    ranges = [entry.cidr for entry in network.value.cluster_networks]
    occupied = [*ranges, network.value.service_network, model.DOCKER_NETWORK]
    host_ips = {node.host_ip for node in _values(nodes)}
    return completed_underlay(given, host_ips, occupied, problems)


def _values(entries: Iterable[Entry[ValueT]]) -> list[ValueT]:
    return [entry.value for entry in entries]
