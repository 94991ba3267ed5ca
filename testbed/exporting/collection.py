"""What there is to collect, and what the three collecting tools have in common."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from testbed.exporting.objects import ApiServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from testbed.exporting.answers import Answers
    from testbed.model import Cluster, HostSubnet, Pod
    from testbed.topology import Topology

COMPLETING = (
    "clusternetwork",
    "hostsubnets",
    "netnamespaces",
    "namespaces",
    "networkpolicies",
    "egressnetworkpolicies",
    "services",
    "endpoints",
    "pods",
)
"""What ``oc get`` is asked for, where all is wanted that the testbed reads."""


class Format(enum.StrEnum):
    """A tool whose output can be made."""

    DEBUG_SH = "debug.sh"
    NETWORK_CHECK = "networkcheck"
    SOS = "sos"


class File(NamedTuple):
    """A file of a collection: its path in there, and its text."""

    path: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A cluster at a moment, and who answers for its machines.

    Attributes:
        topology: its objects.
        answers: its machines.
        moment: when it is collected.
    """

    topology: Topology
    answers: Answers
    moment: datetime

    @property
    def cluster(self) -> Cluster:
        """The cluster as a value."""
        return self.topology.cluster

    @cached_property
    def api(self) -> ApiServer:
        """Its API server."""
        return ApiServer(self.topology)

    @property
    def master(self) -> HostSubnet:
        """The node that is the master, too: the first."""
        return self.cluster.nodes[0]

    @property
    def pods(self) -> tuple[Pod, ...]:
        """The pods that have a network of their own."""
        return tuple(pod for pod in self.cluster.pods if not pod.host_network)

    def completing(self) -> Iterator[File]:
        """Yield what no tool collects: policies, namespaces, the nodes' surroundings.

        The first file is what support asks a customer for besides, the second is the
        testbed's own. With them an import is the cluster that was exported.
        """
        yield File("oc-get.yaml", self.api.yaml(*COMPLETING))
        yield File("underlay.yaml", self.api.underlay())
