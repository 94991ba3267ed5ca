"""Findings about whom a node takes to have which MAC. Source: ip-neighbour(8)."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from testbed.diagnosis.finding import Evidence, Finding, Severity, short

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from testbed.diagnosis.node import Node
    from testbed.importing.evidence import Text

_NEIGHBOUR = re.compile(
    r"(\d{1,3}(?:\.\d{1,3}){3}) dev (\S+)(?: lladdr ([0-9a-f:]{17}))?.*?"
    r"\b(REACHABLE|STALE|DELAY|PROBE|FAILED|PERMANENT|NOARP|INCOMPLETE)\s*$"
)


def neighbours(
    node: Node, text: Text, macs: Mapping[IPv4Address, str]
) -> Iterator[Finding]:
    """Find peers that do not answer, and MACs that are another's.

    ``macs`` are those that nodes have, by address.
    """
    peers = {peer.host_ip: peer for peer in node.cluster.peers(node.host)}
    for number, line in enumerate(text.text.splitlines(), text.line):
        found = _NEIGHBOUR.match(line)
        if found is None:
            continue
        try:
            ip = IPv4Address(found[1])
        except ValueError:
            continue
        shown = Evidence(line.strip(), str(text.at(number)))
        pod = node.cluster.pod_at(ip)
        if ip in peers and found[2] != "tun0":
            yield from _about_peer(node, peers[ip].name, ip, found, macs.get(ip), shown)
        elif pod and found[2] == "tun0" and found[3] and found[3] != pod.mac:
            yield Finding(
                check="stale-arp",
                severity=Severity.WARNING,
                nodes=(node.name,),
                what=f"takes Pod {pod.key} ({ip}) to have the MAC {found[3]}, not "
                f"{pod.mac}",
                breaks="what the node sends to the pod, or forwards, is not taken "
                "by it",
                object=f"Pod {pod.key}",
                evidence=(shown,),
                bugs=("BZ1451854",),
                advice=f"ip neigh del {ip} dev tun0",
                weight=15,
            )


def _about_peer(  # noqa: PLR0913, PLR0917 - a line has as many parts
    node: Node,
    peer: str,
    ip: IPv4Address,
    found: re.Match[str],
    mac: str | None,
    shown: Evidence,
) -> Iterator[Finding]:
    if found[4] in ("FAILED", "INCOMPLETE"):
        yield Finding(
            check="peer-silent",
            severity=Severity.WARNING,
            nodes=(node.name,),
            what=f"{short(peer)} ({ip}) does not answer ARP",
            breaks=f"no traffic between pods here and pods of {short(peer)}",
            object=f"HostSubnet {peer}",
            evidence=(shown,),
            bugs=("openshift/origin#14713",),
            advice=f"see whether {short(peer)} runs, and its interface is up",
            weight=100,
        )
    elif mac and found[3] and found[3] != mac:
        yield Finding(
            check="stale-arp",
            severity=Severity.CRITICAL,
            nodes=(node.name,),
            what=f"takes {short(peer)} ({ip}) to have the MAC {found[3]}, not {mac}",
            breaks=f"what is sent to {short(peer)} gets to another machine, or nowhere",
            object=f"HostSubnet {peer}",
            evidence=(shown,),
            advice=f"ip neigh del {ip} dev {found[2]}; look for a second machine that "
            "has the address",
            weight=100,
        )
