"""Evidence without a cluster: the places of two nodes, and frames that never flew."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from testbed.emulation.machines import Kind, Machine
from testbed.host.names import underlay_mac
from testbed.openflow import Flow, Table
from testbed.ovs import Switch
from testbed.probe.claims import Claim, ClaimKind
from testbed.probe.evidence import Evidence, Hit, Versions
from testbed.probe.places import Host, Node, Places, Pod
from testbed.probe.recorder import Sighting, Tap
from testbed.probe.sent import Sent
from testbed.topology import load
from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from scapy.packet import Packet

    from testbed.topology import Topology

START = 1_700_000_000_123_456_789
"""Nanoseconds since the epoch of the first frame."""


def tap(kind: Kind, machine: str, interface: str, label: str) -> Tap:
    """A tap whose socket is closed; nothing here listens."""
    closed = socket.socket()
    closed.close()
    return Tap(Machine(kind=kind, name=machine, pid=1), interface, label, closed)


def places_of(topology: Topology) -> Places:
    """The places that a running cluster would have."""
    cluster = topology.cluster
    nodes = {}
    for node in cluster.nodes:
        tun0 = tap(Kind.NODE, node.name, "tun0", f"{node.name} tun0")
        nodes[node.name] = Node(
            name=node.name,
            ip=node.host_ip,
            tap=tun0,
            wire=tap(Kind.NODE, node.name, "uplink0", f"{node.name} uplink0"),
            machine=tun0.machine,
            subnet=node.subnet,
            gateway=node.gateway,
            vxlan_port=4789,
            switch=Switch(run_dir=Path("/nonexistent")),
        )
    pods = []
    for pod in cluster.pods:
        eth0 = tap(Kind.POD, pod.key, "eth0", pod.key)
        pods.append(
            Pod(
                name=pod.key,
                ip=pod.ip,
                tap=eth0,
                machine=eth0.machine,
                node=nodes[pod.node],
                pod=pod,
            )
        )

    def host(kind: Kind, name: str, ip: IPv4Address) -> Host:
        eth0 = tap(kind, f"{kind}:{name}", "eth0", f"{kind}:{name}")
        return Host(name=name, ip=ip, tap=eth0, machine=eth0.machine)

    underlay = cluster.underlay
    return Places(
        nodes=tuple(nodes.values()),
        pods=tuple(pods),
        external_hosts=tuple(
            host(Kind.EXTERNAL, item.name, item.ip) for item in underlay.external_hosts
        ),
        rogues=tuple(host(Kind.ROGUE, item.name, item.ip) for item in underlay.rogues),
        ghosts=(),
    )


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """As much of a verdict as is told."""

    agrees: bool
    line: str
    paragraph: str


@dataclass
class Stage:
    """Where a scenario is made up: who is there, what was sent, seen and claimed."""

    mark: ClassVar[bytes] = b"sixteen bytes 1!"
    control_mark: ClassVar[bytes] = b"sixteen bytes 2!"

    topology: Topology
    places: Places
    sightings: list[Sighting] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)
    verdicts: list[Judgement] = field(default_factory=list)

    @property
    def client(self) -> Pod:
        """A pod on the first node."""
        return self.places.pods[0]

    @property
    def neighbour(self) -> Pod:
        """Another pod there."""
        return self.places.pods[1]

    @property
    def server(self) -> Pod:
        """A pod on the second node."""
        return self.places.pods[-1]

    def send(
        self, sender: Pod, packet: Packet, mark: bytes, *, control: bool = False
    ) -> None:
        """Note that a packet was sent on purpose, and see it leave."""
        self.sent.append(
            Sent(
                cluster=cast("Any", None),
                sender=sender.tap,
                unmarked=packet,
                mark=mark,
                before={},
                control=control,
            )
        )
        self.see(sender.tap, packet / Raw(mark), sent=True)

    def see(self, where: Tap, frame: Packet, *, sent: bool = False) -> None:
        """Note a frame, 0.1 ms after the one before."""
        moment = START + 100_000 * len(self.sightings)
        self.sightings.append(Sighting(moment, where, sent=sent, frame=bytes(frame)))

    def datagram(self, sender: Pod, receiver: Pod, *, marked: bool = True) -> Packet:
        """UDP from pod to pod."""
        packet = (
            Ether(src=sender.pod.mac, dst=receiver.pod.mac)
            / IP(src=str(sender.ip), dst=str(receiver.ip))
            / UDP(sport=40009, dport=9)
        )
        return packet / Raw(self.mark) if marked else packet

    def tunnelled(
        self, packet: Packet, source: Node, to: Node, vnid: int = 0
    ) -> Packet:
        """A frame in VXLAN from node to node."""
        return (
            Ether(src=underlay_mac(source.ip), dst=underlay_mac(to.ip))
            / IP(src=str(source.ip), dst=str(to.ip))
            / UDP(sport=49152, dport=4789)
            / VXLAN(vni=vnid, flags="Instance")
            / packet
        )

    def claim(self, kind: ClaimKind, place: str, mark: bytes, **more: Any) -> None:  # noqa: ANN401
        """Note a claim, which held unless it is said otherwise."""
        claim = Claim(kind=kind, mark=mark, place=place, held=True)
        self.claims.append(replace(claim, **more))

    def judge(self, line: str, *, agrees: bool) -> None:
        """Note what three witnesses said."""
        self.verdicts.append(
            Judgement(agrees=agrees, line=line, paragraph=f"{line}, because.")
        )

    def evidence(self, **changes: Any) -> Evidence:  # noqa: ANN401
        """All that was noted."""
        evidence = Evidence(
            scenario="scenarios/test_it.py::test_it[subnet]",
            file="topologies/two-node.yaml",
            topology=self.topology,
            became=(self.topology,),
            places=self.places,
            taps=self.places.taps,
            datapath="netdev",
            versions=Versions(testbed="1", ovs="3.1.0", kernel="6.1", python="3.11"),
            sent=tuple(self.sent),
            claims=tuple(self.claims),
            sightings=tuple(self.sightings),
            hits=tuple(self.hits),
            verdicts=tuple(self.verdicts),
        )
        return replace(evidence, **changes)


@pytest.fixture(scope="session")
def two_nodes() -> Topology:
    return load(shipped("two-node.yaml"))


@pytest.fixture
def stage(two_nodes: Topology) -> Stage:
    return Stage(topology=two_nodes, places=places_of(two_nodes))


@pytest.fixture
def delivered(stage: Stage) -> Stage:
    """A datagram from node to node."""
    client, server = stage.client, stage.server
    packet = stage.datagram(client, server)
    stage.send(client, stage.datagram(client, server, marked=False), stage.mark)
    over = stage.tunnelled(packet, client.node, server.node, vnid=42)
    stage.see(client.node.wire, over, sent=True)
    stage.see(server.node.wire, over)
    stage.see(server.tap, packet)
    stage.claim(ClaimKind.ARRIVES, str(server.tap), stage.mark)
    stage.hits.append(
        Hit(
            node=client.node.name,
            flow=Flow(
                table=Table.FROM_POD,
                priority=100,
                match=("ip", "in_port=3", f"nw_src={client.ip}"),
                actions=("load:0->NXM_NX_REG0[]", "goto_table:21"),
            ),
            n_packets=1,
        )
    )
    return stage


@pytest.fixture
def dropped(stage: Stage) -> Stage:
    """A datagram that table 20 drops, and the control that is sent in its wake."""
    client = stage.client
    unmarked = stage.datagram(client, stage.server, marked=False)
    stage.send(client, unmarked, stage.mark)
    who = Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(
        op="who-has", psrc=str(client.ip), pdst=str(client.node.gateway)
    )
    stage.send(client, who, stage.control_mark, control=True)
    stage.see(client.node.tap, who / Raw(stage.control_mark))
    stage.claim(
        ClaimKind.ARRIVES, str(client.node.tap), stage.control_mark, control=True
    )
    stage.claim(
        ClaimKind.DROPPED,
        client.node.name,
        stage.mark,
        table=Table.FROM_POD,
        flow="priority=0",
    )
    return stage
