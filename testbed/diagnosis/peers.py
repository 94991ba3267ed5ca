"""Findings about what a node knows of the others: tables 10, 50, 90 and 111.

Source: openshift/origin release-3.11 pkg/network/node/subnets.go
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from testbed.diagnosis.finding import Finding, Severity, short
from testbed.diagnosis.node import address_in, grounds, network_in, tunnels
from testbed.openflow import Deviation, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.diagnosis.node import Differences, Node
    from testbed.model import HostSubnet
    from testbed.openflow import FlowDifference

_TABLES = (Table.FROM_VXLAN, Table.ARP_TO_REMOTE_POD, Table.IP_TO_REMOTE_POD)
_AGAIN = (
    "restart the node's sdn pod: at its start it adds every HostSubnet again, which "
    "changes of {peer}'s object do not do"
)


def peers(differences: Differences) -> Iterator[Finding]:
    """Find HostSubnets that the node has forgotten, or knows wrongly."""
    node = differences.node
    for peer in node.cluster.peers(node.host):
        name = f"HostSubnet {peer.name}"
        own = differences.select(
            lambda item, name=name: item.made_by == name,  # type: ignore[misc]
            *_TABLES,
        )
        if own:
            yield _about(differences, peer, own)
    yield from _strangers(differences)
    yield from _multicast_copies(differences)


def _about(
    differences: Differences, peer: HostSubnet, own: list[FlowDifference]
) -> Finding:
    node = differences.node
    stale = {
        ip
        for item in own
        if item.installed
        for ip in tunnels(item.installed)
        if ip != str(peer.host_ip)
    }
    own += _moved(differences, peer, own, stale)
    own += _copies(differences, peer, stale)
    differences.claim(own)
    if stale:
        return _stale(node, peer, own, stale)
    if all(_is_cookie(item) for item in own):
        return _earlier(node, peer, own)
    return _forgotten(node, peer, own)


def _moved(
    differences: Differences,
    peer: HostSubnet,
    own: list[FlowDifference],
    stale: set[str],
) -> list[FlowDifference]:
    """Flows that are not 3.11's, and by address, range or cookie are the peer's."""
    cookies = {item.computed.cookie for item in own if item.computed}
    is_silent = {int(item.flow.table) for item in own if item.installed is None}
    others = {str(host.host_ip) for host in differences.node.cluster.host_subnets}

    def is_its(item: FlowDifference) -> bool:
        if item.computed is not None or item.installed is None:
            return False
        flow = item.installed
        source = address_in(flow, "tun_src")
        if source is not None:
            by_cookie = flow.cookie in cookies and Table.FROM_VXLAN in is_silent
            found = str(source) in stale and str(source) not in others
            if found or (by_cookie and flow.cookie):
                stale.add(str(source))
                return True
            return False
        subnet = network_in(flow, "nw_dst", "arp_tpa")
        return str(peer.host_ip) in tunnels(flow) or (
            subnet is not None and subnet.overlaps(peer.subnet)
        )

    return differences.select(is_its, *_TABLES)


def _copies(
    differences: Differences, peer: HostSubnet, stale: set[str]
) -> list[FlowDifference]:
    """Table 111's flow, where all that is wrong with it is the peer's copy."""

    def is_its(item: FlowDifference) -> bool:
        if item.computed is None or item.installed is None:
            return False
        lacks = set(tunnels(item.computed)) ^ set(tunnels(item.installed))
        return bool(lacks) and lacks <= {str(peer.host_ip), *stale}

    return differences.select(is_its, Table.MULTICAST_TO_VXLAN)


def _forgotten(node: Node, peer: HostSubnet, own: list[FlowDifference]) -> Finding:
    there = short(peer.name)
    missing = {int(item.flow.table) for item in own if item.installed is None}
    changed = [item for item in own if item.deviation is Deviation.CHANGED]
    effects = {
        Table.FROM_VXLAN: f"what {there} sends is dropped here",
        Table.ARP_TO_REMOTE_POD: f"pods here cannot ARP for pods of {there}",
        Table.IP_TO_REMOTE_POD: f"what pods here send to pods of {there} is dropped",
    }
    broken = [text for table, text in effects.items() if table in missing]
    tables = [f"T{int(table)}" for table in effects if table in missing]
    if len(missing) == len(effects):
        what = f"has forgotten HostSubnet {there}: T10, T50 and T90 have no flow for it"
        broken = [f"pods here and pods of {there} cannot talk, either way"]
    elif tables:
        what = (
            f"{' and '.join(tables)} {'have' if len(tables) > 1 else 'has'} no flow "
            f"for {there} ({peer.host_ip}, {peer.subnet})"
        )
        if missing == {int(Table.FROM_VXLAN)}:
            what = (
                f"cannot receive from {there}: T10 has no flow for "
                f"tun_src={peer.host_ip}"
            )
    else:
        flow = changed[0].installed if changed else own[0].flow
        table = int(flow.table) if flow else 0
        actions = ",".join(flow.actions) if flow else ""
        what = f"T{table} does something else for {there}: {actions}"
        broken = [f"traffic between pods here and pods of {there}"]
    return Finding(
        check="host-subnet-forgotten" if missing else "host-subnet-changed",
        severity=Severity.CRITICAL,
        **grounds(node, own),
        what=what,
        breaks="; ".join(broken),
        object=f"HostSubnet {peer.name}",
        bugs=("PR19273",) if missing else (),
        advice=_AGAIN.format(peer=there),
        weight=200,
    )


def _stale(
    node: Node, peer: HostSubnet, own: list[FlowDifference], stale: set[str]
) -> Finding:
    there = short(peer.name)
    old = " and ".join(sorted(stale))
    whose = [
        short(host.name)
        for host in node.cluster.host_subnets
        if str(host.host_ip) in stale
    ]
    owner = f", which is {' and '.join(whose)}'s" if whose else ""
    return Finding(
        check="host-subnet-stale",
        severity=Severity.CRITICAL,
        **grounds(node, own),
        what=f"takes {there} to be at {old}{owner}; it is at {peer.host_ip}",
        breaks=f"what pods here send to pods of {there} goes to {old}; what "
        f"{there} sends is dropped in T10",
        object=f"HostSubnet {peer.name}",
        bugs=("BZ1607395", "PR19273"),
        advice=_AGAIN.format(peer=there),
        weight=200,
    )


def _earlier(node: Node, peer: HostSubnet, own: list[FlowDifference]) -> Finding:
    there = short(peer.name)
    return Finding(
        check="host-subnet-cookie",
        severity=Severity.WARNING,
        **grounds(node, own),
        what=f"flows for {there} have the cookie of an earlier HostSubnet",
        breaks=f"nothing yet; when {there} gets another address or goes, these flows "
        "are not found and stay",
        object=f"HostSubnet {peer.name}",
        bugs=("PR19273",),
        advice="restart the node's sdn pod",
        weight=5,
    )


def _is_cookie(item: FlowDifference) -> bool:
    return (
        item.installed is not None
        and item.computed is not None
        and item.installed.actions == item.computed.actions
    )


def _strangers(differences: Differences) -> Iterator[Finding]:
    """Flows for nodes that no HostSubnet is about."""
    node = differences.node
    found: dict[str, list[FlowDifference]] = defaultdict(list)
    for item in differences.select(lambda it: it.computed is None, *_TABLES):
        flow = item.flow
        source = address_in(flow, "tun_src")
        targets = [str(source)] if source else list(tunnels(flow))
        for ip in targets[:1]:
            found[ip].append(item)
    for ip, of_tables in found.items():
        items = of_tables + differences.select(
            lambda it, ip=ip: (  # type: ignore[misc]
                it.computed is not None
                and it.installed is not None
                and set(tunnels(it.installed)) - set(tunnels(it.computed)) == {ip}
                and set(tunnels(it.computed)) <= set(tunnels(it.installed))
            ),
            Table.MULTICAST_TO_VXLAN,
        )
        differences.claim(items)
        known = {str(host.host_ip): host for host in node.cluster.host_subnets}
        host = known.get(ip)
        ranges = ", ".join(
            str(subnet)
            for item in items
            if (subnet := network_in(item.flow, "nw_dst", "arp_tpa"))
        )
        whose = f"{short(host.name)} ({ip})" if host else ip
        what = f"has flows for node {whose}, which no HostSubnet explains"
        yield Finding(
            check="host-subnet-unknown",
            severity=Severity.WARNING,
            **grounds(node, items),
            what=what,
            breaks=f"it lets in whatever {ip} sends by VXLAN"
            + (f", and sends {ranges} there" if ranges else ""),
            object=f"HostSubnet {host.name}" if host else "",
            bugs=("PR19273",),
            advice="if the node is gone: restart the node's sdn pod; if it is not: "
            "its HostSubnet is missing (oc get hostsubnets)",
            weight=20,
        )


def _multicast_copies(differences: Differences) -> Iterator[Finding]:
    """Table 111's flow sends copies to other nodes than it should."""
    node = differences.node
    taken = differences.select(
        lambda it: (
            it.computed is not None
            and it.installed is not None
            and tunnels(it.installed) != tunnels(it.computed)
        ),
        Table.MULTICAST_TO_VXLAN,
    )
    differences.claim(taken)
    if not taken or taken[0].computed is None or taken[0].installed is None:
        return
    names = {str(host.host_ip): short(host.name) for host in node.cluster.host_subnets}
    had, has = tunnels(taken[0].computed), tunnels(taken[0].installed)
    lacks = [names.get(ip, ip) for ip in had if ip not in has]
    extra = [names.get(ip, ip) for ip in has if ip not in had]
    parts = [f"none to {', '.join(lacks)}"] if lacks else []
    parts += [f"one to {', '.join(extra)}, which is no peer"] if extra else []
    yield Finding(
        check="multicast-copies",
        severity=Severity.WARNING,
        **grounds(node, taken),
        what=f"T111 sends other copies of multicast than it should: "
        f"{'; '.join(parts) or 'in another order'}",
        breaks="multicast from pods of this node does not reach pods there"
        if lacks
        else "nothing that a pod would miss",
        advice="restart the node's sdn pod",
        weight=10,
    )
