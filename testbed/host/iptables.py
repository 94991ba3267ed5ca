"""A node's iptables rules, as input for ``iptables-restore``.

The comments on the two FORWARD accepts look swapped; they are so in 3.11.
Source: openshift/origin release-3.11 pkg/network/node/iptables.go; the hostport chain
is Kubernetes 1.11's pkg/kubelet/dockershim/network/hostport.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbed.model import Cluster


def node_rules(cluster: Cluster) -> str:
    """Every rule of a node under ovs-subnet, tables filter and nat."""
    return _table("filter", _FILTER_CHAINS, _filter_rules(cluster)) + _table(
        "nat", _NAT_CHAINS, _nat_rules(cluster)
    )


_FILTER_CHAINS = (
    "INPUT",
    "FORWARD",
    "OUTPUT",
    "OPENSHIFT-ADMIN-OUTPUT-RULES",
    "OPENSHIFT-FIREWALL-ALLOW",
    "OPENSHIFT-FIREWALL-FORWARD",
)
_NAT_CHAINS = (
    "PREROUTING",
    "INPUT",
    "OUTPUT",
    "POSTROUTING",
    "KUBE-HOSTPORTS",
    "OPENSHIFT-MASQUERADE",
)


def _filter_rules(cluster: Cluster) -> list[str]:
    allow = "-A OPENSHIFT-FIREWALL-ALLOW"
    forward = "-A OPENSHIFT-FIREWALL-FORWARD"
    return [
        f"-A INPUT {_comment('firewall overrides')} -j OPENSHIFT-FIREWALL-ALLOW",
        (
            f"-A FORWARD -i tun0 ! -o tun0 {_comment('administrator overrides')} "
            "-j OPENSHIFT-ADMIN-OUTPUT-RULES"
        ),
        f"-A FORWARD {_comment('firewall overrides')} -j OPENSHIFT-FIREWALL-FORWARD",
        (
            f"{allow} -p udp -m udp --dport {cluster.network.vxlan_port} "
            f"{_comment('VXLAN incoming')} -j ACCEPT"
        ),
        f"{allow} -i tun0 {_comment('from SDN to localhost')} -j ACCEPT",
        f"{allow} -i docker0 {_comment('from docker to localhost')} -j ACCEPT",
        *(
            f"{forward} -s {cidr} "
            f"{_comment('attempted resend after connection close')} "
            "-m conntrack --ctstate INVALID -j DROP"
            for cidr in cluster.cidrs
        ),
        *(
            f"{forward} -d {cidr} {_comment('forward traffic from SDN')} -j ACCEPT"
            for cidr in cluster.cidrs
        ),
        *(
            f"{forward} -s {cidr} {_comment('forward traffic to SDN')} -j ACCEPT"
            for cidr in cluster.cidrs
        ),
    ]


def _nat_rules(cluster: Cluster) -> list[str]:
    hostports = (
        f"{_comment('kube hostport portals')} "
        "-m addrtype --dst-type LOCAL -j KUBE-HOSTPORTS"
    )
    return [
        f"-A PREROUTING {hostports}",
        f"-A OUTPUT {hostports}",
        (
            f"-A POSTROUTING {_comment('rules for masquerading OpenShift traffic')} "
            "-j OPENSHIFT-MASQUERADE"
        ),
        (
            "-A POSTROUTING -s 127.0.0.0/8 -o tun0 "
            f"{_comment('SNAT for localhost access to hostports')} -j MASQUERADE"
        ),
        *(
            f"-A OPENSHIFT-MASQUERADE -s {cidr} "
            f"{_comment('masquerade pod-to-service and pod-to-external traffic')} "
            "-j MASQUERADE"
            for cidr in cluster.cidrs
        ),
    ]


def _comment(text: str) -> str:
    return f'-m comment --comment "{text}"'


def _table(name: str, chains: tuple[str, ...], rules: list[str]) -> str:
    """One table; built-in chains accept by default, the others have no policy."""
    declared = [
        f":{chain} {'-' if '-' in chain else 'ACCEPT'} [0:0]" for chain in chains
    ]
    return "\n".join([f"*{name}", *declared, *rules, "COMMIT", ""])
