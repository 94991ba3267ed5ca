"""What the SDN's master hands out: node subnets, VNIDs, egress IPs.

Source: openshift/origin release-3.11 pkg/network/master and
pkg/network/common/egressip.go
"""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import replace
from itertools import chain, count
from typing import TYPE_CHECKING

from testbed import model
from testbed.topology.allocation import free, node_subnets
from testbed.topology.objects import Entry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from ipaddress import IPv4Address

    from testbed.topology import schema
    from testbed.topology.problem import Problem

FIRST_VNID = 10
"""1 to 9 are reserved. Source: openshift/origin release-3.11 pkg/network."""

GLOBAL_VNID = 0
ADMIN_NAMESPACE = "default"


def host_subnets(
    nodes: Sequence[Entry[schema.HostSubnet]],
    network: Entry[model.ClusterNetwork] | None,
    problems: list[Problem],
) -> Iterator[Entry[model.HostSubnet]]:
    """Give each node that names no subnet the next one."""
    ranges = network.value.cluster_networks if network else ()
    taken = {node.subnet for node, _ in nodes}
    spare = free(chain.from_iterable(map(node_subnets, ranges)), taken)
    for node, source in nodes:
        if subnet := node.subnet or next(spare, None):
            name, annotations = node.metadata.name, node.metadata.annotations
            yield Entry(
                model.HostSubnet(
                    name=name,
                    host_ip=node.host_ip,
                    subnet=subnet,
                    uid=node.metadata.uid or str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
                    egress_ips=tuple(dict.fromkeys(node.egress_ips)),
                    egress_cidrs=tuple(node.egress_cidrs),
                    is_node=annotations.assign_subnet is None
                    and annotations.fixed_vnid is None,
                    fixed_vnid=annotations.fixed_vnid,
                    cookie=annotations.cookie,
                    mac=annotations.tun0_mac,
                ),
                source,
            )
        elif network:
            text = "no subnet is left for this node in clusterNetworks"
            problems.append(source.problem(("subnet",), text))


def net_namespaces(
    given: Iterable[Entry[schema.NetNamespace]],
    namespaces: Iterable[model.Namespace],
    plugin: model.Plugin | None,
) -> tuple[model.NetNamespace, ...]:
    """Give every namespace its VNID, then do what ``oc adm pod-network`` asked for.

    ``default`` has 0, the others the lowest free; the real master draws at random.
    Changes are made under ovs-multitenant only.
    """
    asked = {item.metadata.name: item for item, _ in given}
    taken = {item.netid for item in asked.values()}
    spare = free(count(FIRST_VNID), taken)
    netids: dict[str, int] = {}
    for name in dict.fromkeys([*asked, *(item.name for item in namespaces)]):
        netid = asked[name].netid if name in asked else None
        if netid is None:
            netid = GLOBAL_VNID if name == ADMIN_NAMESPACE else next(spare)
        netids[name] = netid
    if plugin is model.Plugin.MULTITENANT:
        for name, item in asked.items():
            change = item.metadata.annotations.change_network
            if change is not None:
                _renumber(netids, name, change, spare)
    return tuple(
        model.NetNamespace(
            name=name,
            netid=netid,
            egress_ips=tuple(asked[name].egress_ips) if name in asked else (),
            multicast_enabled=name in asked
            and asked[name].metadata.annotations.multicast_enabled,
        )
        for name, netid in netids.items()
    )


def _renumber(
    netids: dict[str, int], name: str, change: str, spare: Iterator[int]
) -> None:
    """Join, isolate or make global; what the master refuses changes nothing."""
    verb, _, other = change.partition(":")
    if change == "global":
        netids[name] = GLOBAL_VNID
    elif change == "isolate":
        alone = list(netids.values()).count(netids[name]) == 1
        if name != ADMIN_NAMESPACE and not (alone and netids[name] != GLOBAL_VNID):
            netids[name] = next(spare)
    elif verb == "join" and other in netids:
        netids[name] = netids[other]


def with_allocated_egress_ips(
    nodes: Sequence[Entry[model.HostSubnet]],
    namespaces: Sequence[model.NetNamespace],
    offline: Collection[str],
) -> tuple[Entry[model.HostSubnet], ...]:
    """Give nodes with ``egressCIDRs`` the egress IPs that namespaces ask for.

    An address that a live node has already, inside its ranges, stays there. Any other
    goes to the live node with a fitting range that has the fewest; those that only one
    node can have go first. What several VNIDs ask for, or one that asks for several, is
    left to the administrator.
    """
    asking = {item.netid: item.egress_ips for item in namespaces}
    asked = Counter(ip for ips in asking.values() for ip in dict.fromkeys(ips))
    wanted = [
        ip for ips in asking.values() for ip in ips if len(ips) == 1 and asked[ip] == 1
    ]
    ranged = [node for node, _ in nodes if node.egress_cidrs]
    live = [node for node in ranged if node.name not in offline]
    kept: dict[str, list[IPv4Address]] = {node.name: [] for node in ranged}
    placed = {
        ip for node, _ in nodes if not node.egress_cidrs for ip in node.egress_ips
    }
    for node in live:
        for ip in node.egress_ips:
            if ip in wanted and ip not in placed and _fits(ip, node):
                kept[node.name].append(ip)
                placed.add(ip)
    homes = {
        ip: [node.name for node in live if _fits(ip, node)]
        for ip in wanted
        if ip not in placed
    }
    for ip, names in sorted(homes.items(), key=lambda item: len(item[1]) > 1):
        if names:
            kept[min(names, key=lambda name: len(kept[name]))].append(ip)
    return tuple(
        Entry(replace(node, egress_ips=tuple(kept[node.name])), source)
        if node.name in kept
        else Entry(node, source)
        for node, source in nodes
    )


def _fits(ip: IPv4Address, node: model.HostSubnet) -> bool:
    return any(ip in cidr for cidr in node.egress_cidrs)
