"""ARP: in the cluster network everybody may ask everybody, whatever the plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.model import HostSubnet, Pod, Transport
from testbed.oracle.expectation import Expectation, dropped
from testbed.oracle.packet import Packet
from testbed.oracle.places import belongs_to, is_for_pods, machine_at, subnet_owner

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network

    from testbed.model import Cluster, Party

_NOBODY_FILTERS = "ARP is never isolated"


def who_has(cluster: Cluster, sender: Party, ip: IPv4Address) -> Expectation:
    """Who is asked, and so would answer, when a sender looks for an address."""
    match sender:
        case Pod():
            if not is_for_pods(cluster, ip):
                return dropped("ARP does not leave the cluster network")
            vnid = cluster.vnid(sender.namespace)
            return _in_pods_network(cluster, _packet(sender.ip, ip), vnid)
        case HostSubnet():
            return _from_node(cluster, sender, ip)
        case _:
            near = cluster.underlay.subnet
            far = cluster.underlay.external_network
            network = near if sender.ip in near else far
            return _on_the_wire(cluster, _packet(sender.ip, ip), network)


def _from_node(cluster: Cluster, node: HostSubnet, ip: IPv4Address) -> Expectation:
    """A node, or a ghost, asks where its routes lead: pods' network or wire."""
    if node.is_node and belongs_to(cluster, node, ip):
        return dropped("nobody else has the sender's address")
    if is_for_pods(cluster, ip):
        asked = _packet(node.gateway, ip)
        return _in_pods_network(cluster, asked, node.fixed_vnid or 0)
    if ip in cluster.network.service_network:
        return dropped("ARP does not leave the cluster network")
    asked = _packet(node.host_ip, ip)
    return _on_the_wire(cluster, asked, cluster.underlay.subnet)


def _in_pods_network(cluster: Cluster, asked: Packet, vnid: int) -> Expectation:
    if asked.destination == asked.source:
        return dropped("nobody else has the sender's address")
    owner = subnet_owner(cluster, asked.destination)
    if owner is None:
        return dropped("no node has this subnet")
    if not owner.is_node:
        seen = vnid if owner.fixed_vnid is None else owner.fixed_vnid
        return asked.received_by(owner, by=_NOBODY_FILTERS, vnid=seen)
    if asked.destination == owner.gateway:
        return asked.received_by(owner, by=_NOBODY_FILTERS)
    pod = cluster.pod_at(asked.destination)
    if pod is None:
        return dropped("no pod has this address")
    return asked.received_by(pod, by=_NOBODY_FILTERS, vnid=vnid)


def _on_the_wire(cluster: Cluster, asked: Packet, network: IPv4Network) -> Expectation:
    """On one wire; Linux answers on any for each of its addresses, tun0's included."""
    if asked.destination == asked.source:
        return dropped("nobody else has the sender's address")
    machine = machine_at(cluster, asked.destination)
    if machine is None and network == cluster.underlay.subnet:
        machine = next(
            (node for node in cluster.nodes if node.gateway == asked.destination), None
        )
        if machine is not None:
            return asked.received_by(machine, by=_NOBODY_FILTERS)
    if machine is None or asked.destination not in network:
        return dropped("no machine on the sender's wire has this address")
    return asked.received_by(machine, by=_NOBODY_FILTERS)


def _packet(source: IPv4Address, destination: IPv4Address) -> Packet:
    return Packet(
        source=source, destination=destination, transport=Transport.ARP, dport=None
    )
