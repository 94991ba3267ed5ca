"""Findings about table 80: who may talk to whom, by the plugin's rules.

Flows of VNIDs that are used on a node no more stay for up to an hour: the SDN looks for
them once an hour, and so they are no finding as long as the VNID is somebody's.

Source: openshift/origin release-3.11 pkg/network/node/multitenant.go, networkpolicy.go
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from testbed.diagnosis.finding import Finding, Severity
from testbed.diagnosis.node import grounds, match_of, vnid_in
from testbed.importing.case import invented_namespace
from testbed.model import Plugin
from testbed.openflow import Deviation, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.diagnosis.node import Differences, Node
    from testbed.openflow import FlowDifference

_ALLOW, _ISOLATE, _OPEN = 150, 100, 50


def policies(differences: Differences) -> Iterator[Finding]:
    """Find VNIDs whose flows in table 80 are missing, other, or left over."""
    node = differences.node
    by_vnid: dict[int, list[FlowDifference]] = defaultdict(list)
    for item in differences.select(lambda _: True, Table.POLICY):
        vnid = vnid_in(item.flow, "reg1")
        if vnid is not None and item.flow.priority <= _ALLOW:
            by_vnid[vnid].append(item)
    in_use = {node.cluster.vnid(pod.namespace) for pod in node.pods.values()}
    for vnid, items in by_vnid.items():
        differences.claim(items)
        extra = [item for item in items if item.computed is None]
        if len(extra) == len(items) and vnid not in in_use:
            if _is_nobodys(node, vnid):
                yield _of_nobody(node, vnid, items)
        elif node.cluster.network.plugin is Plugin.MULTITENANT:
            yield _closed(node, vnid, items)
        else:
            yield _policy(node, vnid, items)


def _is_nobodys(node: Node, vnid: int) -> bool:
    """Whether no namespace has a VNID, or only one that an import made up for it."""
    cluster = node.cluster
    found = cluster.net_namespaces_of(vnid)
    if not found:
        return True
    made_up = invented_namespace(vnid)
    return (
        [item.name for item in found] == [made_up]
        and not cluster.pods_in(made_up)
        and not any(service.namespace == made_up for service in cluster.services)
        # Where nobody's name was collected, all of them are made up.
        and any(
            item.netid and item.name != invented_namespace(item.netid)
            for item in cluster.net_namespaces
        )
    )


def _of_nobody(node: Node, vnid: int, items: list[FlowDifference]) -> Finding:
    return Finding(
        check="policy-flows-stale",
        severity=Severity.NOTE,
        **grounds(node, items),
        what=f"T80 has flows of VNID {vnid}, which no namespace has",
        breaks="nothing now; the next namespace that gets the VNID inherits them",
        bugs=("BZ1686025",),
        advice="restart the node's sdn pod",
    )


def _object(node: Node, vnid: int, items: list[FlowDifference]) -> str:
    makers = list(dict.fromkeys(item.made_by for item in items if item.made_by))
    if len(makers) == 1:
        return makers[0]
    return node.net_namespace(vnid)


def _closed(node: Node, vnid: int, items: list[FlowDifference]) -> Finding:
    name = node.namespaces(vnid) or f"VNID {vnid}"
    is_missing = any(item.deviation is Deviation.MISSING for item in items)
    what = f"T80 has no flow that lets {name} (VNID {vnid}) reach its own pods"
    breaks = f"pods of {name} here cannot be reached from their own namespace, nor "
    breaks += "its services from here"
    if not is_missing:
        what = f"T80 does something else with what {name} (VNID {vnid}) sends to itself"
        breaks = f"traffic within {name} on this node"
    return Finding(
        check="vnid-closed" if is_missing else "policy-flows-changed",
        severity=Severity.CRITICAL,
        **grounds(node, items),
        what=what,
        breaks=breaks,
        object=_object(node, vnid, items),
        advice="restart the node's sdn pod",
        weight=60,
    )


def _policy(node: Node, vnid: int, items: list[FlowDifference]) -> Finding:
    """What is wrong with a namespace's NetworkPolicies on a node."""
    name = node.namespaces(vnid) or f"VNID {vnid}"
    computed = len([item for item in items if item.computed is not None])
    effects = list(dict.fromkeys(_effect(item, name) for item in items))
    bugs = list(dict.fromkeys(bug for item in items for bug in _bugs(item)))
    makers = list(dict.fromkeys(i.made_by for i in items if i.made_by))
    whose = _object(node, vnid, items)
    kinds = {item.deviation for item in items}
    verb = "lacks" if kinds == {Deviation.MISSING} else "has other"
    if kinds == {Deviation.EXTRA}:
        verb = "has more"
    shown = ", ".join(makers[:3]) + (
        f" and {len(makers) - 3} more" if makers[3:] else ""
    )
    by = f" ({shown})" if len(makers) > 0 and whose not in makers[1:] else ""
    is_loose = any(effect.startswith("lets") for effect in effects)
    return Finding(
        check="policy-flows-missing" if computed else "policy-flows-extra",
        severity=Severity.CRITICAL,
        **grounds(node, items),
        what=f"T80 {verb} flows for namespace {name} (VNID {vnid}){by}",
        breaks="; ".join(effects[:4]) + ("; …" if effects[4:] else ""),
        object=whose,
        bugs=tuple(bugs),
        advice="delete a NetworkPolicy of the namespace and create it again (oc "
        "replace "
        "--force), which writes all of the namespace's flows; touching it does not",
        weight=60 if is_loose or computed else 40,
    )


def _effect(item: FlowDifference, name: str) -> str:
    match = match_of(item.flow)
    to = match.get("nw_dst", f"pods of {name}")
    vnid = vnid_in(item.flow, "reg0")
    sender = match.get("nw_src") or ("all" if vnid is None else f"VNID {vnid}")
    protocol = next((p for p in ("tcp", "udp") if p in match), "")
    port = f" {protocol} {match.get('tp_dst', '')}".rstrip() if protocol else ""
    effects = {
        (_ALLOW, True): f"lets{port or ' everything'} from {sender} to {to} through",
        (
            _ALLOW,
            False,
        ): f"drops{port or ' what comes'} from {sender} to {to}, which is allowed",
        (
            _ISOLATE,
            True,
        ): f"drops what policies do not allow to {to}, which none isolates",
        (_ISOLATE, False): f"lets everything through to {to}, which a policy isolates",
        (
            _OPEN,
            True,
        ): f"lets everything through to pods of {name}, all of them isolated",
        (_OPEN, False): f"drops everything to those pods of {name} that no policy "
        "isolates",
    }
    what = item.flow.priority, item.installed is not None
    return effects.get(what, f"decides otherwise about {to}")


def _bugs(item: FlowDifference) -> tuple[str, ...]:
    if item.deviation is Deviation.MISSING:
        match item.flow.priority:
            case 150:
                return ("BZ1694704", "BZ1790440")
            case 100:
                return ("BZ1813846", "BZ1816394")
            case 50:
                return ("BZ1905761", "BZ1790440")
    return ("BZ1905761", "BZ1694704")
