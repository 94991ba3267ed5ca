"""Services and who answers for them, as the API server and its controllers do it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from testbed import model
from testbed.topology import schema
from testbed.topology.allocation import free, later_addresses
from testbed.topology.objects import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from testbed.topology.problem import Problem

NODE_PORTS = range(30000, 32768)
"""Where node ports are. Source: kubernetes release-1.11, its API server's default."""


def completed_services(
    services: Sequence[Entry[schema.Service]],
    network: Entry[model.ClusterNetwork] | None,
    problems: list[Problem],
) -> tuple[Entry[model.Service], ...]:
    """Give each service the address and the node ports that it does not name."""
    addressed = tuple(_with_addresses(services, network, problems))
    return tuple(_with_node_ports(addressed, problems))


def _with_addresses(
    services: Sequence[Entry[schema.Service]],
    network: Entry[model.ClusterNetwork] | None,
    problems: list[Problem],
) -> Iterator[tuple[Entry[model.Service], schema.ServiceType]]:
    taken = {service.spec.cluster_ip for service, _ in services}
    addresses = later_addresses(network.value.service_network) if network else ()
    spare = free(addresses, taken)
    for service, source in services:
        given = service.spec.cluster_ip
        cluster_ip = given if isinstance(given, IPv4Address) else None
        if not given and service.spec.type is not schema.ServiceType.EXTERNAL_NAME:
            cluster_ip = next(spare, None)
            if network and cluster_ip is None:
                text = f"no address is left in {network.value.service_network}"
                problems.append(source.problem(("spec", "clusterIP"), text))
        spec = service.spec
        affine = spec.session_affinity is schema.Affinity.CLIENT_IP
        timeout = spec.session_affinity_config.client_ip.timeout_seconds
        ingress = service.status.load_balancer.ingress
        entry = Entry(
            model.Service(
                namespace=service.metadata.namespace,
                name=service.metadata.name,
                cluster_ip=cluster_ip,
                ports=tuple(
                    model.ServicePort(
                        name=port.name,
                        protocol=port.protocol,
                        port=port.port,
                        target_port=port.target_port or port.port,
                        node_port=port.node_port,
                    )
                    for port in spec.ports
                ),
                selector=spec.selector,
                affinity_timeout=timeout if affine else None,
                external_ips=tuple(spec.external_ips),
                load_balancer_ips=tuple(item.ip for item in ingress if item.ip)
                if spec.type is schema.ServiceType.LOAD_BALANCER
                else (),
                source_ranges=tuple(spec.load_balancer_source_ranges),
                local_only=spec.external_traffic_policy is schema.TrafficPolicy.LOCAL,
            ),
            source,
        )
        yield entry, spec.type


def _with_node_ports(
    services: Sequence[tuple[Entry[model.Service], schema.ServiceType]],
    problems: list[Problem],
) -> Iterator[Entry[model.Service]]:
    """Publish services on the nodes, a port's TCP and UDP under one number.

    Source: kubernetes release-1.11 pkg/registry/core/service/rest.go
    """
    taken = {port.node_port for (service, _), _ in services for port in service.ports}
    spare = free(NODE_PORTS, taken)
    for (service, source), kind in services:
        if kind not in (schema.ServiceType.NODE_PORT, schema.ServiceType.LOAD_BALANCER):
            yield Entry(service, source)
            continue
        numbers = {port.port: port.node_port for port in service.ports}
        numbers |= {p.port: p.node_port for p in service.ports if p.node_port}
        for index, port in enumerate(service.ports):
            if numbers[port.port] is None:
                numbers[port.port] = next(spare, None)
            if numbers[port.port] is None:
                path = ("spec", "ports", index, "nodePort")
                problems.append(source.problem(path, "no port of the nodes is left"))
        ports = tuple(
            replace(port, node_port=port.node_port or numbers[port.port])
            for port in service.ports
        )
        yield Entry(replace(service, ports=ports), source)


def given_endpoints(endpoints: schema.Endpoints) -> model.Endpoints:
    """Endpoints as the file has them."""
    return model.Endpoints(
        namespace=endpoints.metadata.namespace,
        name=endpoints.metadata.name,
        subsets=tuple(
            model.EndpointSubset(
                addresses=tuple(address.ip for address in subset.addresses),
                ports=tuple(
                    model.EndpointPort(
                        name=port.name, protocol=port.protocol, port=port.port
                    )
                    for port in subset.ports
                ),
            )
            for subset in endpoints.subsets
        ),
    )


def selected_endpoints(
    service: model.Service,
    pods: Iterable[model.Pod],
    container_ports: Mapping[str, Sequence[schema.ContainerPort]],
) -> model.Endpoints:
    """Endpoints of the pods that a service selects.

    A pod that has no port of the name in ``targetPort`` does not answer on that port.
    Ports with the same addresses share a subset.

    Args:
        service: a service with a selector.
        pods: every running pod.
        container_ports: the ports of each pod's containers, by the pod's key.

    Source: kubernetes release-1.11 pkg/controller/endpoint/endpoints_controller.go
    """
    answering: dict[model.EndpointPort, set[IPv4Address]] = defaultdict(set)
    for pod in pods:
        if (
            pod.namespace == service.namespace
            and service.selector.items() <= pod.labels.items()
        ):
            for port in service.ports:
                if number := _target(port, container_ports[pod.key]):
                    endpoint = model.EndpointPort(
                        name=port.name, protocol=port.protocol, port=number
                    )
                    answering[endpoint].add(pod.ip)
    subsets: dict[tuple[IPv4Address, ...], list[model.EndpointPort]] = defaultdict(list)
    for endpoint, addresses in answering.items():
        subsets[tuple(sorted(addresses))].append(endpoint)
    return model.Endpoints(
        namespace=service.namespace,
        name=service.name,
        subsets=tuple(
            model.EndpointSubset(addresses=addresses, ports=tuple(ports))
            for addresses, ports in subsets.items()
        ),
    )


def _target(
    port: model.ServicePort, container_ports: Iterable[schema.ContainerPort]
) -> int | None:
    if isinstance(port.target_port, int):
        return port.target_port
    return next(
        (
            candidate.container_port
            for candidate in container_ports
            if (candidate.name, candidate.protocol) == (port.target_port, port.protocol)
        ),
        None,
    )
