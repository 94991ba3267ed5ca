"""Findings about a pod's own network, and what an interface's line says of it.

Source: ip-address(8), ip-route(8)
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from testbed.diagnosis.finding import Evidence, Finding, Severity, delete_pod

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.diagnosis.node import Node
    from testbed.importing.evidence import Text

NO_PLUG = "NO-CARRIER"
"""What an interface has whose other end is down."""

EVERYWHERE = IPv4Network("0.0.0.0/0")
_STATE = re.compile(r"\d+: ([-\w.]+)(?:@\S+)?: <([A-Z0-9_,-]*)>")


def flags_of(text: Text, name: str) -> set[str] | None:
    """An interface's flags; ``None`` where it is not told."""
    for line in text.text.splitlines():
        found = _STATE.match(line)
        if found and found[1] == name:
            return set(found[2].split(","))
    return None


def pod_addresses(node: Node, name: str, text: Text) -> Iterator[Finding]:
    """Find an eth0 that is down or has another pod's address."""
    pods = [pod for pod in node.pods.values() if pod.name == name]
    eth0 = next((item for item in text.interfaces if item.name == "eth0"), None)
    if len(pods) != 1 or eth0 is None:
        return
    (pod,) = pods
    has = [address.ip for address in eth0.addresses]
    if pod.ip not in has:
        shown = ", ".join(map(str, has)) or "none"
        others = [p.key for ip in has if (p := node.cluster.pod_at(ip)) is not None]
        whose = f", that of Pod {', '.join(others)}" if others else ""
        yield Finding(
            check="pod-address",
            severity=Severity.CRITICAL,
            nodes=(node.name,),
            what=f"eth0 of Pod {pod.key} has {shown}{whose}; it should have {pod.ip}",
            breaks="what it sends is dropped as forged, and what is sent to it, it "
            "does "
            "not take",
            object=f"Pod {pod.key}",
            evidence=(Evidence(f"eth0 has {shown}", str(text.at(eth0.line))),),
            bugs=("BZ1395183",),
            advice=delete_pod(pod),
            weight=30,
        )
    flags = flags_of(text, "eth0")
    if flags is not None and ("UP" not in flags or NO_PLUG in flags):
        yield Finding(
            check="link-down",
            severity=Severity.CRITICAL,
            nodes=(node.name,),
            what=f"eth0 of Pod {pod.key} is down",
            breaks="the pod can neither send nor be reached",
            object=f"Pod {pod.key}",
            evidence=(Evidence(f"<{','.join(flags)}>", str(text.at(eth0.line))),),
            advice=delete_pod(pod),
            weight=30,
        )


def pod_routes(node: Node, name: str, text: Text) -> Iterator[Finding]:
    """Find a pod that has no way to its node."""
    pods = [pod for pod in node.pods.values() if pod.name == name]
    routes = [route for route in text.routes if route.dev]
    if len(pods) != 1 or not routes:
        return
    (pod,) = pods
    ways = {route.via for route in routes if route.destination == EVERYWHERE}
    if node.host.gateway not in ways:
        yield Finding(
            check="pod-route",
            severity=Severity.CRITICAL,
            nodes=(node.name,),
            what=f"Pod {pod.key} has no default route via {node.host.gateway}",
            breaks="it reaches neither services nor anything outside",
            object=f"Pod {pod.key}",
            evidence=(Evidence("routes", str(text.place)),),
            advice=delete_pod(pod),
            weight=20,
        )
