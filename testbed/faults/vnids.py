"""Namespaces and pods with a VNID that is not theirs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.errors import NotFoundError
from testbed.faults.fault import Fault, PodFault
from testbed.openflow import Register, Table
from testbed.openflow.actions import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbed.model import Cluster
    from testbed.openflow import Flow


@dataclass(frozen=True, kw_only=True)
class _NamespacesFault(Fault):
    """Two namespaces that a node takes for what they are not.

    Attributes:
        namespace: the one.
        other: the other.
    """

    namespace: str
    other: str

    def check(self, cluster: Cluster) -> None:
        """See that both have VNIDs, and different ones."""
        if not cluster.network.plugin.has_vnids:
            raise NotFoundError(f"{self.kind}: under ovs-subnet there are no VNIDs")
        vnids = {name: cluster.vnid(name) for name in (self.namespace, self.other)}
        if len(set(vnids.values())) < 2:
            raise NotFoundError(
                f"{self.kind}: {self.namespace} and {self.other} have one VNID already"
            )


@dataclass(frozen=True, kw_only=True)
class VnidSwapped(_NamespacesFault):
    """A node takes two namespaces for each other."""

    @property
    def told(self) -> str:
        """Which two."""
        return f"{self.on} has swapped the VNIDs of {self.namespace} and {self.other}"

    def seen(self, cluster: Cluster) -> Cluster:
        """Each with the other's VNID."""
        return _exchanged(
            cluster, {self.namespace: self.other, self.other: self.namespace}
        )


@dataclass(frozen=True, kw_only=True)
class VnidDuplicated(_NamespacesFault):
    """On a node a namespace has another one's VNID, and its traffic is the other's."""

    @property
    def told(self) -> str:
        """Which has whose."""
        return f"{self.on} gives {self.namespace} the VNID of {self.other}"

    def seen(self, cluster: Cluster) -> Cluster:
        """The one with the other's VNID."""
        return _exchanged(cluster, {self.namespace: self.other})


def _exchanged(cluster: Cluster, whose: dict[str, str]) -> Cluster:
    """The cluster with namespaces that have another's VNID, where that is there yet."""
    vnids = {item.name: item.netid for item in cluster.net_namespaces}
    return dataclasses.replace(
        cluster,
        net_namespaces=tuple(
            dataclasses.replace(
                item, netid=vnids.get(whose.get(item.name, ""), item.netid)
            )
            for item in cluster.net_namespaces
        ),
    )


@dataclass(frozen=True, kw_only=True)
class VnidStale(PodFault):
    """A pod's flows have a VNID that its namespace no longer has.

    As after ``oc adm pod-network join-projects`` whose update of the pod failed
    (BZ1445694).

    Attributes:
        vnid: the old one, 0 to 2**24 - 1.
    """

    vnid: int

    @property
    def told(self) -> str:
        """Who has which."""
        return f"{self.on} gives {self.pod} the VNID {self.vnid:#x} yet"

    def check(self, cluster: Cluster) -> None:
        """See that it is a VNID, and not the true one."""
        if not 0 <= self.vnid < 1 << 24:
            raise NotFoundError(f"{self.kind}: vnid must be 0 to {(1 << 24) - 1}")
        if self.vnid == cluster.vnid(cluster.pod(self.pod).namespace):
            raise NotFoundError(f"{self.kind}: {self.vnid} is the VNID of {self.pod}")

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """The flows, the pod's with that VNID."""
        return tuple(
            dataclasses.replace(
                flow,
                actions=tuple(
                    load(self.vnid, _VNID_OF[Table(flow.table)])
                    if action.endswith(f"->{_VNID_OF[Table(flow.table)]}[]")
                    else action
                    for action in flow.actions
                ),
            )
            if flow.made_by == f"Pod {self.pod}" and flow.table in _VNID_OF
            else flow
            for flow in computed
        )


_VNID_OF = {
    Table.FROM_POD: Register.SOURCE_VNID,
    Table.FROM_POD_VIA_SERVICE: Register.SOURCE_VNID,
    Table.IP_TO_LOCAL_POD: Register.DESTINATION_VNID,
}
"""The register that a pod's flow of each table loads its VNID into."""
