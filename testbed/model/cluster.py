"""A whole cluster as one value, and the questions every other part asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.errors import NotFoundError

if TYPE_CHECKING:
    from ipaddress import IPv4Network

    from testbed.model.network import (
        ClusterNetwork,
        HostSubnet,
        NetNamespace,
    )
    from testbed.model.underlay import Underlay
    from testbed.model.workload import (
        Endpoints,
        Namespace,
        Pod,
        Service,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Every object of one cluster, complete and consistent.

    ``testbed.topology`` makes it from YAML and answers for its validity: names are
    unique, every pod's node exists, addresses lie where they must.
    """

    network: ClusterNetwork
    host_subnets: tuple[HostSubnet, ...]
    net_namespaces: tuple[NetNamespace, ...]
    namespaces: tuple[Namespace, ...]
    pods: tuple[Pod, ...]
    services: tuple[Service, ...]
    endpoints: tuple[Endpoints, ...]
    underlay: Underlay

    @property
    def cidrs(self) -> tuple[IPv4Network, ...]:
        """The cluster network's ranges, in the order of the object."""
        return tuple(entry.cidr for entry in self.network.cluster_networks)

    def node(self, name: str) -> HostSubnet:
        """The node of that name, or of that name's first label.

        Raises:
            NotFoundError: no node, or more than one, is meant.
        """
        found = [
            node
            for node in self.host_subnets
            if node.name == name or node.name.split(".", 1)[0] == name
        ]
        if len(found) != 1:
            raise NotFoundError(_not_found("node", name, self.host_subnets))
        return found[0]

    def peers(self, node: HostSubnet) -> tuple[HostSubnet, ...]:
        """Every other node."""
        return tuple(peer for peer in self.host_subnets if peer != node)

    def pod(self, key: str) -> Pod:
        """The pod ``namespace/name``.

        Raises:
            NotFoundError: there is none.
        """
        for pod in self.pods:
            if pod.key == key:
                return pod
        raise NotFoundError(
            f"no pod {key}; there are: {', '.join(p.key for p in self.pods)}"
        )

    def pods_on(self, node: HostSubnet) -> tuple[Pod, ...]:
        """The node's pods that have a port on br0, by ofport."""
        return tuple(
            sorted(
                (
                    pod
                    for pod in self.pods
                    if pod.node == node.name and not pod.host_network
                ),
                key=lambda pod: pod.ofport or 0,
            )
        )

    def service(self, key: str) -> Service:
        """The service ``namespace/name``.

        Raises:
            NotFoundError: there is none.
        """
        for service in self.services:
            if service.key == key:
                return service
        raise NotFoundError(
            f"no service {key}; there are: {', '.join(s.key for s in self.services)}"
        )

    def vnid(self, namespace: str) -> int:
        """The VNID of a namespace; 0 for all under ovs-subnet.

        Source: openshift/origin release-3.11 pkg/network/node/singletenant.go
        """
        if self.network.plugin.plugin_id == 0:
            return 0
        for net_namespace in self.net_namespaces:
            if net_namespace.name == namespace:
                return net_namespace.netid
        raise NotFoundError(f"no NetNamespace {namespace}")


def _not_found(kind: str, name: str, among: tuple[HostSubnet, ...]) -> str:
    names = ", ".join(item.name for item in among)
    return f"no single {kind} {name}; there are: {names}"
