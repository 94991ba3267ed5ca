"""Findings about a node's kernel: addresses, MTU, routes, neighbours, sysctls.

Source: ip-address(8), ip-route(8), ip-neighbour(8), sysctl(8); openshift/origin
release-3.11 pkg/network/node/sdn_controller.go
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from testbed.diagnosis.finding import Evidence, Finding, Severity, short
from testbed.diagnosis.neighbours import neighbours
from testbed.diagnosis.pod_host import (
    EVERYWHERE,
    NO_PLUG,
    flags_of,
    pod_addresses,
    pod_routes,
)
from testbed.diagnosis.queueing import queueing
from testbed.importing.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from ipaddress import IPv4Address

    from testbed.diagnosis.node import Node
    from testbed.importing.evidence import Text
    from testbed.importing.readers.host import Interface, Route

VXLAN_OVERHEAD = 50
"""Bytes of outer Ethernet, IP, UDP and VXLAN headers."""

_SETTING = re.compile(r"([\w./-]+) = (\d{1,12})\s*$")
_FULL = 0.95


def host(node: Node, macs: Mapping[IPv4Address, str]) -> Iterator[Finding]:
    """Find what is wrong with a node's kernel.

    Args:
        node: the node.
        macs: the MACs that nodes have, by address, as their own texts say.
    """
    for text in node.texts(Kind.ADDRESSES):
        yield from _addresses(node, text)
    for text in node.texts(Kind.ROUTES):
        yield from _routes(node, text)
    for text in node.texts(Kind.NEIGHBOURS):
        yield from neighbours(node, text, macs)
    for text in node.texts(Kind.SYSCTL):
        yield from _sysctls(node, text)
    for name, text in node.pod_texts(Kind.ADDRESSES):
        yield from pod_addresses(node, name, text)
    for name, text in node.pod_texts(Kind.ROUTES):
        yield from pod_routes(node, name, text)


def own_macs(node: Node) -> Iterator[tuple[IPv4Address, str]]:
    """Yield the node's addresses on the underlay, and the MAC of each."""
    for text in node.texts(Kind.ADDRESSES):
        for interface in text.interfaces:
            for address in interface.addresses:
                if address.ip == node.host.host_ip and interface.mac:
                    yield address.ip, interface.mac


def _addresses(node: Node, text: Text) -> Iterator[Finding]:
    found = {interface.name: interface for interface in text.interfaces}
    if not any(interface.addresses for interface in found.values()):
        return
    host_ip, gateway = node.host.host_ip, node.host.gateway
    nic = next(
        (
            interface
            for interface in found.values()
            if any(address.ip == host_ip for address in interface.addresses)
        ),
        None,
    )
    tun0 = found.get("tun0")
    if nic is None:
        yield _critical(
            node,
            "node-address",
            f"no interface has its address {host_ip}",
            "nodes send its pods' traffic to an address that it does not have",
            Evidence("addresses", str(text.place)),
            object_=f"HostSubnet {node.name}",
            bugs=("BZ1607395",),
            advice="correct hostIP of the HostSubnet, or the node's address",
        )
    if tun0 is None:
        yield _critical(
            node,
            "tun0-gone",
            "has no interface tun0",
            "pods reach neither services nor anything outside, and the node no pod",
            Evidence("addresses", str(text.place)),
        )
    elif not any(address.ip == gateway for address in tun0.addresses):
        has = ", ".join(map(str, tun0.addresses)) or "none"
        yield _critical(
            node,
            "tun0-address",
            f"tun0's address is not {gateway}/{node.host.subnet.prefixlen}: {has}",
            "pods have no gateway: no services, nothing outside; the SDN sets br0 up "
            "anew when it next starts",
            Evidence(f"tun0 has {has}", str(text.at(tun0.line))),
            object_=f"HostSubnet {node.name}",
        )
    for interface in filter(None, (nic, tun0)):
        yield from _state(node, text, interface)
    if nic and tun0:
        yield from _mtu(node, text, nic, tun0)
    yield from _stray_egress_ips(node, text, nic)
    yield from queueing(node, text)


def _state(node: Node, text: Text, interface: Interface) -> Iterator[Finding]:
    flags = flags_of(text, interface.name)
    if flags is None or ("UP" in flags and NO_PLUG not in flags):
        return
    state = "has no carrier" if "UP" in flags else "is down"
    effect = "all traffic with other nodes and the world"
    if interface.name == "tun0":
        effect = "services, and all traffic between pods and node or world"
    yield _critical(
        node,
        "link-down",
        f"{interface.name} {state}",
        effect,
        Evidence(f"<{','.join(sorted(flags))}>", str(text.at(interface.line))),
        advice=f"ip link set {interface.name} up; see who took it down",
        weight=500,
    )


def _mtu(node: Node, text: Text, nic: Interface, tun0: Interface) -> Iterator[Finding]:
    if not nic.mtu or not tun0.mtu:
        return
    shown = (
        Evidence(f"{nic.name} mtu {nic.mtu}", str(text.at(nic.line))),
        Evidence(f"tun0 mtu {tun0.mtu}", str(text.at(tun0.line))),
    )
    if tun0.mtu > nic.mtu - VXLAN_OVERHEAD:
        yield Finding(
            check="mtu",
            severity=Severity.CRITICAL,
            nodes=(node.name,),
            what=f"tun0's MTU {tun0.mtu} is more than {nic.name}'s {nic.mtu} less "
            f"{VXLAN_OVERHEAD} for VXLAN",
            breaks="big packets to other nodes' pods are lost or fragmented: "
            "connections hang after they began",
            evidence=shown,
            bugs=("BZ1564346",),
            advice=f"set mtu in the node's configuration to "
            f"{nic.mtu - VXLAN_OVERHEAD}, "
            "or raise the interface's",
            weight=150,
        )
    elif tun0.mtu != node.cluster.underlay.mtu:
        yield Finding(
            check="mtu",
            severity=Severity.WARNING,
            nodes=(node.name,),
            what=f"tun0's MTU is {tun0.mtu}, and {node.cluster.underlay.mtu} on most "
            "nodes",
            breaks="big packets from pods whose MTU is the higher are lost",
            evidence=shown[1:],
            bugs=("BZ1564346",),
            advice="set the same mtu in all nodes' configuration",
            weight=20,
        )


def _stray_egress_ips(
    node: Node, text: Text, nic: Interface | None
) -> Iterator[Finding]:
    """An egress IP that is another node's, or nobody's any more."""
    if nic is None:
        return
    offered = {ip: host for host in node.cluster.host_subnets for ip in host.egress_ips}
    for address in nic.addresses:
        home = offered.get(address.ip)
        if home is not None and home.name != node.name:
            others = [
                h for h in node.cluster.host_subnets if address.ip in h.egress_ips
            ]
            if node.host in others:
                continue
            yield _critical(
                node,
                "egress-ip-held",
                f"has the egress IP {address.ip}, which is {short(home.name)}'s",
                "two nodes answer ARP for it: replies go to the wrong one",
                Evidence(f"{nic.name} has {address}", str(text.at(nic.line))),
                object_=f"HostSubnet {home.name}",
                bugs=("BZ1762235",),
                advice=f"ip addr del {address} dev {nic.name}, and remove the rule "
                "SNAT "
                f"--to-source {address.ip}",
                weight=60,
            )


def _routes(node: Node, text: Text) -> Iterator[Finding]:
    routes = [route for route in text.routes if route.dev]
    if not routes:
        return
    by_tun0 = {route.destination for route in routes if route.dev == "tun0"}
    # The route for services is not needed: their packets are translated before.
    for network in node.cluster.cidrs:
        if network not in by_tun0:
            yield _critical(
                node,
                "route-missing",
                f"has no route {network} dev tun0",
                "the node reaches no pods, nor does what it forwards to them; the SDN "
                "sets br0 up anew when it next starts",
                Evidence("routes", str(text.place)),
                weight=150,
            )
    if not any(route.destination == EVERYWHERE for route in routes):
        yield _critical(
            node,
            "no-default-route",
            "has no default route",
            "pods reach nothing outside the nodes' own network",
            Evidence("routes", str(text.place)),
            severity=Severity.WARNING,
            advice="ip route add default via GATEWAY",
        )
    yield from _connected(node, text, routes)


def _connected(node: Node, text: Text, routes: list[Route]) -> Iterator[Finding]:
    for route in routes:
        if route.dev == "tun0" and route.destination == node.host.subnet:
            yield Finding(
                check="route-connected",
                severity=Severity.NOTE,
                nodes=(node.name,),
                what=f"has the route {route.destination} dev tun0, which the SDN "
                "removes",
                breaks="nothing that packets notice",
                evidence=(Evidence("routes", str(text.at(route.line))),),
                advice="none is needed",
            )


def _sysctls(node: Node, text: Text) -> Iterator[Finding]:
    values: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(text.text.splitlines(), text.line):
        if found := _SETTING.match(line.strip()):
            name = found[1].replace("/", ".")
            values[name] = int(found[2]), str(text.at(number))
    forward = values.get("net.ipv4.ip_forward")
    if forward and not forward[0]:
        yield _critical(
            node,
            "ip-forward",
            "net.ipv4.ip_forward is 0",
            "pods reach neither services nor anything outside: the kernel forwards "
            "nothing",
            Evidence("net.ipv4.ip_forward = 0", forward[1]),
            bugs=("BZ1477716",),
            advice="sysctl -w net.ipv4.ip_forward=1, and in /etc/sysctl.d",
            weight=500,
        )
    count = values.get("net.netfilter.nf_conntrack_count")
    most = values.get("net.netfilter.nf_conntrack_max")
    if count and most and most[0] and count[0] >= most[0] * _FULL:
        yield _critical(
            node,
            "conntrack-full",
            f"conntrack is full: {count[0]} of {most[0]} connections",
            "new connections fail at random",
            Evidence(f"nf_conntrack_count = {count[0]}", count[1]),
            bugs=("BZ1985336",),
            advice="raise net.netfilter.nf_conntrack_max; find who opens so many",
            weight=200,
        )


def _critical(  # noqa: PLR0913 - a finding has as many parts
    node: Node,
    check: str,
    what: str,
    breaks: str,
    *shown: Evidence,
    object_: str = "",
    bugs: tuple[str, ...] = (),
    advice: str = "restart the node's sdn pod, which sets tun0 up anew",
    weight: int = 300,
    severity: Severity = Severity.CRITICAL,
) -> Finding:
    return Finding(
        check=check,
        severity=severity,
        nodes=(node.name,),
        what=what,
        breaks=breaks,
        object=object_,
        evidence=shown,
        bugs=bugs,
        advice=advice,
        weight=weight,
    )
