"""Findings about VNIDs: pods and services that a node takes to be in other namespaces.

A namespace's VNID is in the flows of its pods (20, 25, 70) and services (60), and
in those that ask for it (80, 100, 101, 110, 120). Where a node has another one, all of
them are another one's: that is one finding.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from testbed.diagnosis.finding import Finding, Severity
from testbed.diagnosis.node import grounds, loaded_into, vnid_in
from testbed.openflow import Register, Table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from testbed.diagnosis.node import Differences, Node
    from testbed.openflow import Flow, FlowDifference

_LOADS = {
    Table.FROM_POD: Register.SOURCE_VNID,
    Table.FROM_POD_VIA_SERVICE: Register.SOURCE_VNID,
    Table.IP_TO_LOCAL_POD: Register.DESTINATION_VNID,
    Table.IP_TO_SERVICE: Register.DESTINATION_VNID,
}
_ASK = (
    Table.POLICY,
    Table.EGRESS_ROUTING,
    Table.EGRESS_NETWORK_POLICY,
    Table.MULTICAST_FROM_POD,
    Table.MULTICAST_TO_LOCAL_PODS,
)


def vnids(differences: Differences) -> Iterator[Finding]:
    """Find namespaces, or single pods and services, with a VNID that is not theirs."""
    node = differences.node
    wrong: dict[str, dict[str, list[FlowDifference]]] = defaultdict(dict)
    values: dict[str, set[int]] = defaultdict(set)
    for item in differences.select(_has_other_vnid, *_LOADS):
        kind, _, key = item.made_by.partition(" ")
        if kind not in ("Pod", "Service") or item.installed is None:
            continue
        namespace = key.partition("/")[0]
        wrong[namespace].setdefault(item.made_by, []).append(item)
        values[namespace].add(_vnid_of(item.installed, item))
    involved = {
        vnid
        for namespace, vnids_ in values.items()
        for vnid in (*vnids_, node.cluster.vnid(namespace))
    }
    wholes = {name for name, objects in wrong.items() if _is_whole(node, name, objects)}
    # Of two that were taken for each other one may have a single pod here.
    wholes |= {
        name
        for name in wrong
        for other in wholes
        if values[name] == {node.cluster.vnid(other)}
        and values[other] == {node.cluster.vnid(name)}
    }
    for namespace in sorted(wholes):
        others = values[namespace] | {node.cluster.vnid(namespace)}
        if len(values[namespace]) == 1:
            items = [item for found in wrong[namespace].values() for item in found]
            # Two namespaces that were taken for each other share what asks for them.
            items += _asking(differences, others, involved)
            differences.claim(items)
            yield _of_namespace(node, namespace, values[namespace].pop(), items)
        else:
            wholes = wholes - {namespace}
    for namespace, objects in sorted(wrong.items()):
        if namespace in wholes:
            continue
        for made_by, items in objects.items():
            own = items + _asking_for_pod(differences, made_by, items)
            differences.claim(own)
            yield _of_object(node, made_by, own, items)


def _has_other_vnid(item: FlowDifference) -> bool:
    """Whether the VNID is all that is other in a flow."""
    if item.computed is None or item.installed is None:
        return False
    register = _LOADS.get(Table(item.flow.table))
    if register is None or item.computed.cookie != item.installed.cookie:
        return False
    mine, theirs = item.computed, item.installed
    if loaded_into(mine, register) is None or loaded_into(theirs, register) is None:
        return False

    def rest(flow: Flow) -> list[str]:
        return [a for a in flow.actions if not a.endswith(f"->{register}[]")]

    return rest(mine) == rest(theirs)


def _vnid_of(flow: Flow, item: FlowDifference) -> int:
    return loaded_into(flow, _LOADS[Table(item.flow.table)]) or 0


def _is_whole(node: Node, namespace: str, objects: Collection[str]) -> bool:
    """Whether it is the namespace, and not one pod of several, that is wrong."""
    pods = {f"Pod {p.key}" for p in node.pods.values() if p.namespace == namespace}
    services = {made_by for made_by in objects if made_by.startswith("Service ")}
    has_all = pods <= set(objects)
    return has_all and (len(pods) > 1 or bool(services)) and bool(pods or services)


def _asking(
    differences: Differences, others: set[int], involved: set[int]
) -> list[FlowDifference]:
    """The flows that ask for a VNID, where the VNIDs that were mixed up are all."""

    def is_about(item: FlowDifference) -> bool:
        flow = item.flow
        asked = {vnid_in(flow, "reg0"), vnid_in(flow, "reg1")} - {None}
        return bool(asked & others) and asked <= involved | {0}

    is_policy = differences.node.cluster.network.plugin.tracks_connections

    def is_marked(item: FlowDifference) -> bool:
        # Of namespaces with one VNID ovs-networkpolicy knows one, here and as a sender.
        sender = vnid_in(item.flow, "reg0") if is_policy else None
        return vnid_in(item.flow, "reg1", "reg0") in others or sender in others

    return differences.select(lambda it: is_about(it) or is_marked(it), *_ASK)


def _asking_for_pod(
    differences: Differences, made_by: str, items: list[FlowDifference]
) -> list[FlowDifference]:
    """What else a single pod's VNID is in: table 120 has its port, table 80 itself."""
    node = differences.node
    namespace = made_by.partition(" ")[2].partition("/")[0]
    right = node.cluster.vnid(namespace)
    wrong = {
        _vnid_of(item.installed, item) for item in items if item.installed is not None
    }
    others = [
        pod for pod in node.pods.values() if node.cluster.vnid(pod.namespace) == right
    ]
    if [f"Pod {pod.key}" for pod in others] == [made_by]:
        return _asking(differences, wrong | {right}, wrong | {right})
    return differences.select(
        lambda item: (
            vnid_in(item.flow, "reg1", "reg0") in wrong and item.computed is None
        ),
        *_ASK,
    )


def _of_namespace(
    node: Node, namespace: str, vnid: int, items: list[FlowDifference]
) -> Finding:
    right = node.cluster.vnid(namespace)
    whose = node.cluster.net_namespaces_of(vnid)
    owner = f", which is {', '.join(n.name for n in whose)}'s" if whose else ""
    return Finding(
        check="namespace-vnid",
        severity=Severity.CRITICAL,
        **grounds(node, items),
        what=f"takes namespace {namespace} for VNID {vnid}{owner}; it has {right}",
        breaks=f"pods of {namespace} here are cut off from their own namespace's pods "
        "and services elsewhere"
        + (f", and reach those of {whose[0].name}" if whose else ""),
        object=f"NetNamespace {namespace}",
        bugs=("BZ1445694",),
        advice="restart the node's sdn pod, then delete the "
        f"namespace's pods on the node (oc -n {namespace} delete pod)",
        weight=100,
    )


def _of_object(
    node: Node,
    made_by: str,
    own: list[FlowDifference],
    items: list[FlowDifference],
) -> Finding:
    kind, _, key = made_by.partition(" ")
    namespace = key.partition("/")[0]
    right = node.cluster.vnid(namespace)
    wrong = sorted({_vnid_of(item.installed, item) for item in items if item.installed})
    tables = sorted({int(item.flow.table) for item in items})
    shown = " and ".join(str(vnid) for vnid in wrong)
    where = ", ".join(f"T{table}" for table in tables)
    is_pod = kind == "Pod"
    return Finding(
        check="pod-vnid" if is_pod else "service-vnid",
        severity=Severity.CRITICAL,
        **grounds(node, own),
        what=f"{made_by} has VNID {shown} in {where}; namespace {namespace} has "
        f"{right}",
        breaks="the pod is cut off from its namespace, and in another's network"
        if is_pod
        else f"pods of {namespace} here cannot use it, and others can",
        object=made_by,
        bugs=("BZ1445694",),
        advice=f"delete the pod (oc -n {namespace} delete pod {key.partition('/')[2]})"
        if is_pod
        else "restart the node's sdn pod",
        weight=30 if is_pod else 20,
    )
