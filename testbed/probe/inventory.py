"""Who is in a running cluster, by the names that a scenario author uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from testbed.errors import NotFoundError
from testbed.probe.places import Host, Node, Place, Places, Pod

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from testbed import model
    from testbed.topology import Topology

_PlaceT = TypeVar("_PlaceT", bound=Place)


class Inventory:
    """The objects and places of a cluster, looked up by name or by what they are for.

    Attributes:
        topology: what the cluster is now, after all changes.
        places: its places, in the objects' order.
    """

    def __init__(self, topology: Topology, places: Places) -> None:
        self.topology = topology
        self.places = places

    @property
    def objects(self) -> model.Cluster:
        """The OpenShift objects that the cluster consists of."""
        return self.topology.cluster

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Its nodes."""
        return self.places.nodes

    @property
    def pods(self) -> tuple[Pod, ...]:
        """Its pods, but for those on the host network."""
        return self.places.pods

    @property
    def external_hosts(self) -> tuple[Host, ...]:
        """The machines behind its gateway."""
        return self.places.external_hosts

    @property
    def rogues(self) -> tuple[Host, ...]:
        """The strangers among its nodes."""
        return self.places.rogues

    @property
    def ghosts(self) -> tuple[Host, ...]:
        """The machines that have a HostSubnet and run no SDN."""
        return self.places.ghosts

    def node(self, name: str) -> Node:
        """The node of that name, or of that name's first label."""
        return _named(self.objects.node(name).name, self.nodes)

    def pod(self, key: str) -> Pod:
        """The pod ``namespace/name``; one on the host network has no place."""
        return _named(self.objects.pod(key).key, self.pods)

    def pods_on(self, node: Node | str) -> tuple[Pod, ...]:
        """A node's pods."""
        name = self.node(str(node)).name
        return tuple(pod for pod in self.pods if pod.node.name == name)

    def service(self, key: str) -> model.Service:
        """The service ``namespace/name``."""
        return self.objects.service(key)

    @property
    def external(self) -> Host:
        """The first external host."""
        return _first(self.external_hosts, "external host")

    @property
    def rogue(self) -> Host:
        """The first rogue VTEP."""
        return _first(self.rogues, "rogue")

    def unused_ip(self, node: Node) -> IPv4Address:
        """An address of a node's subnet that nobody has."""
        taken = {node.gateway, *(pod.ip for pod in self.pods)}
        return next(ip for ip in node.subnet.hosts() if ip not in taken)

    @property
    def unassigned_ip(self) -> IPv4Address:
        """An address of the cluster network in a subnet that no node has."""
        entry = self.objects.network.cluster_networks[0]
        subnets = entry.cidr.subnets(new_prefix=32 - entry.host_subnet_length)
        taken = [host.subnet for host in self.objects.host_subnets]
        return next(s[2] for s in subnets if not any(s.overlaps(t) for t in taken))


def _named(name: str, places: tuple[_PlaceT, ...]) -> _PlaceT:
    for place in places:
        if place.name == name:
            return place
    raise NotFoundError(f"{name} has no machine of its own; it is on the host network")


def _first(places: tuple[_PlaceT, ...], kind: str) -> _PlaceT:
    if not places:
        raise NotFoundError(f"the topology's Underlay has no {kind}")
    return places[0]
