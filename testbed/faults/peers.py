"""A node that knows another node wrongly, or not at all."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Self

from testbed.errors import NotFoundError
from testbed.faults.fault import Fault, short
from testbed.faults.flows import host_subnet_name
from testbed.openflow import OFPort, Table, matches
from testbed.openflow.actions import output, set_tunnel_destination

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbed.model import Cluster
    from testbed.openflow import Flow

_TUN_SRC = "tun_src="


@dataclass(frozen=True, kw_only=True)
class _PeerFault(Fault):
    """Something that is wrong with what a node knows of a peer.

    Attributes:
        peer: the HostSubnet's name.
    """

    peer: str

    @property
    def _maker(self) -> str:
        return f"HostSubnet {self.peer}"

    def resolved(self, cluster: Cluster) -> Self:
        """The same with the names in full."""
        return dataclasses.replace(
            super().resolved(cluster), peer=host_subnet_name(cluster, self.peer)
        )

    def check(self, cluster: Cluster) -> None:
        """See that the peer is another one."""
        peers = [peer.name for peer in cluster.peers(cluster.node(self.node))]
        if self.peer not in peers:
            raise NotFoundError(
                f"{self.node} has no peer {self.peer}; there are: {', '.join(peers)}"
            )

    def _address(self, computed: Sequence[Flow]) -> str | None:
        """The peer's address, as the node should have it."""
        for flow in computed:
            if flow.table == Table.FROM_VXLAN and flow.made_by == self._maker:
                return flow.match[0].removeprefix(_TUN_SRC)
        return None


@dataclass(frozen=True, kw_only=True)
class HostSubnetForgotten(_PeerFault):
    """The flows for one peer are missing, as after an event that got lost.

    Tables 10, 50 and 90 lack the peer's flow, table 111 its copy. What the node sends
    to the peer's pods is dropped, and so is what comes from there.

    Source: openshift/origin release-3.11 pkg/network/node/subnets.go
    """

    @property
    def told(self) -> str:
        """Who has forgotten whom."""
        return f"{self.on} has forgotten HostSubnet {short(self.peer)}"

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """All but the peer's."""
        address = self._address(computed)
        return tuple(
            _without_copy(flow, address) if address else flow
            for flow in computed
            if flow.made_by != self._maker
        )


@dataclass(frozen=True, kw_only=True)
class HostSubnetStale(_PeerFault):
    """The flows for one peer name an address that it no longer has.

    Attributes:
        host_ip: that address.

    Source: openshift/origin release-3.11 pkg/network/node/subnets.go
    """

    host_ip: IPv4Address

    @property
    def told(self) -> str:
        """Who takes whom to be where."""
        return (
            f"{self.on} takes HostSubnet {short(self.peer)} to be at {self.host_ip} yet"
        )

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """The flows, the peer's with the old address."""
        address = self._address(computed)
        if address is None:
            return tuple(computed)
        true = set_tunnel_destination(IPv4Address(address))
        stale = set_tunnel_destination(self.host_ip)
        return tuple(
            dataclasses.replace(
                flow,
                match=tuple(
                    matches.tun_src(self.host_ip)
                    if item == f"{_TUN_SRC}{address}"
                    else item
                    for item in flow.match
                ),
                actions=tuple(
                    stale if action == true else action for action in flow.actions
                ),
            )
            if flow.made_by == self._maker or flow.table == Table.MULTICAST_TO_VXLAN
            else flow
            for flow in computed
        )


def _without_copy(flow: Flow, address: str) -> Flow:
    """Table 111's flow without a peer's copy; any other as it is."""
    destination = set_tunnel_destination(IPv4Address(address))
    if flow.table != Table.MULTICAST_TO_VXLAN or destination not in flow.actions:
        return flow
    place = flow.actions.index(destination)
    left = flow.actions[:place] + flow.actions[place + 2 :]
    if output(OFPort.VXLAN0) not in left:
        left = left[-1:]  # without peers, no VNID is written either
    return dataclasses.replace(flow, actions=left)
