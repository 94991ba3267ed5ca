"""A node's egress IPs: its further addresses, and the rules that go with them.

br0 marks what a namespace sends out of its egress IP; iptables knows it by the mark and
gives it that address. Nobody may open a connection to an egress IP.

Source: openshift/origin release-3.11 pkg/network/node/egressip.go and iptables.go
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.egress import egress_mark, egress_state
from testbed.host.rules import REJECT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address

    from testbed.egress import Claim
    from testbed.model import Cluster, HostSubnet


def egress_addresses(cluster: Cluster, node: HostSubnet) -> tuple[IPv4Address, ...]:
    """The egress IPs that the node has on eth0 besides its own address.

    One that is the node's own address, or that lies outside its network, it does not
    take: 3.11 logs an error, and there is neither address nor rule.
    """
    return tuple(claim.ip for claim in _usable_claims(cluster, node))


def egress_snat_rules(cluster: Cluster, node: HostSubnet) -> Iterator[str]:
    """Yield the rules on top of OPENSHIFT-MASQUERADE.

    Each was put above all others, so the last is first.
    """
    for claim in reversed(_usable_claims(cluster, node)):
        for cidr in reversed(cluster.cidrs):
            yield (
                f"-s {cidr} -m mark --mark {egress_mark(claim.vnid):#x} "
                f"-j SNAT --to-source {claim.ip}"
            )


def egress_reject_rules(cluster: Cluster, node: HostSubnet) -> Iterator[str]:
    """Yield the rules at the end of OPENSHIFT-FIREWALL-ALLOW."""
    for claim in _usable_claims(cluster, node):
        yield f"-d {claim.ip}/32 -m conntrack --ctstate NEW {REJECT}"


def marks_by_sender(cluster: Cluster, node: HostSubnet) -> str:
    """Mark what br0 marks, by who sent it; input for ``iptables-restore``.

    OVS's userspace datapath has no way to hand a packet's mark to the kernel, so where
    it forwards the packets iptables must tell those of a namespace by their addresses.
    """
    inside = (*cluster.cidrs, cluster.network.service_network)
    marks = {
        vnid: egress_mark(vnid)
        for vnid, claim in egress_state(cluster).ways.items()
        if claim and claim.node == node
    }
    lines = [
        "*mangle",
        ":PREROUTING ACCEPT [0:0]",
        *(f"-A PREROUTING -i tun0 -d {network} -j ACCEPT" for network in inside),
        *(
            f"-A PREROUTING -i tun0 -s {pod.ip}/32 -j MARK --set-xmark {mark:#x}"
            for pod in cluster.pods
            if not pod.host_network
            and (mark := marks.get(cluster.vnid(pod.namespace))) is not None
        ),
        "COMMIT",
    ]
    return "".join(f"{line}\n" for line in lines)


def _usable_claims(cluster: Cluster, node: HostSubnet) -> tuple[Claim, ...]:
    return tuple(
        claim
        for claim in egress_state(cluster).claims_on(node)
        if claim.ip != node.host_ip and claim.ip in cluster.underlay.subnet
    )
