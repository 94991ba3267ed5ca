"""What a packet comes out of and goes into where it is seen. Pure.

A tap is on a wire between two stations: a pod and its node's br0, br0 and the node's
kernel (tun0), a node and the underlay switch, an external host and the gateway. On a
node's wire, VXLAN comes from and goes to br0, all else the kernel.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbed.report.records import ClusterRecord

GATEWAY = "gateway"
"""What the gateway is called, which has no tap."""

Station: TypeAlias = tuple[str, str]
"""What it is, and whose; of the switch, who the frame is for."""


class Role(enum.Enum):
    """What a tap is to its machine, which decides what it is linked with."""

    POD = enum.auto()
    TUN0 = enum.auto()
    WIRE = enum.auto()
    HOST = enum.auto()
    EXTERNAL = enum.auto()


@dataclass(frozen=True, slots=True)
class Stations:
    """Each tap's role and machine, by the tap's label; a pod's machine is its node."""

    roles: Mapping[str, tuple[Role, str]]

    @classmethod
    def of(cls, cluster: ClusterRecord) -> Stations:
        """The taps of a cluster."""
        roles = {
            place.tap: (role, place.name)
            for role, places in (
                (Role.EXTERNAL, cluster.externals),
                (Role.HOST, (*cluster.rogues, *cluster.ghosts)),
            )
            for place in places
        }
        for node in cluster.nodes:
            roles[node.tun0] = Role.TUN0, node.name
            roles[node.wire] = Role.WIRE, node.name
            roles |= {pod.tap: (Role.POD, node.name) for pod in node.pods}
        return cls(roles)

    def between(
        self, tap: str, *, sent: bool, tunnelled: bool, peer: str
    ) -> tuple[Station, Station]:
        """What a frame comes out of and goes into at a tap.

        Args:
            tap: the tap's label; one that is unknown is an end of its own.
            sent: whether it left its machine there.
            tunnelled: whether it is in VXLAN.
            peer: the machine at its other end on the underlay, or nothing.
        """
        end = ("end", tap)
        if tap not in self.roles:
            return (end, ("", tap)) if sent else (("", tap), end)
        role, name = self.roles[tap]
        br0, kernel = ("br0", name), ("kernel", name)
        near: Station
        far: Station
        match role:
            case Role.POD:
                near, far = end, br0
            case Role.TUN0:
                near, far = kernel, br0
            case Role.WIRE:
                near = br0 if tunnelled else kernel
                far = self._switch(peer if sent else name, peer)
            case Role.HOST:
                near, far = end, self._switch(peer if sent else name, peer)
            case Role.EXTERNAL:
                near, far = end, (GATEWAY, "")
        return (near, far) if sent else (far, near)

    def _switch(self, receiver: str, peer: str) -> Station:
        """The switch; but to and from the gateway it leads nowhere else."""
        return (GATEWAY, "") if peer == GATEWAY else ("switch", receiver)
