"""What is wrong with a running cluster, found without sending a packet.

For whoever has to say why a packet got lost: daemons that do not answer, links that are
down, tunnels that are blocked, flows and addresses that are not as computed.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from testbed.emulation import machines
from testbed.emulation.machines import Kind as MachineKind
from testbed.emulation.wiring import Datapath, switch_ports
from testbed.errors import CommandError, SwitchError
from testbed.host.egress import egress_addresses
from testbed.host.names import underlay_mac
from testbed.model import Outcome, Transport
from testbed.netfilter import KernelPacket
from testbed.openflow import flow_differences, parse_dump
from testbed.pipeline import node_flows
from testbed.probe.conditions import (
    examine_egress_ips,
    examine_links,
    examine_names,
    examine_neighbours,
    examine_rules,
    examine_tunnel_neighbours,
    known_macs,
    wrong_options,
)
from testbed.probe.kernels import LiveKernels
from testbed.verdict.facts import Fact, Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from ipaddress import IPv4Address

    from testbed import model
    from testbed.netfilter import Kernel
    from testbed.probe.live import LiveCluster
    from testbed.probe.places import Node, Pod

_EPHEMERAL = 49152
"""A source port as VTEPs choose them."""


def examine(live: LiveCluster, names: Collection[str]) -> tuple[Fact, ...]:
    """What is wrong with these machines; unknown ones are passed over."""
    kernels = LiveKernels()
    ports = _switch_ports(live.objects)
    macs = known_macs(live.objects)
    found: list[Fact] = []
    for node in live.nodes:
        if node.name in names:
            kernel = kernels[node.name]
            found += _of_node(live, node, kernel, ports)
            found += examine_links(live, node)
            found += examine_egress_ips(live, node, kernel.routes.local_addresses)
            found += examine_neighbours(node, macs)
            found += examine_tunnel_neighbours(live, node, macs)
            found += examine_rules(live, node)
            found += examine_names(live, node)
    for pod in live.pods:
        if pod.name in names:
            found += _of_pod(pod)
            found += examine_neighbours(pod, macs)
    return tuple(found)


def _of_node(
    live: LiveCluster, node: Node, kernel: Kernel, ports: Mapping[str, str]
) -> Iterator[Fact]:
    objects = live.objects
    host = objects.node(node.name)
    yield from _daemon_and_flows(live, node)
    uplink = Datapath(live.datapath).uplink
    for interface in dict.fromkeys((uplink, "eth0", "tun0")):
        state = _link(node, interface)
        if state:
            yield Fact(machine=node.name, kind=Kind.LINK, text=f"{interface} {state}")
    port = ports.get(underlay_mac(node.ip), "")
    if port:
        text = f"its port of the underlay's switch {port}"
        yield Fact(machine=node.name, kind=Kind.LINK, text=text)
    yield from _tunnel(live, node, kernel)
    has = kernel.routes.local_addresses
    for ip in (host.host_ip, host.gateway, *egress_addresses(objects, host)):
        if ip not in has:
            text = f"it does not have the address {ip}"
            yield Fact(machine=node.name, kind=Kind.ADDRESS, text=text)
    if not kernel.is_router:
        text = "its kernel forwards nothing (net.ipv4.ip_forward is 0)"
        yield Fact(machine=node.name, kind=Kind.RULES, text=text)


def _daemon_and_flows(live: LiveCluster, node: Node) -> Iterator[Fact]:
    try:
        dump = live.appctl(node)("bridge/dump-flows", "br0")
    except SwitchError as error:
        text = f"its ovs-vswitchd does not answer: {error}"
        yield Fact(machine=node.name, kind=Kind.DAEMON, text=text)
        return
    computed = node_flows(live.objects, live.objects.node(node.name))
    installed = [item.flow for item in parse_dump(dump)]
    for difference in flow_differences(computed, installed, cookies=False):
        yield Fact(
            machine=node.name,
            kind=Kind.FLOWS,
            text=str(difference),
            difference=difference,
        )


def _link(place: Node | Pod, interface: str) -> str:
    """What keeps an interface from carrying packets; empty if nothing does."""
    try:
        (state,) = json.loads(place.run("ip", "-json", "link", "show", interface))
    except CommandError:
        return "is not there"
    flags = state["flags"]
    if "UP" not in flags:
        return "is down"
    return "" if "LOWER_UP" in flags else "has no carrier: its other end is down"


def _switch_ports(objects: model.Cluster) -> dict[str, str]:
    """What is wrong with the switch's port of each MAC."""
    switch = next(m for m in machines.load() if m.kind is MachineKind.SWITCH)
    states: dict[str, dict[str, Any]] = {
        item["ifname"]: item
        for item in json.loads(switch.run("bridge", "-json", "link"))
    }
    found = {}
    for port, mac in switch_ports(objects).items():
        state = states.get(port)
        if state is None or "UP" not in state["flags"]:
            found[mac] = "is down"
        elif state["state"] == "disabled":
            found[mac] = "is disabled: it takes nothing from the node and gives nothing"
    return found


def _tunnel(live: LiveCluster, node: Node, kernel: Kernel) -> Iterator[Fact]:
    """Whether what peers send by VXLAN comes as far as br0, and the other way round."""
    if wrong := wrong_options(node):
        text = f"vxlan0 is set up otherwise: {wrong}"
        yield Fact(machine=node.name, kind=Kind.TUNNEL, text=text)
        return
    for peer in live.objects.peers(live.objects.node(node.name)):
        blocked = (
            _blocked_by_rules(peer.host_ip, node, kernel)
            if live.datapath == Datapath.SYSTEM
            else _blocked_by_bridge(live, peer.host_ip, node)
        )
        if blocked:
            text = f"VXLAN (UDP {node.vxlan_port}) does not come in: {blocked}"
            yield Fact(machine=node.name, kind=Kind.TUNNEL, text=text)
            break
    for peer in live.objects.peers(live.objects.node(node.name)):
        if live.datapath == Datapath.NETDEV and (
            blocked := _blocked_on_the_way_out(live, peer.host_ip, node)
        ):
            text = f"VXLAN (UDP {node.vxlan_port}) does not go out: {blocked}"
            yield Fact(machine=node.name, kind=Kind.TUNNEL, text=text)
            break


def _blocked_by_rules(peer: IPv4Address, node: Node, kernel: Kernel) -> str:
    packet = KernelPacket(
        source=peer,
        destination=node.ip,
        transport=Transport.UDP,
        sport=_EPHEMERAL,
        dport=node.vxlan_port,
    )
    for passage in kernel.forward(packet, "eth0"):
        if passage.outcome is not Outcome.DELIVERED:
            rule = passage.hits[-1] if passage.hits else passage.reason
            return f"{passage.outcome} by iptables: {rule}"
    return ""


def _blocked_by_bridge(live: LiveCluster, peer: IPv4Address, node: Node) -> str:
    """The userspace datapath takes tunnelled packets from a bridge named eth0."""
    packet = (
        f"in_port={Datapath.NETDEV.uplink},dl_dst={node.wire_mac},udp,nw_src={peer},"
        f"nw_dst={node.ip},udp_src={_EPHEMERAL},udp_dst={node.vxlan_port},nw_ttl=64"
    )
    with suppress(SwitchError):
        trace = live.appctl(node)("ofproto/trace", "eth0", packet)
        if "tnl_pop" not in trace:
            return f"bridge eth0 drops it by {_last_flow(trace)}"
    return ""


def _blocked_on_the_way_out(live: LiveCluster, peer: IPv4Address, node: Node) -> str:
    """What goes into a tunnel enters that bridge as if its own kernel had sent it."""
    packet = (
        f"in_port=LOCAL,dl_src={node.wire_mac},dl_dst={underlay_mac(peer)},udp,"
        f"nw_src={node.ip},nw_dst={peer},udp_src={_EPHEMERAL},"
        f"udp_dst={node.vxlan_port},nw_ttl=64"
    )
    with suppress(SwitchError):
        trace = live.appctl(node)("ofproto/trace", "eth0", packet)
        if trace.rstrip().endswith("Datapath actions: drop"):
            return f"bridge eth0 drops it by {_last_flow(trace)}"
    return ""


def _last_flow(trace: str) -> str:
    flows = [
        line.strip()
        for line in trace.splitlines()
        if line.lstrip()[:1].isdigit() and ". " in line
    ]
    return flows[-1] if flows else "no flow"


def _of_pod(pod: Pod) -> Iterator[Fact]:
    state = _link(pod, "eth0")
    if state:
        yield Fact(machine=pod.name, kind=Kind.LINK, text=f"eth0 {state}")
        return
    # Without any address the interface is not listed at all.
    shown = json.loads(pod.run("ip", "-json", "-4", "address", "show", "eth0"))
    has = [item["local"] for link in shown for item in link["addr_info"]]
    if str(pod.ip) not in has:
        there = ", ".join(has) or "none"
        text = f"its address is not {pod.ip}; it has {there}"
        yield Fact(machine=pod.name, kind=Kind.ADDRESS, text=text)
