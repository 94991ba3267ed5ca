"""A node's iptables rules, as input for ``iptables-restore``.

The built-in chains are here, because what is in them is an order of events. kubelet
starts first and puts its jumps on top; the SDN puts its own above them, kube-proxy
above those, but for the jump to KUBE-POSTROUTING, which it finds kubelet has made. Only
the hostports' jumps are appended.

What they jump to is in ``sdn`` and ``egress`` (OPENSHIFT-*), ``proxy``, ``marks`` and
``hostports`` (KUBE-*).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.host.hostports import hostport_chains
from testbed.host.marks import mark_filter_chains, mark_nat_chains
from testbed.host.proxy import proxy_filter_chains, proxy_nat_chains
from testbed.host.rules import Chain, comment, table_text
from testbed.host.sdn import sdn_filter_chains, sdn_nat_chains

if TYPE_CHECKING:
    from testbed.model import Cluster, HostSubnet

_NEW = "-m conntrack --ctstate NEW"
_PORTALS = f"{comment('kubernetes service portals')} -j KUBE-SERVICES"
_HOSTPORTS = (
    f"{comment('kube hostport portals')} -m addrtype --dst-type LOCAL -j KUBE-HOSTPORTS"
)

_FILTER = (
    Chain(
        name="INPUT",
        policy="ACCEPT",
        rules=(
            (
                f"{_NEW} {comment('kubernetes externally-visible service portals')} "
                "-j KUBE-EXTERNAL-SERVICES"
            ),
            f"{comment('firewall overrides')} -j OPENSHIFT-FIREWALL-ALLOW",
            "-j KUBE-FIREWALL",
        ),
    ),
    Chain(
        name="FORWARD",
        policy="ACCEPT",
        rules=(
            f"{comment('kubernetes forwarding rules')} -j KUBE-FORWARD",
            (
                f"-i tun0 ! -o tun0 {comment('administrator overrides')} "
                "-j OPENSHIFT-ADMIN-OUTPUT-RULES"
            ),
            f"{comment('firewall overrides')} -j OPENSHIFT-FIREWALL-FORWARD",
        ),
    ),
    Chain(
        name="OUTPUT",
        policy="ACCEPT",
        rules=(f"{_NEW} {_PORTALS}", "-j KUBE-FIREWALL"),
    ),
)
_NAT = (
    Chain(name="PREROUTING", policy="ACCEPT", rules=(_PORTALS, _HOSTPORTS)),
    Chain(name="INPUT", policy="ACCEPT"),
    Chain(name="OUTPUT", policy="ACCEPT", rules=(_PORTALS, _HOSTPORTS)),
    Chain(
        name="POSTROUTING",
        policy="ACCEPT",
        rules=(
            (
                f"{comment('rules for masquerading OpenShift traffic')} "
                "-j OPENSHIFT-MASQUERADE"
            ),
            f"{comment('kubernetes postrouting rules')} -j KUBE-POSTROUTING",
            (
                "-s 127.0.0.0/8 -o tun0 "
                f"{comment('SNAT for localhost access to hostports')} -j MASQUERADE"
            ),
        ),
    ),
)


def node_rules(cluster: Cluster, node: HostSubnet) -> str:
    """Every rule of a node: the whole of the tables filter and nat."""
    return table_text(
        "filter",
        [
            *_FILTER,
            *sdn_filter_chains(cluster, node),
            *mark_filter_chains(),
            *proxy_filter_chains(cluster, node),
        ],
    ) + table_text(
        "nat",
        [
            *_NAT,
            *sdn_nat_chains(cluster, node),
            *mark_nat_chains(),
            *hostport_chains(cluster, node),
            *proxy_nat_chains(cluster, node),
        ],
    )
