"""Table 101: which addresses outside the cluster a VNID's pods may reach.

What an EgressNetworkPolicy does not deny goes out of tun0, and the host routes and
masquerades. Its first rule that fits decides, so the first has the highest priority. A
rule by DNS name has a flow for every address of the name.

Where the SDN cannot tell whose rules hold, because several namespaces share the VNID or
a namespace has several policies, it drops everything. VNID 0 is never filtered, and
ovs-subnet filters nobody.

Source: openshift/origin release-3.11 pkg/network/node/ovscontroller.go
"""

from __future__ import annotations

from collections import defaultdict
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from testbed.openflow import Flow, OFPort, Register, Table, matches, table_miss
from testbed.openflow.actions import DROP, output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Cluster, EgressNetworkPolicy, EgressRule

_EVERYWHERE = (IPv4Network("0.0.0.0/0"), IPv4Network("0.0.0.0/32"))
"""The second was once written by mistake, and is still taken for the first."""


def egress_network_policy_flows(cluster: Cluster) -> Iterator[Flow]:
    """Yield the flows that filter what leaves; every node has the same."""
    if cluster.network.plugin.has_vnids:
        yield from _filters(cluster)
    yield table_miss(Table.EGRESS_NETWORK_POLICY, output(OFPort.TUN0))


def _filters(cluster: Cluster) -> Iterator[Flow]:
    policies: dict[int, list[EgressNetworkPolicy]] = defaultdict(list)
    for policy in cluster.egress_network_policies:
        if policy.egress:
            policies[cluster.vnid(policy.namespace)].append(policy)
    for vnid in sorted(policies.keys() - {0}):
        from_vnid = matches.register(Register.SOURCE_VNID, vnid)
        is_shared = len(cluster.net_namespaces_of(vnid)) > 1
        if is_shared or len(policies[vnid]) > 1:
            names = ", ".join(item.key for item in policies[vnid])
            yield _flow(1, (from_vnid,), DROP, f"EgressNetworkPolicy {names}")
            continue
        made_by = f"EgressNetworkPolicy {policies[vnid][0].key}"
        rules = policies[vnid][0].egress
        for priority, rule in zip(range(len(rules), 0, -1), rules, strict=True):
            action = output(OFPort.TUN0) if rule.allow else DROP
            for destination in _destinations(rule, cluster):
                match = "ip", from_vnid, *destination
                yield _flow(priority, match, action, made_by)


def _destinations(rule: EgressRule, cluster: Cluster) -> Iterator[tuple[str, ...]]:
    if rule.cidr in _EVERYWHERE:
        yield ()
    elif rule.cidr is not None:
        yield (matches.nw_dst(rule.cidr),)
    elif rule.dns_name is not None:
        for ip in cluster.resolve(rule.dns_name):
            yield (matches.nw_dst(ip),)


def _flow(priority: int, match: tuple[str, ...], action: str, made_by: str) -> Flow:
    return Flow(
        table=Table.EGRESS_NETWORK_POLICY,
        priority=priority,
        match=match,
        actions=(action,),
        made_by=made_by,
    )
