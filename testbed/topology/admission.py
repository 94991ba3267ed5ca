"""What an API server refuses although every field by itself is right.

Source: kubernetes release-1.11 pkg/apis/core/validation/validation.go, pkg/registry/
core/service, and openshift/origin release-3.11 pkg/network/apis/network/validation
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from testbed.topology import schema
from testbed.topology.problem import shown

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence
    from ipaddress import IPv4Address

    from testbed.topology.objects import Entry, Path, Source
    from testbed.topology.problem import Problem

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_KUBELET_PORT = 10250
_PUBLISHED = (schema.ServiceType.NODE_PORT, schema.ServiceType.LOAD_BALANCER)


def refused(entries: Iterable[Entry[schema.Object]]) -> Iterator[Problem]:
    """Yield what an API server would not take of each object."""
    for value, source in entries:
        match value:
            case schema.Namespace():
                yield from _label(value.metadata.name, source, ("metadata", "name"))
            case schema.Service():
                yield from _service(value, source)
            case schema.Endpoints():
                yield from _endpoints(value, source)
            case schema.Pod():
                yield from _pod(value, source)


def _service(service: schema.Service, source: Source) -> Iterator[Problem]:
    spec, name = service.spec, service.metadata.name
    if name[:1].isdecimal():
        text = f"must start with a letter, not {shown(name)}"
        yield source.problem(("metadata", "name"), text)
    else:
        yield from _label(name, source, ("metadata", "name"))
    yield from _cluster_ip(spec, source)
    yield from _service_ports(spec, source)
    yield from _names(spec.ports, source, ("spec", "ports"))
    for number, ip in enumerate(spec.external_ips):
        yield from _special(ip, source, ("spec", "externalIPs", number))
    is_balanced = spec.type is schema.ServiceType.LOAD_BALANCER
    if spec.load_balancer_source_ranges and not is_balanced:
        path: Path = ("spec", "loadBalancerSourceRanges")
        yield source.problem(path, "is for type LoadBalancer only")
    has_a_policy = "external_traffic_policy" in spec.model_fields_set
    if has_a_policy and spec.type not in _PUBLISHED:
        path = ("spec", "externalTrafficPolicy")
        yield source.problem(path, "is for type NodePort or LoadBalancer only")
    if is_balanced and len({port.protocol for port in spec.ports}) > 1:
        text = "a LoadBalancer takes TCP or UDP, not both"
        yield source.problem(("spec", "ports"), text)


def _cluster_ip(spec: schema.ServiceSpec, source: Source) -> Iterator[Problem]:
    path: Path = ("spec", "clusterIP")
    if spec.type in _PUBLISHED and spec.cluster_ip == "None":
        yield source.problem(path, f"must be an address, as type is {spec.type}")
    if spec.type is schema.ServiceType.EXTERNAL_NAME:
        if spec.cluster_ip:
            yield source.problem(path, "must not be there, as type is ExternalName")
        if not spec.external_name:
            text = "is missing, and type is ExternalName"
            yield source.problem(("spec", "externalName"), text)


def _service_ports(spec: schema.ServiceSpec, source: Source) -> Iterator[Problem]:
    is_an_alias = spec.type is schema.ServiceType.EXTERNAL_NAME
    if not spec.ports and spec.cluster_ip != "None" and not is_an_alias:
        text = "is missing; only a headless service may be without"
        yield source.problem(("spec", "ports"), text)
    first: dict[Hashable, int] = {}
    for number, port in enumerate(spec.ports):
        where: Path = ("spec", "ports", number)
        before = first.setdefault((port.port, port.protocol), number)
        if before != number:
            text = f"{port.port} {port.protocol} is that of ports[{before}] already"
            yield source.problem((*where, "port"), text)
        if port.port == _KUBELET_PORT and spec.type is schema.ServiceType.LOAD_BALANCER:
            text = f"must not be {port.port}, the kubelet's, on a LoadBalancer"
            yield source.problem((*where, "port"), text)
        if port.node_port is None:
            continue
        before = first.setdefault(("node", port.node_port, port.protocol), number)
        if spec.type not in _PUBLISHED:
            text = "is for type NodePort or LoadBalancer only"
            yield source.problem((*where, "nodePort"), text)
        elif before != number:
            text = f"{port.node_port} is that of ports[{before}] already"
            yield source.problem((*where, "nodePort"), text)


def _endpoints(endpoints: schema.Endpoints, source: Source) -> Iterator[Problem]:
    for number, subset in enumerate(endpoints.subsets):
        where: Path = ("subsets", number)
        if not subset.addresses and not subset.not_ready_addresses:
            text = "must have addresses or notReadyAddresses"
            yield source.problem(where, text)
        for index, address in enumerate(subset.addresses):
            path = (*where, "addresses", index, "ip")
            yield from _special(address.ip, source, path)
        for index, port in enumerate(subset.ports):
            path = (*where, "ports", index, "name")
            if len(subset.ports) > 1 and not port.name:
                text = "is missing; each of several ports has a name"
                yield source.problem(path, text)
            elif port.name:
                yield from _label(port.name, source, path)


def _pod(pod: schema.Pod, source: Source) -> Iterator[Problem]:
    """Yield what is wrong with a pod's ports.

    On the host network the port in the container is the node's, and so needs to be
    the same.
    """
    taken: Counter[Hashable] = Counter()
    for number, container in enumerate(pod.spec.containers):
        names = Counter(port.name for port in container.ports if port.name)
        for index, port in enumerate(container.ports):
            where: Path = ("spec", "containers", number, "ports", index)
            if port.name and names[port.name] > 1:
                text = f"{port.name!r} is the name of two ports of one container"
                yield source.problem((*where, "name"), text)
                names[port.name] = 1
            if port.host_port is None:
                continue
            taken[port.protocol, port.host_port] += 1
            if taken[port.protocol, port.host_port] > 1:
                text = f"{port.host_port} {port.protocol} is there twice"
                yield source.problem((*where, "hostPort"), text)
            elif pod.spec.host_network and port.host_port != port.container_port:
                text = (
                    f"must be containerPort {port.container_port}, since hostNetwork "
                    f"is true, not {port.host_port}"
                )
                yield source.problem((*where, "hostPort"), text)


def _names(
    ports: Sequence[schema.ServicePort], source: Source, where: Path
) -> Iterator[Problem]:
    """Yield the ports whose name is missing beside others, or no name of its own."""
    first: dict[str, int] = {}
    for number, port in enumerate(ports):
        path: Path = (*where, number, "name")
        if not port.name:
            if len(ports) > 1:
                text = "is missing; each of several ports has a name"
                yield source.problem(path, text)
            continue
        yield from _label(port.name, source, path)
        if first.setdefault(port.name, number) != number:
            text = f"{port.name!r} is that of ports[{first[port.name]}] already"
            yield source.problem(path, text)


def _label(name: str, source: Source, path: Path) -> Iterator[Problem]:
    if not _LABEL.fullmatch(name):
        text = (
            "must be at most 63 lower-case letters, digits and '-', with a letter or "
            f"digit at both ends, not {shown(name)}"
        )
        yield source.problem(path, text)


def _special(ip: IPv4Address, source: Source, path: Path) -> Iterator[Problem]:
    """Yield a problem for an address that is a different machine's to everyone."""
    if (
        ip.is_unspecified
        or ip.is_loopback
        or ip.is_link_local
        or ip.packed[:3] == bytes((224, 0, 0))
    ):
        yield source.problem(path, f"must be an address that is routed, not {ip}")
