"""Findings about a node's own pods: flows that are missing, another's, or left over.

Source: openshift/origin release-3.11 pkg/network/node/ovscontroller.go (SetUpPod,
TearDownPod)
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from testbed.diagnosis.finding import Finding, Severity, delete_pod, short
from testbed.diagnosis.node import (
    Grounds,
    address_in,
    delivers_to,
    grounds,
    match_of,
    number,
)
from testbed.openflow import Deviation, Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address

    from testbed.diagnosis.node import Differences, Node
    from testbed.model import Pod
    from testbed.openflow import FlowDifference

_TABLES = (
    Table.FROM_POD,
    Table.FROM_POD_VIA_SERVICE,
    Table.ARP_TO_LOCAL_POD,
    Table.IP_TO_LOCAL_POD,
)
_ADDRESSES = ("arp_spa", "arp_tpa", "nw_src", "nw_dst")


def pods(differences: Differences) -> Iterator[Finding]:
    """Find what is wrong with the flows of pods."""
    by_ip: dict[IPv4Address, list[FlowDifference]] = defaultdict(list)
    for item in differences.select(lambda _: True, *_TABLES):
        ip = address_in(item.flow, *_ADDRESSES)
        if ip is not None:
            by_ip[ip].append(item)
    for ip, items in by_ip.items():
        pod = differences.node.pods.get(ip)
        if pod is None or pod.ofport is None:
            yield _left_over(differences, ip, items)
        elif all(item.deviation is Deviation.EXTRA for item in items):
            yield _old_port(differences, pod, items)
        else:
            yield _wrong(differences, pod, items)


def _wrong(differences: Differences, pod: Pod, items: list[FlowDifference]) -> Finding:
    node = differences.node
    missing = [item for item in items if item.deviation is Deviation.MISSING]
    ports = _other_ports(pod, items)
    own = [flow for flow in differences.computed if flow.made_by == f"Pod {pod.key}"]
    own = [flow for flow in own if flow.table in _TABLES]
    if ports:
        return _port(differences, pod, items, ports)
    if len(missing) == len(own):
        items = items + _about_address(differences, pod.ip)
        differences.claim(items)
        return Finding(
            severity=Severity.CRITICAL,
            **_about(node, pod, items),
            check="pod-flows-missing",
            what=f"br0 has no flows for Pod {pod.key} ({pod.ip})",
            breaks="the pod can neither send nor be reached",
            bugs=("BZ1765220", "openshift/origin#21723"),
        )
    differences.claim(items)
    told = [_told(item) for item in items]
    tables = list(dict.fromkeys(f"T{int(item.flow.table)}" for item in items))
    verb = "lack" if missing else "have other"
    return Finding(
        severity=Severity.CRITICAL,
        **_about(node, pod, items),
        check="pod-flows-incomplete" if missing else "pod-flows-changed",
        what=f"{' and '.join(tables)} {verb} flows for Pod {pod.key} ({pod.ip})",
        breaks="; ".join(dict.fromkeys(told)),
        bugs=(),
    )


def _told(item: FlowDifference) -> str:
    flow = item.flow
    is_arp = "arp" in flow.match
    what = {
        Table.FROM_POD: "no ARP comes from it" if is_arp else "no IP comes from it",
        Table.FROM_POD_VIA_SERVICE: "it reaches no services",
        Table.ARP_TO_LOCAL_POD: "nobody can ARP for it",
        Table.IP_TO_LOCAL_POD: "no IP gets to it",
    }[Table(flow.table)]
    if item.deviation is Deviation.MISSING:
        return what
    if item.deviation is Deviation.EXTRA:
        return f"T{int(flow.table)} takes it to be on another port"
    actions = ",".join(item.installed.actions) if item.installed else ""
    if item.installed and item.installed.drops:
        return what
    return f"T{int(flow.table)} does {actions} with it"


def _other_ports(pod: Pod, items: list[FlowDifference]) -> set[int]:
    """The ports that the flows have instead of the pod's."""
    found: set[int | None] = set()
    for item in items:
        if item.installed is None:
            continue
        found.add(number(match_of(item.installed).get("in_port", "")))
        found.add(delivers_to(item.installed))
    return {port for port in found if port is not None} - {pod.ofport}


def _port(
    differences: Differences,
    pod: Pod,
    items: list[FlowDifference],
    ports: set[int],
) -> Finding:
    node = differences.node
    differences.claim(items)
    shown = " and ".join(map(str, sorted(ports)))
    others = [p.key for p in node.pods.values() if p.ofport in ports and p is not pod]
    whose = f", that of Pod {', '.join(others)}" if others else ""
    tables = list(dict.fromkeys(f"T{int(item.flow.table)}" for item in items))
    has_true = any(
        flow.made_by == f"Pod {pod.key}" and flow.table in _TABLES
        for flow in differences.node.installed_as_computed(differences.computed)
    )
    if others and not has_true:
        return Finding(
            severity=Severity.CRITICAL,
            **_about(node, pod, items),
            check="pod-ports-shared",
            what=f"Pod {pod.key} and Pod {', '.join(others)} are on one port, {shown}, "
            "by their flows",
            breaks="one of them can neither send nor be reached, or both",
            bugs=("BZ1518684",),
        )
    to = any(item.flow.table >= Table.ARP_TO_LOCAL_POD for item in items)
    sends = any(item.flow.table <= Table.FROM_POD_VIA_SERVICE for item in items)
    parts = [f"what is sent to it goes to port {shown}"] if to else []
    parts += ["what it sends is dropped as forged"] if sends else []
    return Finding(
        severity=Severity.CRITICAL,
        **_about(node, pod, items),
        check="pod-port",
        what=f"{', '.join(tables)} take Pod {pod.key} to be on port {shown}{whose}; "
        f"its others say {pod.ofport}",
        breaks="; ".join(parts),
        bugs=("BZ1518684",),
    )


def _old_port(
    differences: Differences, pod: Pod, items: list[FlowDifference]
) -> Finding:
    """Flows of an earlier pod with the same address."""
    node = differences.node
    differences.claim(items)
    return Finding(
        check="pod-flows-stale",
        severity=Severity.WARNING,
        **grounds(node, items),
        what=f"flows of an earlier pod that was {pod.ip} are left; it is "
        f"Pod {pod.key} now",
        breaks="whoever is on the old port may send with the pod's address",
        object=f"Pod {pod.key}",
        bugs=("BZ1518684",),
        advice="delete the pod, which takes all flows of its address along",
        weight=8,
    )


class _About(Grounds):
    """What findings about a pod have in common."""

    object: str
    advice: str
    weight: int


def _about(node: Node, pod: Pod, items: list[FlowDifference]) -> _About:
    return {
        **grounds(node, items),
        "object": f"Pod {pod.key}",
        "advice": delete_pod(pod),
        "weight": 30,
    }


def _about_address(differences: Differences, ip: IPv4Address) -> list[FlowDifference]:
    """What table 80 says of an address, which goes and comes with the pod's flows."""
    return differences.select(
        lambda item: str(ip) in match_of(item.flow).values(), Table.POLICY
    )


def _left_over(
    differences: Differences, ip: IPv4Address, items: list[FlowDifference]
) -> Finding:
    node = differences.node
    items = items + _about_address(differences, ip)
    differences.claim(items)
    ports = {delivers_to(item.flow) for item in items}
    ports |= {number(match_of(item.flow).get("in_port", "")) for item in items}
    shown = " and ".join(str(port) for port in sorted(p for p in ports if p))
    on_port = f" on port {shown}" if shown else ""
    pod = node.cluster.pod_at(ip)
    what = f"flows of a pod that is gone are left: {ip}{on_port}"
    breaks = "what is sent to the address vanishes without a drop being counted"
    if pod is not None and pod.node != node.name:
        what = f"has flows for Pod {pod.key} ({ip}), which runs on {short(pod.node)}"
        breaks = "pods of this node do not reach it"
    elif ip not in node.host.subnet:
        what = (
            f"has flows of a pod {ip}{on_port}, which is not in its {node.host.subnet}"
        )
        breaks = (
            "nothing, as nothing is sent there; the pod, if it is there, has no way"
        )
    return Finding(
        check="pod-flows-stale",
        severity=Severity.WARNING,
        **grounds(node, items),
        what=what,
        breaks=breaks,
        object=f"Pod {pod.key}" if pod else "",
        bugs=("BZ1518684",),
        advice="if no container has the address: ovs-ofctl -O OpenFlow13 del-flows br0 "
        f"ip,nw_dst={ip}, the same with nw_src and with arp",
        weight=10,
    )
