"""Flows of a node's own pods that are wrong, left over or missing."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from ipaddress import IPv4Address  # noqa: TC003 - pydantic reads it
from typing import TYPE_CHECKING

from testbed import model
from testbed.errors import NotFoundError
from testbed.faults.fault import Fault, PodFault
from testbed.openflow import Register, Table, matches
from testbed.openflow.actions import load, output
from testbed.pipeline.pods import flows_of_pod

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbed.model import Cluster
    from testbed.openflow import Flow

_TABLES_OF_PODS = (
    Table.FROM_POD,
    Table.FROM_POD_VIA_SERVICE,
    Table.ARP_TO_LOCAL_POD,
    Table.IP_TO_LOCAL_POD,
)


@dataclass(frozen=True, kw_only=True)
class PodFlowsStale(Fault):
    """The flows of a pod that is gone are still there; its port is not (BZ1518684).

    What is sent to the address vanishes without a drop being counted. A pod that has
    got the address since has its own flows, where they are not the same.

    Attributes:
        ip: the address that the pod had.
        ofport: the port that it had.
        vnid: the VNID that it had.
    """

    ip: IPv4Address
    ofport: int
    vnid: int = 0

    @property
    def told(self) -> str:
        """Whose flows are left."""
        return (
            f"{self.on} still has the flows of a pod that was {self.ip} "
            f"on port {self.ofport}"
        )

    def check(self, cluster: Cluster) -> None:
        """See that the address is one of the node's, and the port nobody's."""
        node = cluster.node(self.node)
        if self.ip not in node.subnet:
            raise NotFoundError(
                f"{self.kind}: {self.ip} is not in {node.name}'s {node.subnet}"
            )
        _check_free(self.kind, cluster, self.node, self.ofport)

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """The flows, and those of the pod that is gone."""
        gone = model.Pod(
            namespace="gone", name="pod", node=self.node, ip=self.ip, ofport=None
        )
        taken = {(flow.table, flow.selector) for flow in computed}
        left = flows_of_pod(
            gone,
            ofport=self.ofport,
            vnid=self.vnid,
            tracks_connections=any(
                flow.table == Table.FROM_POD_VIA_SERVICE for flow in computed
            ),
        )
        return (
            *computed,
            *(
                dataclasses.replace(flow, made_by="")
                for flow in left
                if (flow.table, flow.selector) not in taken
            ),
        )


@dataclass(frozen=True, kw_only=True)
class PodFlowsMissing(PodFault):
    """A pod is plugged in, and br0 has no flows for it.

    It can neither send nor be reached. As after a restart of Open vSwitch whose pods
    were not attached anew (BZ1760103).
    """

    @property
    def told(self) -> str:
        """Whose flows are missing."""
        return f"{self.on} has no flows for {self.pod}"

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """All but the pod's."""
        return tuple(flow for flow in computed if not _is_of(flow, self.pod))


@dataclass(frozen=True, kw_only=True)
class OfportWrong(PodFault):
    """A pod's flows are for a port that it is not plugged into.

    Attributes:
        ofport: that port; it may be another pod's.
    """

    ofport: int

    @property
    def told(self) -> str:
        """Which pod, and which port."""
        return f"{self.on} has flows for {self.pod} on port {self.ofport}, not its own"

    def check(self, cluster: Cluster) -> None:
        """See that it is a port, and not the pod's."""
        if not 1 <= self.ofport < 0xFF00:
            raise NotFoundError(f"{self.kind}: ofport must be 1 to {0xFF00 - 1}")
        if self.ofport == cluster.pod(self.pod).ofport:
            raise NotFoundError(f"{self.kind}: {self.ofport} is the port of {self.pod}")

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """The flows, the pod's for that port."""
        return tuple(
            dataclasses.replace(
                flow,
                match=tuple(map(self._match, flow.match)),
                actions=tuple(map(self._action, flow.actions)),
            )
            if _is_of(flow, self.pod)
            else flow
            for flow in computed
        )

    def _match(self, item: str) -> str:
        return matches.in_port(self.ofport) if item.startswith("in_port=") else item

    def _action(self, action: str) -> str:
        if action.startswith("output:"):
            return output(self.ofport)
        if action.endswith(f"->{Register.DESTINATION_OFPORT}[]"):
            return load(self.ofport, Register.DESTINATION_OFPORT)
        return action


def _is_of(flow: Flow, pod: str) -> bool:
    """Whether it is one of the flows that a pod is set up with."""
    return flow.made_by == f"Pod {pod}" and flow.table in _TABLES_OF_PODS


def _check_free(kind: str, cluster: Cluster, node: str, ofport: int) -> None:
    taken = {pod.ofport: pod.key for pod in cluster.pods_on(cluster.node(node))}
    if ofport in taken:
        raise NotFoundError(f"{kind}: port {ofport} is that of {taken[ofport]}")
    if not 3 <= ofport < 0xFF00:
        raise NotFoundError(f"{kind}: ofport must be 3 to {0xFF00 - 1}")
