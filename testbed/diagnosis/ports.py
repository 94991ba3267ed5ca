"""Findings about br0's ports: what ``ovs-ofctl show`` and OVSDB say beside flows.

Source: ovs-ofctl(8), ovs-vsctl(8); openshift/origin release-3.11
pkg/network/node/pod.go
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from testbed.diagnosis.finding import Evidence, Finding, FlowKey, Severity, delete_pod
from testbed.importing.kinds import Kind
from testbed.openflow import Flow, OFPort, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from ipaddress import IPv4Address

    from testbed.diagnosis.node import Node
    from testbed.importing.evidence import Text
    from testbed.importing.facts import PodFlows
    from testbed.importing.readers.host import Port
    from testbed.model import Pod

_VETH = re.compile(r"(\d{1,9}): (veth[-\w.]*)@")
_OTHER_END = re.compile(r"\d+: eth0@if(\d{1,9}):")
_DEVICE = re.compile(r"vxlan_sys_(\d{1,5})")
_ERROR = re.compile(r"\s*error\s*:\s*\"?(could not (?:open|add) .*?)\"?\s*$")


def ports(node: Node) -> Iterator[Finding]:
    """Find ports that flows are for and br0 does not have, and the other way round."""
    listed = _listed(node)
    numbers = {port.ofport for _, port in listed if port.ofport is not None}
    true = dict(_true_ports(node, listed))
    yield from _own_ports(node, listed)
    bridge = node.collected.bridge
    known: Mapping[IPv4Address, PodFlows] = bridge.facts.pods if bridge else {}
    used = {number for flows in known.values() for number in _numbers(flows)}
    unused = [
        (text, port)
        for text, port in listed
        if port.ofport is not None
        and port.name.startswith("veth")
        and port.ofport not in used
    ]
    for ip, pod in node.pods.items():
        flows = known.get(ip)
        if flows is None:
            continue
        has = _numbers(flows)
        wrong = {number for number in has if numbers and number not in numbers}
        place, number = true.get(ip, ("", None))
        if number is not None and has and number not in has:
            yield _elsewhere(node, pod, has, number, place)
        elif wrong:
            yield _no_port(node, pod, wrong, listed, unused, flows)
    if bridge and unused:
        yield _without_flows(node, unused)
    yield from _broken_rows(node)
    yield from _other_vxlan_ports(node)
    yield from _fixed_vnids(node)


def _listed(node: Node) -> list[tuple[Text, Port]]:
    """The ports of br0, where the whole list was collected: LOCAL is its last."""
    for text in node.texts(Kind.PORTS):
        if any(port.ofport is None for port in text.ports):
            return [(text, port) for port in text.ports]
    return []


def _numbers(flows: PodFlows) -> set[int]:
    found = (*flows.delivered, *flows.ports)
    return {int(port) for port in found if port.isdecimal() and len(port) < 6}


def _true_ports(
    node: Node, listed: list[tuple[Text, Port]]
) -> Iterator[tuple[IPv4Address, tuple[str, int]]]:
    """Yield pods' ports by address, where something but a flow tells them."""
    by_name = {port.name: port.ofport for _, port in listed}
    veths = {
        found[1]: found[2]
        for text in node.texts(Kind.ADDRESSES)
        for line in text.text.splitlines()
        if (found := _VETH.match(line))
    }
    for name, text in node.pod_texts(Kind.ADDRESSES):
        ends = _OTHER_END.search(text.text)
        number = by_name.get(veths.get(ends[1], "")) if ends else None
        for interface in text.interfaces:
            if interface.name == "eth0" and number is not None:
                for address in interface.addresses:
                    pod = node.pods.get(address.ip)
                    if pod is None or pod.name != name:
                        continue
                    yield address.ip, (str(text.at(interface.line)), number)
    for text in node.texts(Kind.OVSDB):
        for port in text.ports:
            if port.ip is not None and port.ofport is not None:
                yield port.ip, (str(text.at(port.line)), port.ofport)


def _own_ports(node: Node, listed: list[tuple[Text, Port]]) -> Iterator[Finding]:
    if not listed:
        return
    text = listed[0][0]
    numbers = {port.name: port.ofport for _, port in listed}
    for port in OFPort:
        name = port.name.lower()
        if numbers.get(name) == port.value:
            continue
        is_there = name in numbers
        what = f"br0 has no port {name}"
        if is_there:
            what = f"{name} has port {numbers[name]} of br0, not {port.value} as in "
            "flows"
        breaks = "no traffic with other nodes"
        if port is OFPort.TUN0:
            breaks = (
                "pods reach neither services nor anything outside, and the node no pod"
            )
        yield Finding(
            check="own-port",
            severity=Severity.CRITICAL,
            nodes=(node.name,),
            what=what,
            breaks=breaks,
            evidence=(Evidence("the list of ports", str(text.place)),),
            advice="restart the node's sdn pod",
            weight=400,
        )


def _elsewhere(node: Node, pod: Pod, has: set[int], number: int, place: str) -> Finding:
    shown = " and ".join(map(str, sorted(has)))
    return Finding(
        check="pod-port",
        severity=Severity.CRITICAL,
        nodes=(node.name,),
        what=f"flows take Pod {pod.key} ({pod.ip}) to be on port {shown}; "
        f"it is on {number}",
        breaks="the pod can neither send nor be reached",
        object=f"Pod {pod.key}",
        evidence=(Evidence(f"{pod.ip} is on port {number}", place),),
        bugs=("BZ1518684",),
        advice=delete_pod(pod),
        flows=_flows_of(node, pod),
        weight=30,
    )


def _no_port(  # noqa: PLR0913, PLR0917 - a finding has as many parts
    node: Node,
    pod: Pod,
    wrong: set[int],
    listed: list[tuple[Text, Port]],
    unused: list[tuple[Text, Port]],
    flows: PodFlows,
) -> Finding:
    shown = " and ".join(map(str, sorted(wrong)))
    bridge = node.collected.bridge
    place = str(bridge.at(flows.line)) if bridge else ""
    free = ", ".join(f"{port.ofport} ({port.name})" for _, port in unused[:5])
    listing = f"no flow is for {free}" if free else "all other ports have flows"
    return Finding(
        check="port-gone",
        severity=Severity.CRITICAL,
        nodes=(node.name,),
        what=f"flows of Pod {pod.key} ({pod.ip}) are for port {shown}, which br0 does "
        "not have",
        breaks="the pod can neither send nor be reached; what is sent to it vanishes",
        object=f"Pod {pod.key}",
        evidence=(
            Evidence(f"flows of {pod.ip} name port {shown}", place),
            Evidence(f"br0's ports: {listing}", str(listed[0][0].place)),
        ),
        bugs=("BZ1518684",),
        advice=delete_pod(pod),
        flows=_flows_of(node, pod),
        weight=30,
    )


def _flows_of(node: Node, pod: Pod) -> frozenset[FlowKey]:
    return frozenset(
        node.key(flow) for flow in node.installed if _is_about(flow, str(pod.ip))
    )


def _is_about(flow: Flow, ip: str) -> bool:
    return flow.table < Table.POLICY and any(
        item.endswith(f"={ip}") for item in flow.match
    )


def _without_flows(node: Node, unused: list[tuple[Text, Port]]) -> Finding:
    shown = ", ".join(f"{port.ofport} ({port.name})" for _, port in unused[:8])
    more = f" and {len(unused) - 8} more" if len(unused) > 8 else ""
    return Finding(
        check="port-without-flows",
        severity=Severity.WARNING,
        nodes=(node.name,),
        what=f"br0 has ports that no flow is for: {shown}{more}",
        breaks="a pod there can neither send nor be reached",
        evidence=tuple(
            Evidence(f"port {port.ofport} ({port.name})", str(text.at(port.line)))
            for text, port in unused
        ),
        bugs=("BZ1765220", "openshift/origin#21723"),
        advice="find the pod (ovs-vsctl get Interface VETH external_ids) and delete it",
        weight=len(unused),
    )


def _broken_rows(node: Node) -> Iterator[Finding]:
    """Rows of OVSDB for interfaces that are not there."""
    for text in node.texts(Kind.OVSDB):
        for number, line in enumerate(text.text.splitlines(), text.line):
            if found := _ERROR.match(line):
                yield Finding(
                    check="port-broken",
                    severity=Severity.WARNING,
                    nodes=(node.name,),
                    what="br0 has ports in OVSDB that lead nowhere",
                    breaks="nothing by itself; a pod that should have one has no "
                    "network",
                    evidence=(Evidence(found[1], str(text.at(number))),),
                    bugs=("PR20670",),
                    advice="ovs-vsctl del-port br0 VETH, for each",
                    weight=3,
                )


def _fixed_vnids(node: Node) -> Iterator[Finding]:
    """VXLAN whose VNID is vxlan0's, whatever a flow has written."""
    told = [
        (vnid, Evidence(f"vxlan0 has key {vnid}", str(text.at(line))))
        for text in node.texts(Kind.OVSDB)
        for vnid, line in text.vxlan_keys
    ]
    if told:
        yield Finding(
            check="vxlan-key",
            severity=Severity.CRITICAL,
            nodes=(node.name,),
            what=f"sends everything by VXLAN with VNID {told[0][0]:#x}",
            breaks="with VNIDs, what pods here send to other nodes is another "
            "namespace's there",
            evidence=tuple(shown for _, shown in told),
            advice="ovs-vsctl set interface vxlan0 options:key=flow, and remove "
            "options:out_key",
            weight=440,
        )


def _other_vxlan_ports(node: Node) -> Iterator[Finding]:
    """VXLAN on another port than the cluster's, as OVSDB or the kernel says."""
    port = node.cluster.network.vxlan_port
    told = [
        (number, Evidence(f"vxlan0 has dst_port {number}", str(text.at(line))))
        for text in node.texts(Kind.OVSDB)
        for number, line in text.vxlan_ports
    ]
    told += [
        (int(found[1]), Evidence(interface.name, str(text.at(interface.line))))
        for text in node.texts(Kind.ADDRESSES)
        for interface in text.interfaces
        if (found := _DEVICE.fullmatch(interface.name))
    ]
    wrong = [(number, shown) for number, shown in told if number != port]
    if wrong:
        yield Finding(
            check="vxlan-port",
            severity=Severity.CRITICAL,
            nodes=(node.name,),
            what=f"speaks VXLAN on UDP {wrong[0][0]}, others on {port}",
            breaks="no traffic between pods here and pods of other nodes",
            object="ClusterNetwork default",
            evidence=tuple(shown for _, shown in wrong),
            bugs=("BZ1462842",),
            advice="set the same vxlanPort everywhere; restart the node's sdn pod",
            weight=450,
        )
