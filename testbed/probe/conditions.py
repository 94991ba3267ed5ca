"""What is wrong with a node's links, neighbours, rules and names, beside its flows."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from testbed.emulation.machines import node_run_dir
from testbed.emulation.nodes import dnsmasq_pid
from testbed.emulation.programming import programmed_rules
from testbed.emulation.wiring import VXLAN_OVERHEAD, Datapath
from testbed.errors import CommandError, SwitchError
from testbed.host.egress import egress_addresses
from testbed.host.names import underlay_mac, veth_name
from testbed.netfilter.difference import rule_differences
from testbed.process import runs
from testbed.verdict.facts import Fact, Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from ipaddress import IPv4Address

    from testbed import model
    from testbed.probe.live import LiveCluster
    from testbed.probe.places import Node, Pod

_SHAPERS = {"netem", "tbf"}
"""Disciplines that nobody but a fault puts on an interface here."""
_MOST_RULES = 3
"""Rules that deviate in one way, which are told one by one."""
_PATIENCE = "--timeout=2"


def examine_links(live: LiveCluster, node: Node) -> Iterator[Fact]:
    """What keeps a node's links from carrying what they should."""
    right = live.objects.underlay.mtu
    mtus = {"tun0": right}
    for interface in (Datapath(live.datapath).uplink, "eth0"):
        mtus[interface] = right + VXLAN_OVERHEAD
    links = {
        item["ifname"]: item for item in json.loads(node.run("ip", "-json", "link"))
    }
    for interface, mtu in mtus.items():
        has = links.get(interface, {}).get("mtu", mtu)
        if has != mtu:
            text = f"{interface} has an MTU of {has}, not {mtu}"
            yield Fact(machine=node.name, kind=Kind.CAPACITY, text=text)
    pods = {veth_name(pod.pod): pod.name for pod in live.pods_on(node)}
    for interface, pod in pods.items():
        if "UP" not in links.get(interface, {"flags": ["UP"]})["flags"]:
            text = f"{interface}, its end of the wire of {pod}, is down"
            yield Fact(machine=node.name, kind=Kind.LINK, text=text)
    with suppress(CommandError):  # tc is missing on some machines
        for item in json.loads(node.run("tc", "-json", "qdisc", "show")):
            if item["kind"] in _SHAPERS:
                whose = f" to {pods[item['dev']]}" if item["dev"] in pods else ""
                text = f"{item['dev']}{whose} is shaped by {item['kind']}"
                yield Fact(machine=node.name, kind=Kind.CAPACITY, text=text)


def examine_rules(live: LiveCluster, node: Node) -> Iterator[Fact]:
    """Where a node's iptables are not as computed; much alike is told in one."""
    objects = live.objects
    datapath = Datapath(live.datapath)
    given = programmed_rules(objects, objects.node(node.name), datapath, ())
    found = rule_differences("".join(given), node.run("iptables-save"))
    alike = Counter(map(_kind_of, found))
    told: Counter[str] = Counter()
    for difference in found:
        kind = _kind_of(difference)
        told[kind] += 1
        if alike[kind] <= _MOST_RULES:
            text = f"iptables: {difference}"
        elif told[kind] == 1:
            what, _, table = kind.partition(": ")
            text = f"iptables: {alike[kind]} rules {what} in table {table}"
        else:
            continue
        yield Fact(machine=node.name, kind=Kind.RULES, text=text)


def _kind_of(difference: str) -> str:
    """``missing: nat``."""
    what, _, rest = difference.partition(": ")
    return f"{what}: {rest.split(' ', 1)[0]}"


def examine_names(live: LiveCluster, node: Node) -> Iterator[Fact]:
    """Whether a node's dnsmasq runs."""
    run_dir = node_run_dir(live.objects.node(node.name))
    if not runs(dnsmasq_pid(run_dir), str(run_dir)):
        text = "its dnsmasq is dead"
        yield Fact(machine=node.name, kind=Kind.NAMES, text=text)


def examine_neighbours(place: Node | Pod, macs: Mapping[str, str]) -> Iterator[Fact]:
    """What a machine remembers of its neighbours that is not so.

    Args:
        place: the machine.
        macs: what is so: the MAC of each address.
    """
    shown = json.loads(place.run("ip", "-json", "neigh", "show"))
    remembered = {item["dst"]: item["lladdr"] for item in shown if "lladdr" in item}
    for ip, mac in remembered.items():
        if mac != macs.get(ip, mac):
            text = f"it remembers {ip} at {mac}, which is at {macs[ip]}"
            yield Fact(machine=place.name, kind=Kind.ADDRESS, text=text)


def examine_tunnel_neighbours(
    live: LiveCluster, node: Node, macs: Mapping[str, str]
) -> Iterator[Fact]:
    """The same of userspace tunnelling, which remembers by itself."""
    if live.datapath != Datapath.NETDEV:
        return
    with suppress(SwitchError):
        for line in live.appctl(node)("tnl/neigh/show").splitlines():
            ip, mac = ([*line.split(), "", ""])[:2]
            if mac != macs.get(ip, mac):
                text = f"VXLAN goes to {ip} at {mac}, which is at {macs[ip]}"
                yield Fact(machine=node.name, kind=Kind.TUNNEL, text=text)


def examine_egress_ips(
    live: LiveCluster, node: Node, has: Collection[IPv4Address]
) -> Iterator[Fact]:
    """Whether a node has egress IPs that are another's."""
    for other in live.objects.nodes:
        if other.name == node.name:
            continue
        for ip in egress_addresses(live.objects, other):
            if ip in has:
                text = f"it has the egress IP {ip}, which is {other.name}'s"
                yield Fact(machine=node.name, kind=Kind.ADDRESS, text=text)


def wrong_options(node: Node) -> str:
    """How vxlan0 is set up otherwise than it should be; empty if it is not."""
    should = {"remote_ip": "flow", "key": "flow", "dst_port": str(node.vxlan_port)}
    try:
        told = node.run("ovs-vsctl", _PATIENCE, "get", "Interface", "vxlan0", "options")
    except CommandError:
        return ""  # ovsdb-server does not answer, which is another matter
    has = dict(
        item.strip().replace('"', "").split("=", 1)
        for item in told.strip().strip("{}").split(",")
    )
    wrong = [
        f"{name}={has.get(name, '')}"
        for name in sorted(should.keys() | has.keys())
        if has.get(name) != should.get(name)
    ]
    return ", ".join(wrong)


def known_macs(cluster: model.Cluster) -> dict[str, str]:
    """The MAC of each address that somebody in the cluster has."""
    macs = {pod.ip: pod.mac for pod in cluster.pods if not pod.host_network}
    macs |= {host.gateway: host.tun0_mac for host in cluster.nodes}
    macs |= {host.host_ip: underlay_mac(host.host_ip) for host in cluster.host_subnets}
    for node in cluster.nodes:
        own = underlay_mac(node.host_ip)
        macs |= dict.fromkeys(egress_addresses(cluster, node), own)
    return {str(ip): mac for ip, mac in macs.items()}
