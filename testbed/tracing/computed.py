"""What a trace needs of a cluster that does not run, computed from its objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.host.egress import egress_addresses
from testbed.host.iptables import node_rules
from testbed.host.links import assign_egress_ips, node_links
from testbed.host.underlay import gateway_links
from testbed.netfilter import Kernel, Routes, Ruleset
from testbed.pipeline import cluster_flows
from testbed.tracing.addresses import GATEWAY
from testbed.tracing.render import Origins

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbed.model import Cluster


def computed_origins(cluster: Cluster) -> Origins:
    """Whose each flow is that the SDN would program."""
    flows = cluster_flows(cluster)
    return Origins(
        {
            (node.name, int(flow.table), flow.selector): flow
            for node in cluster.nodes
            for flow in flows.of(node)
        }
    )


def computed_kernels(
    cluster: Cluster, rules: Mapping[str, str] | None = None
) -> dict[str, Kernel]:
    """The kernels of all nodes, and of a gateway that leads to every pod's node.

    The testbed's own gateway does not: whoever is outside a real cluster has routers
    that were told, or not.

    Args:
        cluster: the objects.
        rules: what nodes' ``iptables-restore`` was fed with, by the node's name, where
            it is not what ``node_rules`` says.
    """
    has = rules or {}
    kernels = {
        node.name: Kernel(
            name=node.name,
            ruleset=Ruleset.parse(
                has[node.name] if node.name in has else node_rules(cluster, node)
            ),
            routes=Routes.from_batch(
                node_links(cluster, node)
                + assign_egress_ips(cluster, egress_addresses(cluster, node))
            ),
        )
        for node in cluster.nodes
    }
    to_pods = "".join(
        f"route add {node.subnet} via {node.host_ip} dev eth0\n"
        for node in cluster.nodes
    )
    links = gateway_links(cluster.underlay, ()) + to_pods
    kernels[GATEWAY] = Kernel(
        name=GATEWAY, ruleset=Ruleset.parse(""), routes=Routes.from_batch(links)
    )
    return kernels
