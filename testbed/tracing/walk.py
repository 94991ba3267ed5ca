"""One packet followed step by step, through bridges, kernels and over wires.

The walk asks switches nothing itself: it is a generator that yields each question for
a node's br0 and is sent the trace, so that thousands of walks can share the wait
(``waves``). What a kernel does is read from its rules and routes, at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from testbed.errors import SwitchError
from testbed.model import HostSubnet, Outcome, Transport
from testbed.openflow import OFPort
from testbed.ovs.trace import Question
from testbed.tracing.addresses import GATEWAY
from testbed.tracing.ends import arrived, lost, wire
from testbed.tracing.journey import BridgeHop, KernelHop, Loss, WireHop
from testbed.tracing.memory import Memory, for_kernel

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from ipaddress import IPv4Address

    from testbed.model import Cluster
    from testbed.netfilter import Kernel, Passage
    from testbed.ovs.trace import Trace, TraceOutput
    from testbed.tracing.addresses import Addresses
    from testbed.tracing.journey import Step
    from testbed.tracing.packet import Packet

    Walking: TypeAlias = Generator[tuple[str, Question], Trace, tuple[Step, ...]]
    """Asks nodes' bridges on the way; returns what the packet does from here on."""

_MOST_HOPS = 16
"""Steps after which a packet goes in circles; the longest way that leads on has ten."""
_NO_MAC = "00:00:00:00:00:00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """The cluster that packets are followed through.

    ``carries_mark`` says that a mark which br0 sets reaches iptables, as it does in the
    kernel's datapath.
    """

    cluster: Cluster
    addresses: Addresses
    kernels: Mapping[str, Kernel]
    carries_mark: bool
    memory: Memory = field(default_factory=Memory)

    def into_bridge(
        self, node: HostSubnet, packet: Packet, origin: str, came_by: str, hops: int = 0
    ) -> Walking:
        """Follow what comes into a node's br0; ``origin`` has its ``in_port``."""
        if hops >= _MOST_HOPS:
            return lost(node.name, "it goes in circles")
        text = f"{origin},{packet}"
        ct_states = self.memory.ct_states(node.name, packet)
        try:
            trace = yield node.name, Question(packet=text, ct_states=ct_states)
        except SwitchError as error:
            return lost(node.name, str(error), Outcome.INCONCLUSIVE)
        then: list[Step] = []
        if trace.dropped_by:
            loss = Loss(
                outcome=Outcome.DROPPED,
                machine=node.name,
                reason=f"dropped by {trace.dropped_by}",
                packet=text,
                flow=trace.dropped_by,
            )
            then.append(loss)
        for output in trace.outputs:
            then += yield from self._output(node, packet, trace, output, hops + 1)
        return (
            BridgeHop(
                node=node.name,
                came_by=came_by,
                packet=text,
                trace=trace,
                then=tuple(then),
            ),
        )

    def _output(
        self,
        node: HostSubnet,
        packet: Packet,
        trace: Trace,
        output: TraceOutput,
        hops: int,
    ) -> Walking:
        if output.ofport == OFPort.VXLAN0:
            return (yield from self._into_tunnel(node, packet, output, hops))
        if output.ofport == OFPort.TUN0:
            return (yield from self._into_tun0(node, packet, output, hops))
        pod = self.addresses.by_port.get((node.name, output.ofport))
        if pod is None:
            return lost(node.name, f"ofport {output.ofport} is no pod's")
        back = self.memory.restored(node.name, packet, trace)
        return arrived(pod.key, pod, back, output.vnid)

    def _into_tunnel(
        self, node: HostSubnet, packet: Packet, output: TraceOutput, hops: int
    ) -> Walking:
        if output.tun_dst is None:
            return lost(node.name, f"a tunnel to nowhere, by {output.step}")
        peer = self.addresses.by_tunnel.get(output.tun_dst)
        if peer is None:
            return lost(
                node.name,
                f"a tunnel to {output.tun_dst}, which no HostSubnet has, by "
                f"{output.step}",
            )
        then = (
            (
                yield from self.from_tunnel(
                    peer,
                    replace(packet, receiver_mac=_mac(output)),
                    tun_src=node.host_ip,
                    vnid=output.tun_id,
                    hops=hops,
                )
            )
            if peer.is_node
            else arrived(peer.name, peer, packet, output.tun_id)
        )
        return (
            WireHop(
                sender=node.name,
                receiver=peer.name,
                source=node.host_ip,
                destination=output.tun_dst,
                vnid=output.tun_id,
                then=then,
            ),
        )

    def from_tunnel(
        self,
        node: HostSubnet,
        packet: Packet,
        *,
        tun_src: IPv4Address,
        vnid: int,
        hops: int = 0,
    ) -> Walking:
        """Follow what a peer, or a rogue, sends to a node by VXLAN."""
        origin = f"in_port={OFPort.VXLAN0:d},tun_src={tun_src},tun_id={vnid}"
        return (yield from self.into_bridge(node, packet, origin, "vxlan0", hops))

    def from_tun0(self, node: HostSubnet, packet: Packet, hops: int = 0) -> Walking:
        """Follow what a node's kernel sends, or forwards, into tun0."""
        origin = f"in_port={OFPort.TUN0:d}"
        return (yield from self.into_bridge(node, packet, origin, "tun0", hops))

    def _into_tun0(
        self, node: HostSubnet, packet: Packet, output: TraceOutput, hops: int
    ) -> Walking:
        if packet.transport is Transport.ARP:
            return arrived(node.name, node, packet)
        mac = _mac(output)
        if mac not in (None, node.tun0_mac):
            return lost(node.name, f"tun0 takes nothing that is for {mac}")
        mark = output.pkt_mark if self.carries_mark else 0
        return (yield from self.into_kernel(node.name, packet, "tun0", mark, hops))

    def into_kernel(
        self, machine: str, packet: Packet, came_by: str, mark: int = 0, hops: int = 0
    ) -> Walking:
        """Follow what comes into a kernel by one of its interfaces."""
        if hops >= _MOST_HOPS:
            return lost(machine, "it goes in circles")
        passages = self.kernels[machine].forward(
            for_kernel(packet, mark),
            came_by,
            answers=self.memory.question(machine, packet),
        )
        return (yield from self._pass(machine, packet, came_by, passages, hops + 1))

    def from_kernel(self, machine: str, packet: Packet) -> Walking:
        """Follow what a machine's own kernel sends."""
        passages = self.kernels[machine].send(
            for_kernel(packet, 0), answers=self.memory.question(machine, packet)
        )
        return (yield from self._pass(machine, packet, "", passages, 1))

    def _pass(
        self,
        machine: str,
        packet: Packet,
        came_by: str,
        passages: tuple[Passage, ...],
        hops: int,
    ) -> Walking:
        found: list[Step] = []
        for passage in passages:
            then = yield from self._after(machine, packet, passage, hops)
            found.append(
                KernelHop(machine=machine, came_by=came_by, passage=passage, then=then)
            )
        return tuple(found)

    def _after(
        self, machine: str, packet: Packet, passage: Passage, hops: int
    ) -> Walking:
        """Where a packet goes that a kernel is through with."""
        packet = replace(
            packet,
            source=passage.packet.source,
            destination=passage.packet.destination,
            sport=passage.packet.sport,
            dport=passage.packet.dport,
            sender_mac=None,
            receiver_mac=None,
        )
        if passage.outcome is not None:
            return self._ends(machine, packet, passage, passage.outcome)
        if passage.out_interface == "tun0":
            node = self.cluster.node(machine)
            return (yield from self.from_tun0(node, packet, hops))
        if passage.out_interface == "eth0":
            next_hop = passage.next_hop or packet.destination
            return (yield from self.onto_underlay(machine, packet, next_hop, hops))
        host = self.addresses.outside.get(packet.destination)
        if machine == GATEWAY and host is not None:
            return wire(machine, host.name, packet, arrived(host.name, host, packet))
        return lost(machine, f"nobody behind {passage.out_interface} has the address")

    def _ends(
        self, machine: str, packet: Packet, passage: Passage, outcome: Outcome
    ) -> tuple[Step, ...]:
        """With a kernel that keeps the packet, or loses it."""
        if outcome is Outcome.DELIVERED and machine != GATEWAY:
            return arrived(machine, self.cluster.node(machine), packet)
        if outcome is Outcome.DELIVERED:
            return lost(machine, "the gateway itself has this address")
        loss = Loss(
            outcome=outcome,
            machine=machine,
            reason=passage.reason,
            rule=passage.hits[-1] if passage.hits else None,
        )
        return (loss,)

    def onto_underlay(
        self, sender: str, packet: Packet, next_hop: IPv4Address, hops: int = 0
    ) -> Walking:
        """Follow what somebody on the nodes' wire sends to somebody there."""
        if packet.destination.is_multicast:
            return lost(sender, "nobody on the underlay has joined the group")
        if next_hop not in self.addresses.on_underlay:
            return lost(sender, f"nobody on the underlay has {next_hop}")
        receiver = self.addresses.on_underlay[next_hop]
        if receiver is None or (isinstance(receiver, HostSubnet) and receiver.is_node):
            name = receiver.name if receiver else GATEWAY
            then = yield from self.into_kernel(name, packet, "eth0", 0, hops)
            return wire(sender, name, packet, then)
        if packet.destination != next_hop:
            return lost(receiver.name, f"{receiver.name} forwards nothing")
        then = arrived(receiver.name, receiver, packet)
        return wire(sender, receiver.name, packet, then)


def _mac(output: TraceOutput) -> str | None:
    """Whom the frame is for, where the trace was told."""
    return None if output.eth_dst == _NO_MAC else output.eth_dst
