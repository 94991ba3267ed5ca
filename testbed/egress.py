"""Which node and address each namespace leaves the cluster by. Pure.

A namespace asks for egress IPs in its NetNamespace, nodes offer them in their
HostSubnets. An address is claimed when exactly one node and one VNID want it and the
VNID has no second address on that node. A VNID then leaves by the first claimed
address of its list; if it asked and gets none, its pods do not leave at all.

``pipeline`` makes flows of this, ``host`` addresses and rules.

Source: openshift/origin release-3.11 pkg/network/common/egressip.go and
pkg/network/node/egressip.go
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address

    from testbed.model import Cluster, HostSubnet, NetNamespace

_MASQUERADE_BIT = 0x1
"""The mark of what kube-proxy wants masqueraded; no namespace's mark has it."""
_MARK_FOR_BIT = 0x01000000
_MARK_FOR_VNID_0 = 0xFF000000


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An egress IP that its node has and its VNID may use."""

    ip: IPv4Address
    node: HostSubnet
    vnid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressState:
    """Who claims what, and which way each VNID takes.

    ``ways`` holds the VNIDs that asked for an egress IP: the claim each uses, or
    ``None`` where its traffic is dropped.
    """

    claims: tuple[Claim, ...]
    ways: Mapping[int, Claim | None]

    def claims_on(self, node: HostSubnet) -> tuple[Claim, ...]:
        """The claims of one node."""
        return tuple(claim for claim in self.claims if claim.node == node)


def egress_state(cluster: Cluster) -> EgressState:
    """What the SDN on every node makes of the egress IPs of a cluster.

    Two namespaces that share a VNID count as one, the last of them.
    """
    if not cluster.network.plugin.has_vnids:
        return EgressState(claims=(), ways={})
    asking = {
        item.netid: item.egress_ips for item in _last_of_each_vnid(cluster).values()
    }
    wanted_by: dict[IPv4Address, list[int]] = defaultdict(list)
    for vnid, ips in asking.items():
        for ip in dict.fromkeys(ips):
            wanted_by[ip].append(vnid)
    offered_by: dict[IPv4Address, list[HostSubnet]] = defaultdict(list)
    for node in cluster.nodes:
        for ip in dict.fromkeys(node.egress_ips):
            offered_by[ip].append(node)

    def is_claimed(ip: IPv4Address) -> bool:
        if len(wanted_by[ip]) != 1 or len(offered_by[ip]) != 1:
            return False
        others = (other for other in asking[wanted_by[ip][0]] if other != ip)
        return not any(offered_by[other] == offered_by[ip] for other in others)

    claims = {
        ip: Claim(ip=ip, node=offered_by[ip][0], vnid=vnids[0])
        for ip, vnids in list(wanted_by.items())
        if is_claimed(ip)
    }
    return EgressState(
        claims=tuple(claims.values()),
        ways={
            vnid: _way(ips, claims, wanted_by, cluster.offline_nodes)
            for vnid, ips in asking.items()
            if ips
        },
    )


def egress_mark(vnid: int) -> int:
    """The packet mark by which iptables knows what a VNID sends out."""
    if vnid == 0:
        return _MARK_FOR_VNID_0
    if vnid & _MASQUERADE_BIT:
        return (vnid | _MARK_FOR_BIT) ^ _MASQUERADE_BIT
    return vnid


def _last_of_each_vnid(cluster: Cluster) -> dict[int, NetNamespace]:
    return {item.netid: item for item in cluster.net_namespaces}


def _way(
    ips: tuple[IPv4Address, ...],
    claims: Mapping[IPv4Address, Claim],
    wanted_by: Mapping[IPv4Address, list[int]],
    offline: frozenset[str],
) -> Claim | None:
    """The first address that can be used; a shared one spoils them all."""
    if any(len(wanted_by[ip]) > 1 for ip in ips):
        return None
    for ip in ips:
        claim = claims.get(ip)
        # With a single address there is nothing to fail over to.
        if claim and (len(ips) == 1 or claim.node.name not in offline):
            return claim
    return None
