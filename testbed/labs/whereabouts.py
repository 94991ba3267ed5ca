"""Machines as a person names them, in a running cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.errors import NotFoundError
from testbed.model import HostSubnet, Pod
from testbed.parties import party

if TYPE_CHECKING:
    from testbed.probe import LiveCluster, Place


def place_of(live: LiveCluster, name: str) -> Place:
    """The machine that ``testbed exec`` calls so: a node, ``NAMESPACE/POD``, a host.

    Raises:
        NotFoundError: there is none.
    """
    if "/" not in name and ":" not in name:
        return live.node(name)
    found = party(live.objects, name)
    if isinstance(found, HostSubnet):
        return live.node(found.name)
    if isinstance(found, Pod):
        return live.pod(found.key)
    for host in (*live.external_hosts, *live.rogues):
        if host.name == found.name:
            return host
    raise NotFoundError(f"{name} has no machine of its own")
