"""A packet that a mutant treats otherwise than a whole cluster, found by tracing.

For a mutant that survives: if there is such a packet, a scenario could send it; if
there is none among thousands, the mutant may be equivalent. Packets are put together
from what a cluster has: from each kind of sender, honest and forged, to each kind of
destination, for the ports that the flows name. ``ofproto/trace`` of the node's own
switch says what becomes of each, before and after; nothing is sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from testbed.errors import SwitchError
from testbed.mutation.fault import FlowFault
from testbed.openflow import OFPort

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from testbed.model import Cluster, HostSubnet
    from testbed.mutation.fault import RuleFault
    from testbed.probe import LiveCluster

_STEP = re.compile(r"^ *(\d+)\. (.*)$", re.MULTILINE)
_DATAPATH = re.compile(r"^Datapath actions: (.*)$", re.MULTILINE)
_RECIRCULATION = re.compile(r"recirc\(0x[0-9a-f]+\)")
_TUNNEL = re.compile(
    r"tnl_push\(.*?ipv4\(src=[\d.]+,dst=([\d.]+).*?vni=(0x[0-9a-f]+)\)\),out_port\(\d+\)\)"
    r"(?:,\d+)?"
)
_ANSWERS = re.compile(r"nw_dst=([\d.]+)|arp_[st]pa=([\d.]+)|tp_dst=(\d+)")
_FEW = 3
_ANY_PORT, _UNKNOWN_VNID = 9, 4711
_NOBODY = "192.0.2.7"
_GROUP, _ABOVE_GROUPS = "239.1.2.3", "240.0.0.1"
_CT_STATES = ((), ("trk,est,rpl",) * 4)


@dataclass(frozen=True, slots=True)
class _Fate:
    """What became of a packet: the tables it went through, and how it ended."""

    tables: frozenset[int]
    end: str


def witness(live: LiveCluster, fault: FlowFault | RuleFault) -> str:
    """A packet that a fault matters for, and how; empty if there is none.

    Rules of iptables cannot be traced, so for those there is never one.
    """
    if not isinstance(fault, FlowFault):
        return ""
    questions = list(_questions(live, fault))
    before = dict(zip(questions, _fates(live, fault.node, questions), strict=True))
    concerned = [
        question
        for question, fate in before.items()
        if fate and fault.table in fate.tables
    ]
    with live.broken(fault):
        after = list(_fates(live, fault.node, concerned))
    for question, fate in zip(concerned, after, strict=True):
        had = before[question]
        if fate and had and fate.end != had.end:
            return f"{question[-1]}: {had.end} → {fate.end}"
    return ""


def _questions(live: LiveCluster, fault: FlowFault) -> Iterator[tuple[str, ...]]:
    """Yield the arguments of a trace for every packet."""
    cluster = live.objects
    node = cluster.node(fault.node)
    named = _ANSWERS.findall(fault.selector)
    addresses = [ip or spa for ip, spa, _ in named if ip or spa]
    ports = {int(port) for *_, port in named if port} | {_ANY_PORT, 53, 4789}
    destinations = list(dict.fromkeys([*addresses, *_destinations(cluster, node)]))
    states = _CT_STATES if cluster.network.plugin.tracks_connections else _CT_STATES[:1]
    for (origin, source, mac), destination in product(
        _origins(cluster, node, fault.selector), destinations
    ):
        for packet in _packets(source, mac, destination, sorted(ports)):
            for state in states:
                options = [word for part in state for word in ("--ct-next", part)]
                yield (*options, "br0", f"{origin},{packet}")


def _packets(
    source: str, mac: str, destination: str, ports: Iterable[int]
) -> Iterator[str]:
    yield (
        f"arp,arp_op=1,arp_spa={source},arp_tpa={destination},arp_sha={mac},dl_src={mac}"
    )
    yield f"icmp,nw_src={source},nw_dst={destination},icmp_type=8"
    yield f"udp,nw_src={source},nw_dst={destination},nw_frag=later"
    for port in ports:
        for protocol in ("tcp", "udp"):
            yield (
                f"{protocol},nw_src={source},nw_dst={destination},{protocol}_dst={port}"
            )


def _origins(
    cluster: Cluster, node: HostSubnet, selector: str
) -> Iterator[tuple[str, str, str]]:
    """Yield where a packet comes from, the address it gives, and the MAC."""
    pods = [pod for pod in cluster.pods_on(node) if pod.ofport is not None]
    pods.sort(key=lambda pod: f"in_port={pod.ofport}," not in f"{selector},")
    for pod, other in zip(pods[:_FEW], [*pods[1:], *pods[:1]], strict=False):
        origin = f"in_port={pod.ofport}"
        yield origin, str(pod.ip), pod.mac
        yield origin, str(other.ip), pod.mac
        yield origin, str(pod.ip), other.mac
        yield origin, str(other.ip), other.mac
        yield origin, str(node.gateway), pod.mac
    tun0 = f"in_port={OFPort.TUN0:d}"
    for source in (node.gateway, node.host_ip, *(pod.ip for pod in pods[:1])):
        yield tun0, str(source), node.tun0_mac
    namespaces = {item.netid for item in cluster.net_namespaces}
    vnids = sorted(namespaces)[:_FEW] if cluster.network.plugin.has_vnids else []
    for peer in cluster.peers(node):
        theirs = [pod for pod in cluster.pods_on(peer) if pod.ofport is not None][:1]
        sources = [str(pod.ip) for pod in theirs] + [_outside(cluster)]
        for vnid, source in product(dict.fromkeys([0, *vnids, _UNKNOWN_VNID]), sources):
            origin = f"in_port={OFPort.VXLAN0:d},tun_src={peer.host_ip},tun_id={vnid}"
            yield origin, source, peer.tun0_mac
    stranger = f"in_port={OFPort.VXLAN0:d},tun_src={_NOBODY},tun_id=0"
    yield stranger, _NOBODY, node.tun0_mac


def _destinations(cluster: Cluster, node: HostSubnet) -> Iterator[str]:
    here = [pod.ip for pod in cluster.pods_on(node) if pod.ofport is not None]
    taken = {node.gateway, *here}
    yield from map(str, here[:_FEW])
    yield str(node.gateway)
    yield str(node.host_ip)
    yield str(next(ip for ip in node.subnet.hosts() if ip not in taken))
    for peer in cluster.peers(node):
        yield str(peer.host_ip)
        yield str(peer.gateway + 1)
    services = [service for service in cluster.services if service.cluster_ip]
    yield from (str(service.cluster_ip) for service in services[:_FEW])
    yield str(cluster.network.service_network[-2])
    yield str(cluster.cidrs[0][-2])
    yield from (str(host.ip) for host in cluster.underlay.external_hosts)
    yield from (_NOBODY, _GROUP, _ABOVE_GROUPS)


def _outside(cluster: Cluster) -> str:
    """An address outside the cluster: an external host's, if there is one."""
    hosts = cluster.underlay.external_hosts
    return str(hosts[0].ip) if hosts else _NOBODY


def _fates(
    live: LiveCluster, name: str, questions: Iterable[tuple[str, ...]]
) -> Iterator[_Fate | None]:
    """Yield what becomes of each packet; nothing for one that OVS will not take."""
    appctl = live.appctl(live.node(name))
    for answer in appctl.pipelined("ofproto/trace", questions):
        yield None if isinstance(answer, SwitchError) else _fate(answer)


def _fate(trace: str) -> _Fate:
    ours, *_ = trace.partition('bridge("eth0")')
    steps = _STEP.findall(ours)
    did = _DATAPATH.findall(trace)
    end = _TUNNEL.sub(r"VXLAN to \1 with VNID \2", "; ".join(did))
    end = _RECIRCULATION.sub("recirc", end)
    if did and did[-1] == "drop" and steps:
        end = f"{end} in table {steps[-1][0]} by {steps[-1][1]}"
    return _Fate(tables=frozenset(int(table) for table, _ in steps), end=end)
