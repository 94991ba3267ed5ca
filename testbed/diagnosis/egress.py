"""Findings about how namespaces leave (tables 100, 101), and about multicast.

Source: openshift/origin release-3.11 pkg/network/node/egressip.go, ovscontroller.go
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from testbed.diagnosis.finding import Finding, Severity, short
from testbed.diagnosis.node import grounds, match_of, tunnels, vnid_in
from testbed.egress import egress_state
from testbed.openflow import Deviation, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from testbed.diagnosis.node import Differences, Node
    from testbed.openflow import FlowDifference


def egress(differences: Differences) -> Iterator[Finding]:
    """Find namespaces that leave by another way than they should."""
    for vnid, items in _by_vnid(differences, Table.EGRESS_ROUTING):
        differences.claim(items)
        yield _egress_ip(differences.node, vnid, items)
    for vnid, items in _by_vnid(differences, Table.EGRESS_NETWORK_POLICY):
        differences.claim(items)
        yield _egress_policy(differences.node, vnid, items)


def multicast(differences: Differences) -> Iterator[Finding]:
    """Find VNIDs whose multicast is not delivered, or still is."""
    node = differences.node
    for item in differences.select(
        lambda it: it.deviation is Deviation.CHANGED, Table.MULTICAST_TO_LOCAL_PODS
    ):
        moved = _moved(node, item)
        if moved:
            differences.claim([item])
            yield moved
    tables = (Table.MULTICAST_FROM_POD, Table.MULTICAST_TO_LOCAL_PODS)
    for vnid, items in _by_vnid(differences, *tables):
        differences.claim(items)
        name = _name(node, vnid)
        is_extra = all(item.deviation is Deviation.EXTRA for item in items)
        where = " and ".join(
            dict.fromkeys(f"T{int(item.flow.table)}" for item in items)
        )
        yield Finding(
            check="multicast-flows",
            severity=Severity.WARNING,
            **grounds(node, items),
            what=f"{where} {'still has' if is_extra else 'lacks or changes'} the "
            f"multicast of {name}",
            breaks="multicast is delivered though it is disabled"
            if is_extra
            else f"multicast does not reach all pods of {name} here, or leave them",
            object=node.net_namespace(vnid),
            bugs=("BZ1449058",) if is_extra else ("BZ1723924",),
            advice="restart the node's sdn pod, or start a pod of the namespace here",
            weight=10,
        )


def _moved(node: Node, item: FlowDifference) -> Finding | None:
    """Table 120 has other ports of pods than their own flows have."""
    if item.computed is None or item.installed is None:
        return None
    wanted, has = set(item.computed.actions), set(item.installed.actions)
    lost = {action for action in wanted - has if action.startswith("output:")}
    pods = [p for p in node.pods.values() if f"output:{p.ofport}" in lost]
    if not pods or not all(action.startswith("output:") for action in has):
        return None
    shown = ", ".join(sorted(has - wanted)) or "no port"
    return Finding(
        check="multicast-port",
        severity=Severity.WARNING,
        **grounds(node, [item]),
        what=f"T120 has {shown} instead of port {pods[0].ofport} for Pod {pods[0].key}",
        breaks="multicast does not reach the pod",
        object=f"Pod {pods[0].key}",
        bugs=("BZ1723924",),
        advice="restart the node's sdn pod, or start a pod of the namespace here",
        weight=1,
    )


def _by_vnid(
    differences: Differences, *tables: int
) -> Iterable[tuple[int, list[FlowDifference]]]:
    found: dict[int, list[FlowDifference]] = defaultdict(list)
    for item in differences.select(lambda _: True, *tables):
        vnid = vnid_in(item.flow, "reg0")
        if vnid is not None:
            found[vnid].append(item)
    return found.items()


def _egress_ip(node: Node, vnid: int, items: list[FlowDifference]) -> Finding:
    name = _name(node, vnid)
    claim = egress_state(node.cluster).ways.get(vnid)
    expected = next((item.computed for item in items if item.computed), None)
    installed = next((item.installed for item in items if item.installed), None)
    if claim is not None:
        meant = f"it should by {short(claim.node.name)} from {claim.ip}"
    elif expected is not None:
        meant = "it should not at all: nobody has its egress IP"
    else:
        meant = "it has no egress IP"
    names = {str(host.host_ip): short(host.name) for host in node.cluster.host_subnets}
    if installed is None:
        now, breaks = (
            "by the node itself",
            "its pods here leave from the node's address",
        )
        if claim is None:
            breaks = "its pods here leave, and from the node's address"
    elif installed.drops:
        now, breaks = (
            "not at all",
            "what its pods here send out of the cluster is dropped",
        )
    elif tunnels(installed):
        to = names.get(tunnels(installed)[0], tunnels(installed)[0])
        now = f"by {to}"
        breaks = f"what its pods here send out goes to {to}, which does not have the "
        breaks += "egress IP, or drops it"
    else:
        now = "from here, marked otherwise"
        breaks = "what it sends out has no egress IP here, or another's"
    return Finding(
        check="egress-ip-flows",
        severity=Severity.CRITICAL,
        **grounds(node, items),
        what=f"T100: {name} leaves {now}; {meant}",
        breaks=breaks,
        object=node.net_namespace(vnid),
        bugs=("BZ1540846", "BZ1762235"),
        advice="remove the egress IP from HostSubnet and NetNamespace and add it again",
        weight=50,
    )


def _egress_policy(node: Node, vnid: int, items: list[FlowDifference]) -> Finding:
    name = _name(node, vnid)
    effects = list(dict.fromkeys(map(_effect, items)))
    makers = [item.made_by for item in items if item.made_by]
    lacks = any(item.computed is not None for item in items)
    return Finding(
        check="egress-policy-flows",
        severity=Severity.CRITICAL if lacks else Severity.WARNING,
        **grounds(node, items),
        what=f"T101 {'lacks or changes' if lacks else 'has more'} rules about what "
        f"{name} may reach outside",
        breaks="; ".join(effects[:4]) + ("; …" if effects[4:] else ""),
        object=makers[0] if makers else node.net_namespace(vnid),
        bugs=("openshift/origin#12038",) if not makers else (),
        advice="change the EgressNetworkPolicy (any rule will do) to have it written "
        "again; rules by DNS name follow the name only when their time is up",
        weight=30,
    )


def _effect(item: FlowDifference) -> str:
    to = match_of(item.flow).get("nw_dst", "everywhere")
    flow = item.installed or item.computed
    drops = flow is not None and flow.drops
    if item.installed is None:
        return f"the rule that {'denies' if drops else 'allows'} {to} does not hold"
    return f"{to} is {'denied' if drops else 'allowed'}, which no policy says"


def _name(node: Node, vnid: int) -> str:
    return node.namespaces(vnid) or f"VNID {vnid}, which is nobody's,"
