"""One packet through all the bridges of a cluster, and none sent.

OVS traces a packet through one bridge. Where it leaves by vxlan0, the trace goes on at
the node that the tunnel leads to, with what the tunnel carries; where it leaves by
tun0, the node's kernel has it. What the kernel then makes of it (a service's endpoint,
another source) is not OVS's to say: the caller does, and traces on with ``from_node``.

Each bridge is a function from a packet to its trace, so that one process can hold all
of a cluster's bridges, or each node its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from testbed.errors import SwitchError
from testbed.model import HostSubnet, Outcome, Pod, Transport
from testbed.openflow import OFPort

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ipaddress import IPv4Address

    from testbed.model import Cluster, Traffic
    from testbed.ovs.trace import Trace, TraceOutput, TraceStep

_BROADCAST = "ff:ff:ff:ff:ff:ff"
_IS_REPLY = ("trk,est,rpl",) * 4
"""What conntrack says each time a flow asks; no packet asks more often."""


class TraceableSwitch(Protocol):
    """What ``testbed.ovs.TracedSwitch`` is."""

    def __call__(self, packet: str, *, ct_states: Sequence[str] = ()) -> Trace:
        """Trace a packet, given in OVS's text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """What a flow can see of a packet, but for where it comes from.

    ARP asks who has the destination; ``sender_mac`` is the MAC it gives for the source.
    """

    source: IPv4Address
    destination: IPv4Address
    transport: Transport
    dport: int | None = None
    sender_mac: str | None = None

    def __str__(self) -> str:
        """The packet in the text of ovs-fields(7), without ``in_port``."""
        if self.transport is Transport.ARP:
            asks = f"arp,arp_op=1,arp_spa={self.source},arp_tpa={self.destination}"
            mac = f",dl_src={self.sender_mac},arp_sha={self.sender_mac}"
            return f"{asks},dl_dst={_BROADCAST}{mac if self.sender_mac else ''}"
        text = f"{self.transport},nw_src={self.source},nw_dst={self.destination}"
        if self.transport is Transport.ICMP:
            return f"{text},icmp_type=8,icmp_code=0"
        return (
            text if self.dport is None else f"{text},{self.transport}_dst={self.dport}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """The packet's way through one node's bridge, and what it came in as."""

    node: HostSubnet
    packet: str
    trace: Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedDelivery:
    """A copy that came out of the bridges.

    Attributes:
        node: whose bridge it left.
        receiver: a pod; the node itself, whose kernel has it from tun0; or another
            HostSubnet, a ghost, that a tunnel took it to.
        source: from whom; flows do not change it.
        destination: for whom; the same.
        vnid: the sender's, which is what the tunnel carries to a ghost.
        pkt_mark: the mark that the kernel sees.
    """

    node: HostSubnet
    receiver: Pod | HostSubnet
    source: IPv4Address
    destination: IPv4Address
    vnid: int
    pkt_mark: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedDrop:
    """A copy that went no further: the node and, there, the table and flow."""

    node: HostSubnet
    step: TraceStep

    def __str__(self) -> str:
        """``node: table=80,priority=0 actions=drop``."""
        return f"{self.node.name}: {self.step}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """What became of a packet, copy by copy; the legs in the order they were gone."""

    legs: tuple[Leg, ...] = ()
    deliveries: tuple[TracedDelivery, ...] = ()
    drops: tuple[TracedDrop, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """One delivered copy is a delivery; what never came to a bridge is nothing."""
        if self.deliveries:
            return Outcome.DELIVERED
        return Outcome.DROPPED if self.drops else Outcome.INCONCLUSIVE


@dataclass(frozen=True, slots=True)
class Tracer:
    """All the bridges of a cluster, each under its node's name.

    ``replies_at`` names nodes that saw the conversation begin from its other end: to
    their conntrack, what is traced is a reply. To the others it is a new connection.
    """

    cluster: Cluster
    bridges: Mapping[str, TraceableSwitch]
    replies_at: frozenset[str] = field(default=frozenset())

    def traffic(self, traffic: Traffic) -> Traced:
        """Follow a packet from its sender; the kernel of a node ends its way.

        What never comes to a bridge has no legs: what a pod sends to itself, a node to
        the world, and all from machines outside the cluster.
        """
        match traffic.sender:
            case Pod(host_network=False) as pod:
                return self._from_pod(pod, traffic)
            case Pod() as pod:
                return self._from_host(self.cluster.node(pod.node), traffic)
            case HostSubnet() as host:
                return self._from_host(host, traffic)
            case _:
                return Traced()

    def _from_pod(self, pod: Pod, traffic: Traffic) -> Traced:
        is_arp = traffic.transport is Transport.ARP
        if traffic.destination == pod.ip and not is_arp:
            return Traced()
        node = self.cluster.node(pod.node)
        packet = _packet(traffic, pod.ip, pod.mac)
        return self._follow(node, packet, f"in_port={pod.ofport}")

    def _from_host(self, host: HostSubnet, traffic: Traffic) -> Traced:
        """Both nodes and ghosts have a gateway, which they send from."""
        packet = _packet(traffic, host.gateway, host.tun0_mac)
        if packet.destination == host.gateway:
            return Traced()
        if host.is_node:
            # Its routes: pods and services are behind tun0.
            networks = (*self.cluster.cidrs, self.cluster.network.service_network)
            is_inside = any(packet.destination in network for network in networks)
            return self.from_node(host, packet) if is_inside else Traced()
        for node in self.cluster.nodes:
            if packet.destination in node.subnet:
                vnid = host.fixed_vnid or 0
                return self.from_tunnel(node, packet, tun_src=host.host_ip, vnid=vnid)
        return Traced()

    def from_node(self, node: HostSubnet, packet: Packet) -> Traced:
        """Follow what a node's kernel sends, or forwards, into tun0."""
        return self._follow(node, packet, f"in_port={OFPort.TUN0:d}")

    def from_tunnel(
        self, node: HostSubnet, packet: Packet, *, tun_src: IPv4Address, vnid: int
    ) -> Traced:
        """Follow what a peer, or a rogue, sends to a node by VXLAN."""
        origin = f"in_port={OFPort.VXLAN0:d},tun_src={tun_src},tun_id={vnid}"
        return self._follow(node, packet, origin)

    def _follow(self, node: HostSubnet, packet: Packet, origin: str) -> Traced:
        text = f"{origin},{packet}"
        ct_states = _IS_REPLY if node.name in self.replies_at else ()
        trace = self.bridges[node.name](text, ct_states=ct_states)
        leg = Leg(node=node, packet=text, trace=trace)
        if trace.dropped_by:
            drop = TracedDrop(node=node, step=trace.dropped_by)
            return Traced(legs=(leg,), drops=(drop,))
        branches = [self._branch(node, packet, output) for output in trace.outputs]
        return Traced(
            legs=(leg, *(leg for branch in branches for leg in branch.legs)),
            deliveries=tuple(item for branch in branches for item in branch.deliveries),
            drops=tuple(drop for branch in branches for drop in branch.drops),
        )

    def _branch(self, node: HostSubnet, packet: Packet, output: TraceOutput) -> Traced:
        if output.ofport == OFPort.VXLAN0:
            peer = self._peer(node, output)
            if peer.is_node:
                return self.from_tunnel(
                    peer, packet, tun_src=node.host_ip, vnid=output.tun_id
                )
            return _delivered(node, peer, packet, output, vnid=output.tun_id)
        receiver = self._receiver(node, output)
        return _delivered(node, receiver, packet, output, vnid=output.vnid)

    def _peer(self, node: HostSubnet, output: TraceOutput) -> HostSubnet:
        for peer in self.cluster.host_subnets:
            if peer.host_ip == output.tun_dst:
                return peer
        raise SwitchError(
            f"{node.name}: {output.step}: no node has the address {output.tun_dst}"
        )

    def _receiver(self, node: HostSubnet, output: TraceOutput) -> Pod | HostSubnet:
        if output.ofport == OFPort.TUN0:
            return node
        for pod in self.cluster.pods_on(node):
            if pod.ofport == output.ofport:
                return pod
        raise SwitchError(
            f"{node.name}: {output.step}: ofport {output.ofport} is no pod's"
        )


def _delivered(
    node: HostSubnet,
    receiver: Pod | HostSubnet,
    packet: Packet,
    output: TraceOutput,
    *,
    vnid: int,
) -> Traced:
    delivery = TracedDelivery(
        node=node,
        receiver=receiver,
        source=packet.source,
        destination=packet.destination,
        vnid=vnid,
        pkt_mark=output.pkt_mark,
    )
    return Traced(deliveries=(delivery,))


def _packet(traffic: Traffic, source: IPv4Address, mac: str) -> Packet:
    return Packet(
        source=source,
        destination=traffic.destination,
        transport=traffic.transport,
        dport=traffic.dport,
        sender_mac=mac,
    )
