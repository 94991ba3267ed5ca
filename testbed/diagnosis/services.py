"""Findings about table 60: services that pods cannot use, or that are no more."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from testbed.diagnosis.finding import Finding, Severity
from testbed.diagnosis.node import address_in, grounds, match_of
from testbed.model import Plugin
from testbed.openflow import Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address

    from testbed.diagnosis.node import Differences
    from testbed.openflow import FlowDifference


def services(differences: Differences) -> Iterator[Finding]:
    """Find services whose flows are missing, other, or left over."""
    node = differences.node
    plugin = node.cluster.network.plugin
    if plugin is Plugin.NETWORKPOLICY:
        return
    by_ip: dict[IPv4Address, list[FlowDifference]] = defaultdict(list)
    for item in differences.select(lambda _: True, Table.IP_TO_SERVICE):
        ip = address_in(item.flow, "nw_dst")
        if ip is not None:
            by_ip[ip].append(item)
    known = {service.cluster_ip: service for service in node.cluster.services}
    is_unused = plugin is Plugin.SUBNET
    for ip, items in by_ip.items():
        differences.claim(items)
        service = known.get(ip)
        missing = [item for item in items if item.installed is None]
        if service is None:
            yield Finding(
                check="service-flows-stale",
                severity=Severity.NOTE,
                **grounds(node, items),
                what=f"T60 has flows of a service that is no more: {ip}",
                breaks="nothing, as long as no new service gets the address",
                advice="restart the node's sdn pod",
            )
            continue
        lacks = ", ".join(_port(item) for item in missing)
        what = f"T60 lacks flows of Service {service.key} ({ip}): {lacks}"
        breaks = f"pods of {service.namespace} here cannot use it: what they send is "
        breaks += "dropped in T60"
        if all("nw_frag" in match_of(item.flow) for item in missing) and missing:
            breaks = "large UDP packets to it are lost: later fragments are dropped"
        if not missing:
            what = (
                f"T60 has other flows for Service {service.key} ({ip}) than it should"
            )
            breaks = f"pods of {service.namespace} here may not be able to use it"
        if is_unused:
            breaks = "nothing: under ovs-subnet the flow for reg0=0 takes all of it"
        yield Finding(
            check="service-flows-missing" if missing else "service-flows-changed",
            severity=Severity.NOTE if is_unused else Severity.CRITICAL,
            **grounds(node, items),
            what=what,
            breaks=breaks,
            object=f"Service {service.key}",
            bugs=("BZ1419692",) if "fragments" in breaks else (),
            advice="restart the node's sdn pod, or delete the Service and create it "
            "again",
            weight=25,
        )


def _port(item: FlowDifference) -> str:
    match = match_of(item.flow)
    if "nw_frag" in match:
        return "later fragments"
    protocol = next((name for name in ("tcp", "udp") if name in match), "ip")
    return f"{protocol} {match.get('tp_dst', '')}".rstrip()
