"""Where packets set out, and who follows them.

Three questions about one cluster: what becomes of this traffic (``journey``), of the
answer to it (``reply``), and of thousands at once (``journeys``). No packet is sent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from testbed.model import HostSubnet, Pod, Traffic, Transport
from testbed.tracing.addresses import GATEWAY, Addresses
from testbed.tracing.ends import arrived, lost, wire
from testbed.tracing.journey import Arrival, BridgeHop, Journey, KernelHop
from testbed.tracing.memory import Memory, commits
from testbed.tracing.packet import Packet
from testbed.tracing.walk import Walk
from testbed.tracing.waves import run

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from ipaddress import IPv4Address

    from testbed.model import Cluster, Party, UnderlayHost
    from testbed.netfilter import Kernel
    from testbed.ovs.trace import Question, Trace
    from testbed.tracing.journey import Step
    from testbed.tracing.walk import Walking
    from testbed.tracing.waves import Askable

_OUTSIDE: Final = "external0"
"""The gateway's interface to the world."""
_EPHEMERAL: Final = 40009
"""The port that a traced conversation is begun from; no flow and no rule knows it."""


@dataclass(frozen=True)
class Tracer:
    """All the bridges and kernels of a cluster, each under its machine's name.

    Attributes:
        cluster: who is there.
        bridges: every node's br0.
        kernels: every node's kernel, and the gateway's.
        is_system: the bridges are the kernel's datapath: marks reach iptables, and
            conntrack is shared with it.
    """

    cluster: Cluster
    bridges: Mapping[str, Askable]
    kernels: Mapping[str, Kernel]
    is_system: bool = True

    @cached_property
    def _addresses(self) -> Addresses:
        return Addresses(self.cluster)

    @cached_property
    def _walk(self) -> Walk:
        return self._remembering(Memory(is_shared=self.is_system))

    def _remembering(self, memory: Memory) -> Walk:
        return Walk(
            cluster=self.cluster,
            addresses=self._addresses,
            kernels=self.kernels,
            carries_mark=self.is_system,
            memory=memory,
        )

    def journey(self, traffic: Traffic) -> Journey:
        """What becomes of a packet."""
        return self.journeys([traffic])[0]

    def journeys(self, traffics: Iterable[Traffic]) -> list[Journey]:
        """What becomes of many, each; all switches work at the same time."""
        return run((self._journey(traffic) for traffic in traffics), self.bridges)

    def rogue(
        self, node: HostSubnet, packet: Packet, *, tun_src: IPv4Address, vnid: int
    ) -> tuple[BridgeHop, ...]:
        """What becomes of a packet that a stranger puts into a tunnel to a node."""
        walking = self._walk.from_tunnel(node, packet, tun_src=tun_src, vnid=vnid)
        (steps,) = run([walking], self.bridges)
        return tuple(step for step in steps if isinstance(step, BridgeHop))

    def reply(self, journey: Journey) -> Journey | None:
        """What becomes of the answer to a packet that arrived, by its first way.

        ``None`` where it did not, and for ARP, whose answer is no such packet.
        """
        if not journey.arrivals or journey.traffic.transport is Transport.ARP:
            return None
        return run([self._reply(journey)], self.bridges)[0]

    def _journey(
        self, traffic: Traffic
    ) -> Generator[tuple[str, Question], Trace, Journey]:
        sender = traffic.sender
        if isinstance(sender, Pod) and sender.host_network:
            sender = self.cluster.node(sender.node)
        packet = Packet(
            source=self._source(sender, traffic.destination),
            destination=traffic.destination,
            transport=traffic.transport,
            dport=traffic.dport,
        )
        then = yield from self._set_out(self._walk, sender, packet)
        return Journey(traffic=traffic, then=then)

    def _reply(
        self, journey: Journey
    ) -> Generator[tuple[str, Question], Trace, Journey]:
        """Whoever received it sends back what it got, the other way round."""
        way = next(way for way in journey.ways if isinstance(way[-1], Arrival))
        delivery = journey.arrivals[0].delivery
        bridges = [hop for hop in way if isinstance(hop, BridgeHop)]
        kernels = [hop for hop in way if isinstance(hop, KernelHop)]
        committed = {hop.node for hop in bridges if commits(hop.trace)}
        if self.is_system:
            committed |= {hop.machine for hop in kernels}
        memory = Memory(
            committed=frozenset(committed),
            translated={hop.machine: hop.passage for hop in kernels},
            is_shared=self.is_system,
        )
        packet = Packet(
            source=delivery.destination,
            destination=delivery.source,
            transport=journey.traffic.transport,
            sport=delivery.dport,
            dport=None if delivery.dport is None else _EPHEMERAL,
            is_reply=True,
        )
        walk = self._remembering(memory)
        then = yield from self._set_out(walk, delivery.receiver, packet)
        traffic = Traffic(
            sender=delivery.receiver,
            destination=packet.destination,
            transport=packet.transport,
            dport=packet.dport,
        )
        return Journey(traffic=traffic, then=then)

    def _source(self, sender: Party, destination: IPv4Address) -> IPv4Address:
        """Nodes and ghosts are known by tun0's address among pods, else by their own.

        A node asks for a service from tun0, too: that is where the route leads. Itself
        it asks from the address that it asks.
        """
        if not isinstance(sender, HostSubnet):
            return sender.ip
        inside = [*self.cluster.cidrs]
        if sender.is_node:
            inside.append(self.cluster.network.service_network)
            own = self.kernels[sender.name].routes.local_addresses
            if destination in own or destination.is_loopback:
                return destination
        is_inside = any(destination in network for network in inside)
        return sender.gateway if is_inside else sender.host_ip

    def _set_out(self, walk: Walk, sender: Party, packet: Packet) -> Walking:
        """From a sender onto its first bridge, kernel or wire."""
        is_arp = packet.transport is Transport.ARP
        match sender:
            case Pod() as pod:
                return (yield from self._from_pod(walk, pod, packet))
            case HostSubnet(is_node=True) as node if not is_arp:
                return (yield from walk.from_kernel(node.name, packet))
            case HostSubnet() as host if self._is_for_pods(packet.destination):
                return (yield from self._among_pods(walk, host, packet))
            case _ if not is_arp and _is_own(packet):
                return arrived(sender.name, sender, packet)
            case _ if is_arp:
                return self._who_has(sender, packet)
            case _:
                return (yield from self._onto_wire(walk, sender, packet))

    def _from_pod(self, walk: Walk, pod: Pod, packet: Packet) -> Walking:
        is_arp = packet.transport is Transport.ARP
        if not is_arp and _is_own(packet):
            return arrived(pod.key, pod, packet)
        receiver = self._addresses.mac_for(pod, packet.destination)
        framed = replace(
            packet, sender_mac=pod.mac, receiver_mac=None if is_arp else receiver
        )
        node = self.cluster.node(pod.node)
        return (
            yield from walk.into_bridge(
                node, framed, f"in_port={pod.ofport}", came_by=pod.key
            )
        )

    def _among_pods(self, walk: Walk, host: HostSubnet, packet: Packet) -> Walking:
        """A node asks from tun0; a ghost speaks VXLAN to the node that it knows."""
        if packet.destination == host.gateway:
            if packet.transport is Transport.ARP:
                return lost(host.name, "nobody else has the sender's address")
            return arrived(host.name, host, packet)
        if host.is_node:
            framed = replace(packet, sender_mac=host.tun0_mac)
            return (yield from walk.from_tun0(host, framed))
        for node in self.cluster.nodes:
            if packet.destination in node.subnet:
                framed = replace(packet, sender_mac=host.tun0_mac)
                vnid = host.fixed_vnid or 0
                return (
                    yield from walk.from_tunnel(
                        node, framed, tun_src=host.host_ip, vnid=vnid
                    )
                )
        return lost(host.name, "no node has this subnet")

    def _onto_wire(
        self, walk: Walk, sender: HostSubnet | UnderlayHost, packet: Packet
    ) -> Walking:
        """From a machine with one interface, among the nodes or outside."""
        underlay = self.cluster.underlay
        if packet.destination.is_multicast:
            return lost(sender.name, "multicast does not enter the cluster")
        if packet.source in underlay.subnet:
            is_near = packet.destination in underlay.subnet
            next_hop = packet.destination if is_near else underlay.gateway
            return (yield from walk.onto_underlay(sender.name, packet, next_hop))
        if packet.destination in underlay.external_network:
            return self._who_has(sender, packet)
        then = yield from walk.into_kernel(GATEWAY, packet, _OUTSIDE)
        return wire(sender.name, GATEWAY, packet, then)

    def _who_has(
        self, sender: HostSubnet | UnderlayHost, packet: Packet
    ) -> tuple[Step, ...]:
        """Who is on the sender's own wire; Linux answers for all its addresses."""
        owners: Mapping[IPv4Address, HostSubnet | UnderlayHost | None]
        if packet.source in self.cluster.underlay.subnet:
            gateways = {node.gateway: node for node in self.cluster.nodes}
            owners = gateways | dict(self._addresses.on_underlay)
        else:
            owners = self._addresses.outside
        receiver = owners.get(packet.destination)
        if receiver is None or receiver == sender:
            return lost(
                sender.name, f"nobody else on the wire has {packet.destination}"
            )
        return arrived(receiver.name, receiver, packet)

    def _is_for_pods(self, ip: IPv4Address) -> bool:
        return any(ip in cidr for cidr in self.cluster.cidrs)


def _is_own(packet: Packet) -> bool:
    """Whether it never leaves its sender."""
    return packet.destination == packet.source or packet.destination.is_loopback
