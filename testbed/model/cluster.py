"""A whole cluster as one value, and the questions every other part asks of it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from testbed.errors import NotFoundError
from testbed.model.quirks import Quirks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv4Network

    from testbed.model.network import (
        ClusterNetwork,
        HostSubnet,
        NetNamespace,
    )
    from testbed.model.policy import EgressNetworkPolicy, NetworkPolicy
    from testbed.model.underlay import Underlay
    from testbed.model.workload import (
        Endpoints,
        Namespace,
        Pod,
        Service,
    )


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Every object of one cluster, complete and consistent.

    ``testbed.topology`` makes it from YAML and answers for its validity: names are
    unique, every pod's node exists, addresses lie where they must.

    ``offline_nodes`` are the names of nodes that the others have found dead.
    """

    network: ClusterNetwork
    host_subnets: tuple[HostSubnet, ...]
    net_namespaces: tuple[NetNamespace, ...]
    namespaces: tuple[Namespace, ...]
    pods: tuple[Pod, ...]
    services: tuple[Service, ...]
    endpoints: tuple[Endpoints, ...]
    underlay: Underlay
    network_policies: tuple[NetworkPolicy, ...] = ()
    egress_network_policies: tuple[EgressNetworkPolicy, ...] = ()
    quirks: Quirks = field(default_factory=Quirks)
    offline_nodes: frozenset[str] = frozenset()

    @property
    def cidrs(self) -> tuple[IPv4Network, ...]:
        """The cluster network's ranges, in the order of the object."""
        return tuple(entry.cidr for entry in self.network.cluster_networks)

    @cached_property
    def nodes(self) -> tuple[HostSubnet, ...]:
        """The HostSubnets that are nodes and no ghosts."""
        return tuple(host for host in self.host_subnets if host.is_node)

    @cached_property
    def ghosts(self) -> tuple[HostSubnet, ...]:
        """The HostSubnets of machines that run no SDN."""
        return tuple(host for host in self.host_subnets if not host.is_node)

    def node(self, name: str) -> HostSubnet:
        """The node of that name, or of that name's first label.

        Raises:
            NotFoundError: no node, or more than one, is meant.
        """
        found = self._nodes_by_name.get(name) or [
            node for node in self.nodes if node.name.split(".", 1)[0] == name
        ]
        if len(found) != 1:
            names = ", ".join(node.name for node in self.nodes)
            raise NotFoundError(f"no single node {name}; there are: {names}")
        return found[0]

    def peers(self, node: HostSubnet) -> tuple[HostSubnet, ...]:
        """Everyone else that speaks VXLAN: the other nodes, and ghosts.

        Source: openshift/origin release-3.11 pkg/network/node/subnets.go
        """
        return tuple(peer for peer in self.host_subnets if peer.host_ip != node.host_ip)

    def pod(self, key: str) -> Pod:
        """The pod ``namespace/name``.

        Raises:
            NotFoundError: there is none.
        """
        if key in self._pods_by_key:
            return self._pods_by_key[key]
        raise NotFoundError(f"no pod {key}; there are: {', '.join(self._pods_by_key)}")

    def pods_on(self, node: HostSubnet) -> tuple[Pod, ...]:
        """The node's pods that have a port on br0, by ofport."""
        return self._pods_by_node.get(node.name, ())

    def pods_in(self, namespace: str) -> tuple[Pod, ...]:
        """The namespace's pods that have an address of their own, on all nodes."""
        return self._pods_by_namespace.get(namespace, ())

    def pod_at(self, ip: IPv4Address) -> Pod | None:
        """The pod that has this address for its own."""
        return self._pods_by_ip.get(ip)

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

    def endpoints_of(self, service: Service) -> Endpoints | None:
        """Who answers for a service; ``None`` where nothing is known of that."""
        return self._endpoints_by_key.get(service.key)

    def vnid(self, namespace: str) -> int:
        """The VNID of a namespace; 0 for all under ovs-subnet.

        Raises:
            NotFoundError: the namespace has no NetNamespace.

        Source: openshift/origin release-3.11 pkg/network/node/singletenant.go
        """
        if not self.network.plugin.has_vnids:
            return 0
        if namespace in self._vnids:
            return self._vnids[namespace]
        raise NotFoundError(f"no NetNamespace {namespace}")

    def net_namespaces_of(self, vnid: int) -> tuple[NetNamespace, ...]:
        """The namespaces that share a VNID."""
        return self._net_namespaces_by_vnid.get(vnid, ())

    def egress_network_policies_of(
        self, namespace: str
    ) -> tuple[EgressNetworkPolicy, ...]:
        """A namespace's EgressNetworkPolicies that have a rule."""
        return tuple(
            policy
            for policy in self.egress_network_policies
            if policy.namespace == namespace and policy.egress
        )

    def resolve(self, dns_name: str) -> tuple[IPv4Address, ...]:
        """The addresses a node's DNS has for a name outside the cluster, sorted."""
        return tuple(
            sorted(
                host.ip
                for host in self.underlay.external_hosts
                if dns_name.rstrip(".").lower() in host.dns_names
            )
        )

    @cached_property
    def _nodes_by_name(self) -> Mapping[str, list[HostSubnet]]:
        return {node.name: [node] for node in self.nodes}

    @cached_property
    def _pods_by_key(self) -> Mapping[str, Pod]:
        return {pod.key: pod for pod in self.pods}

    @cached_property
    def _pods_by_ip(self) -> Mapping[IPv4Address, Pod]:
        return {pod.ip: pod for pod in self.pods if not pod.host_network}

    @cached_property
    def _pods_by_node(self) -> Mapping[str, tuple[Pod, ...]]:
        found: dict[str, list[Pod]] = defaultdict(list)
        for pod in self.pods:
            if not pod.host_network:
                found[pod.node].append(pod)
        return {
            name: tuple(sorted(pods, key=lambda pod: pod.ofport or 0))
            for name, pods in found.items()
        }

    @cached_property
    def _pods_by_namespace(self) -> Mapping[str, tuple[Pod, ...]]:
        found: dict[str, list[Pod]] = defaultdict(list)
        for pod in self.pods:
            if not pod.host_network:
                found[pod.namespace].append(pod)
        return {name: tuple(pods) for name, pods in found.items()}

    @cached_property
    def _endpoints_by_key(self) -> Mapping[str, Endpoints]:
        return {f"{item.namespace}/{item.name}": item for item in self.endpoints}

    @cached_property
    def _vnids(self) -> Mapping[str, int]:
        return {item.name: item.netid for item in self.net_namespaces}

    @cached_property
    def _net_namespaces_by_vnid(self) -> Mapping[int, tuple[NetNamespace, ...]]:
        found: dict[int, list[NetNamespace]] = defaultdict(list)
        for item in self.net_namespaces:
            found[item.netid].append(item)
        return {vnid: tuple(items) for vnid, items in found.items()}
