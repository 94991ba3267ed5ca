"""Which machine each party of a cluster is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.errors import NotFoundError
from testbed.model import HostSubnet, Pod
from testbed.parties import name_of

if TYPE_CHECKING:
    from testbed.model import Party
    from testbed.probe.places import Node, Place, Places


class Directory:
    """The places of a cluster's parties."""

    def __init__(self, places: Places) -> None:
        self.places = places
        hosts = (*places.external_hosts, *places.rogues)
        self._pods = {pod.name: pod for pod in places.pods}
        self._nodes = {node.name: node for node in places.nodes}
        self._ghosts = {ghost.name: ghost for ghost in places.ghosts}
        self._hosts = {(host.name, host.ip): host for host in hosts}

    def place(self, party: Party) -> Place:
        """The machine of a party that is on no host network.

        Raises:
            NotFoundError: it has none in this cluster.
        """
        place: Place | None
        if isinstance(party, Pod):
            place = self._pods.get(party.key)
        elif isinstance(party, HostSubnet):
            place = (self._nodes if party.is_node else self._ghosts).get(party.name)
        else:
            place = self._hosts.get((party.name, party.ip))
        if place is None:
            raise NotFoundError(f"{name_of(party)} has no machine in this cluster")
        return place

    def node(self, host: HostSubnet) -> Node:
        """The place of a node."""
        return self._nodes[host.name]
