"""The SDN's own chains: what a node takes in, forwards and masquerades.

Under ovs-subnet and ovs-multitenant all that pods send through tun0 leaves with the
node's address, to services too. ovs-networkpolicy must see who sent, so there only what
leaves the cluster does.

The comments on the two accepts of forwarded traffic look swapped; they are so in 3.11.
With several cluster networks its rules are network by network, so that a packet that is
not valid is dropped only if no network before its own accepts it.

Source: openshift/origin release-3.11 pkg/network/node/iptables.go
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.host.egress import egress_reject_rules, egress_snat_rules
from testbed.host.rules import Chain, comment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Cluster, HostSubnet

_POD_TO_EXTERNAL = comment("masquerade pod-to-external traffic")
_POD_TO_ALL = comment("masquerade pod-to-service and pod-to-external traffic")


def sdn_filter_chains(cluster: Cluster, node: HostSubnet) -> Iterator[Chain]:
    """Yield the chains that let SDN traffic in and through."""
    yield Chain(name="OPENSHIFT-ADMIN-OUTPUT-RULES")
    yield Chain(
        name="OPENSHIFT-FIREWALL-ALLOW",
        rules=(
            (
                f"-p udp -m udp --dport {cluster.network.vxlan_port} "
                f"{comment('VXLAN incoming')} -j ACCEPT"
            ),
            f"-i tun0 {comment('from SDN to localhost')} -j ACCEPT",
            f"-i docker0 {comment('from docker to localhost')} -j ACCEPT",
            *egress_reject_rules(cluster, node),
        ),
    )
    yield Chain(
        name="OPENSHIFT-FIREWALL-FORWARD",
        rules=tuple(
            rule
            for cidr in cluster.cidrs
            for rule in (
                (
                    f"-s {cidr} {comment('attempted resend after connection close')} "
                    "-m conntrack --ctstate INVALID -j DROP"
                ),
                f"-d {cidr} {comment('forward traffic from SDN')} -j ACCEPT",
                f"-s {cidr} {comment('forward traffic to SDN')} -j ACCEPT",
            )
        ),
    )


def sdn_nat_chains(cluster: Cluster, node: HostSubnet) -> Iterator[Chain]:
    """Yield the chains that give what pods send an address of the node."""
    keeps_pods_addresses = cluster.network.plugin.tracks_connections
    masquerade = (
        f"{_POD_TO_EXTERNAL} -j OPENSHIFT-MASQUERADE-2"
        if keeps_pods_addresses
        else f"{_POD_TO_ALL} -j MASQUERADE"
    )
    yield Chain(
        name="OPENSHIFT-MASQUERADE",
        rules=(
            *egress_snat_rules(cluster, node),
            *(f"-s {cidr} {masquerade}" for cidr in cluster.cidrs),
        ),
    )
    if keeps_pods_addresses:
        yield Chain(
            name="OPENSHIFT-MASQUERADE-2",
            rules=(
                *(f"-d {cidr} {_POD_TO_EXTERNAL} -j RETURN" for cidr in cluster.cidrs),
                "-j MASQUERADE",
            ),
        )
