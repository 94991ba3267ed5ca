"""What was seen of a batch is judged: what may still come, and what became of each."""

from __future__ import annotations

import errno
import socket
from collections import deque
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, cast

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from testbed.emulation.machines import Kind, Machine
from testbed.model import Outcome, Traffic, Transport, UnderlayHost
from testbed.probe.frames import FrameBuilder
from testbed.probe.judgement import Judge
from testbed.probe.passage import Passage
from testbed.probe.paths import Door, Path, Probe
from testbed.probe.places import Host
from testbed.probe.recorder import Tap
from testbed.probe.stacks import NO_ETHERNET
from testbed.probe.watches import Role, Watch

if TYPE_CHECKING:
    from testbed.model import Cluster, Party
    from testbed.probe.observation import Observation
    from testbed.probe.pump import Pump

PORT = 4000
EXTERNAL = UnderlayHost(name="external", ip=IPv4Address("198.51.100.1"))


@pytest.fixture
def cluster(four_nodes: Cluster) -> Cluster:
    return four_nodes


def tap(label: str, interface: str = "eth0") -> Tap:
    machine = Machine(kind=Kind.POD, name=label, pid=1)
    with socket.socket() as unused:
        return Tap(machine, interface, label, unused)


WEB, DB = tap("shop/web"), tap("shop/db")
TUN0, WIRE = tap("oc-04.test tun0", "tun0"), tap("oc-04.test eth0")
KERNEL = tap("oc-04.test kernel", "")
NODE_IPS = frozenset({IPv4Address("172.16.1.25").packed})
WATCHES = (
    Watch(tap=WEB, name="shop/web", role=Role.POD),
    Watch(tap=DB, name="shop/db", role=Role.POD),
    Watch(tap=TUN0, name="oc-04.test", role=Role.TUN0, own=NODE_IPS),
    Watch(tap=WIRE, name="oc-04.test", role=Role.WIRE, own=NODE_IPS),
    Watch(tap=KERNEL, name="oc-04.test", role=Role.KERNEL),
)


@dataclass
class SeenSoFar:
    """What a pump has, of one probe."""

    probes: list[Probe]
    seen: list[list[Passage]] = field(default_factory=lambda: [[]])
    taken: dict[int, list[tuple[str, Passage]]] = field(default_factory=dict)
    arrived: bytearray = field(default_factory=lambda: bytearray(1))
    answered: bytearray = field(default_factory=lambda: bytearray(1))
    failures: dict[int, OSError] = field(default_factory=dict)
    unmarked: list[tuple[str, Passage]] = field(default_factory=list)


@dataclass
class Case:
    """A probe, what has been seen of it, and its judge."""

    traffic: Traffic
    seen: SeenSoFar
    path: Path
    judge: Judge

    @property
    def frame(self) -> bytes:
        return self.seen.probes[0].data

    def observed(self, doubt: str = "") -> Observation:
        (observation,) = self.judge.observations(doubt)
        return observation


def case(  # noqa: PLR0913 - each test sets another
    cluster: Cluster,
    ip: str = "10.131.0.16",
    transport: Transport = Transport.UDP,
    *,
    sender: Party | None = None,
    dport: int = 53,
    is_ordered: bool = True,
) -> Case:
    sender = sender or cluster.pod("shop/web")
    builder = FrameBuilder(cluster, bytes(12))
    traffic = Traffic(
        sender=sender, destination=IPv4Address(ip), transport=transport, dport=dport
    )
    launch = builder.packet(
        builder.route(traffic), transport, number=0, port=PORT, dport=dport
    )
    place = Host(
        name=WEB.label,
        ip=IPv4Address("10.131.1.241"),
        tap=WEB,
        machine=WEB.machine,
    )
    door = Door(place=place, tap=WEB, socket=WEB.socket)
    path = Path(
        name="to oc-04",
        door=door,
        control=lambda _: launch,
        hearer=TUN0,
        waiting=deque(),
    )
    seen = SeenSoFar([Probe(launch.route, launch.data, door, (path,))])
    seen.seen[0].append(Passage(1, WEB, sent=True, frame=launch.data))
    judge = Judge(
        cast("Pump", seen),
        [traffic],
        [PORT],
        watches=WATCHES,
        vxlan_port=4789,
        is_ordered=is_ordered,
    )
    return Case(traffic=traffic, seen=seen, path=path, judge=judge)


def quoted(frame: bytes, *, kind: int = 3, code: int = 3) -> bytes:
    error = IP(src="10.131.0.1", dst="10.131.1.241") / ICMP(type=kind, code=code)
    return bytes(Ether() / error / Raw(frame[14:]))


def test_what_nobody_has_is_dropped(cluster: Cluster) -> None:
    judged = case(cluster)

    assert judged.judge.has_arrived()
    assert judged.observed().outcome is Outcome.DROPPED
    assert judged.observed().control


@pytest.mark.parametrize("ip", ["172.30.31.182", "198.51.100.1", "10.131.0.1"])
def test_what_a_kernel_may_pass_on_is_waited_for(cluster: Cluster, ip: str) -> None:
    assert not case(cluster, ip).judge.has_arrived()


def test_on_the_kernels_datapath_all_is_waited_for(cluster: Cluster) -> None:
    judged = case(cluster, is_ordered=False)

    assert not judged.judge.has_arrived()
    assert judged.judge.unproven() == []


def test_what_has_arrived_has_an_answer_to_come(cluster: Cluster) -> None:
    judged = case(cluster)
    judged.seen.arrived[0] = 1

    assert judged.judge.has_arrived()
    assert not judged.judge.is_answered()


def test_the_ways_of_what_has_not_arrived_are_unproven(cluster: Cluster) -> None:
    judged = case(cluster)

    assert judged.judge.unproven() == [judged.path]

    judged.seen.arrived[0] = 1

    assert judged.judge.unproven() == []


def test_multicast_stays_unproven_for_there_may_be_more(cluster: Cluster) -> None:
    judged = case(cluster, "239.1.2.3")
    judged.seen.arrived[0] = 1

    assert judged.judge.unproven() == [judged.path]


def test_nothing_is_waited_for_where_no_control_came(cluster: Cluster) -> None:
    judged = case(cluster, "172.30.31.182")
    judged.path.broken = "the positive control did not arrive"

    assert judged.judge.has_arrived()
    assert judged.observed().outcome is Outcome.INCONCLUSIVE
    assert judged.observed().reason == judged.path.broken
    assert not judged.observed().control


def test_what_comes_in_at_a_pod_is_delivered(cluster: Cluster) -> None:
    judged = case(cluster)
    judged.seen.seen[0].append(Passage(2, DB, sent=False, frame=judged.frame))

    assert judged.observed().outcome is Outcome.DELIVERED
    assert judged.observed().receivers == ("shop/db",)
    assert len(judged.observed().passages) == 2


def test_what_only_comes_in_at_a_node_is_not_the_nodes(cluster: Cluster) -> None:
    judged = case(cluster, "172.16.1.25")
    judged.seen.seen[0].append(Passage(2, TUN0, sent=False, frame=judged.frame))

    assert judged.observed().outcome is Outcome.DROPPED


def test_what_a_nodes_kernel_takes_is_the_nodes(cluster: Cluster) -> None:
    judged = case(cluster, "172.16.1.25")
    taken = Passage(2, KERNEL, sent=False, frame=NO_ETHERNET + judged.frame[14:])
    judged.seen.taken[0] = [("oc-04.test", taken)]

    assert judged.observed().receivers == ("oc-04.test",)
    assert KERNEL not in {passage.tap for passage in judged.observed().passages}


def test_what_is_sent_to_open_vswitch_nobody_can_tell_of(cluster: Cluster) -> None:
    judged = case(cluster, "172.16.1.25", sender=EXTERNAL, dport=4789)

    assert judged.observed().outcome is Outcome.INCONCLUSIVE
    assert "port of VXLAN" in judged.observed().reason


def test_a_refusal_is_a_rejection(cluster: Cluster) -> None:
    judged = case(cluster, "172.30.31.182")
    error = Passage(2, WEB, sent=False, frame=quoted(judged.frame))
    judged.seen.seen[0].append(error)

    assert judged.observed().outcome is Outcome.REJECTED
    assert str(judged.observed().answer) == "icmp port-unreachable from 10.131.0.1"
    assert len(judged.observed().passages) == 1


def test_a_refusal_by_who_has_it_is_none(cluster: Cluster) -> None:
    judged = case(cluster)
    judged.seen.seen[0] += [
        Passage(2, DB, sent=False, frame=judged.frame),
        Passage(3, DB, sent=True, frame=quoted(judged.frame)),
        Passage(4, WEB, sent=False, frame=quoted(judged.frame)),
    ]

    assert judged.observed().outcome is Outcome.DELIVERED
    assert len(judged.observed().passages) == 2
    assert judged.observed().answer is not None


def test_a_redirect_is_no_answer(cluster: Cluster) -> None:
    judged = case(cluster, "172.30.31.182")
    redirect = Passage(2, WEB, sent=False, frame=quoted(judged.frame, kind=5))
    judged.seen.seen[0].append(redirect)

    assert judged.observed().outcome is Outcome.DROPPED
    assert judged.observed().answer is None


def test_what_is_answered_was_delivered_to_somebody(cluster: Cluster) -> None:
    judged = case(cluster, "172.16.1.253", Transport.ARP, sender=EXTERNAL)
    is_at = Ether() / ARP(op="is-at", psrc="172.16.1.253", pdst="198.51.100.1")
    answer = Passage(2, WEB, sent=False, frame=bytes(is_at))
    judged.seen.unmarked.append(("shop/web", answer))

    assert judged.observed().outcome is Outcome.DELIVERED
    assert judged.observed().receivers == ()


def test_a_kernel_that_refuses_to_send_has_dropped_it(cluster: Cluster) -> None:
    judged = case(cluster)
    judged.seen.failures[0] = PermissionError(errno.EPERM, "Operation not permitted")

    assert judged.observed().outcome is Outcome.DROPPED


def test_what_could_not_be_sent_is_inconclusive(cluster: Cluster) -> None:
    judged = case(cluster)
    judged.seen.failures[0] = OSError(errno.ENETDOWN, "Network is down")

    assert judged.judge.has_arrived()
    assert judged.observed().outcome is Outcome.INCONCLUSIVE
    assert judged.observed().reason == "shop/web could not send it: Network is down"


def test_where_there_is_doubt_nothing_is_said_to_be_lost(cluster: Cluster) -> None:
    judged = case(cluster)
    error = Passage(2, WEB, sent=False, frame=quoted(judged.frame))
    judged.seen.seen[0].append(error)

    observed = judged.observed("the machine was too small")

    assert observed.outcome is Outcome.INCONCLUSIVE
    assert observed.reason == "the machine was too small"


def test_passages_are_told_by_time(cluster: Cluster) -> None:
    judged = case(cluster)
    judged.seen.seen[0] += [
        Passage(3, DB, sent=False, frame=judged.frame),
        Passage(2, WIRE, sent=True, frame=judged.frame),
    ]

    passages = judged.observed().passages

    assert [passage.nanoseconds for passage in passages] == [1, 2, 3]


def test_an_address_that_nat_has_changed_is_still_the_probe(cluster: Cluster) -> None:
    judged = case(cluster, "198.51.100.1")
    packet = IP(src="172.16.1.25", dst="198.51.100.1") / UDP(sport=PORT, dport=53)
    frame = bytes(Ether() / packet / Raw(judged.frame[-16:]))
    judged.seen.seen[0].append(Passage(2, WIRE, sent=True, frame=frame))

    assert [item.source for item in judged.observed().passages] == [
        IPv4Address("10.131.1.241"),
        IPv4Address("172.16.1.25"),
    ]
