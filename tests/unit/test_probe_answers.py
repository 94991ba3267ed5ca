"""Frames that pass a tap, as they are read, and what among them answers a probe."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.sctp import SCTP, SCTPChunkAbort, SCTPChunkInitAck
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from testbed.emulation.machines import Kind, Machine
from testbed.model import Traffic, Transport, UnderlayHost
from testbed.probe.answers import Answer, Matcher, Sort, kind_of, sort_of
from testbed.probe.passage import Passage, tunnelled_frame
from testbed.probe.recorder import Tap

NONCE = bytes(range(200, 216))
PORT = 4000
ETHER = Ether(src="0a:58:0a:80:00:02", dst="0a:58:0a:81:00:03")
ASKED = IP(src="10.128.0.2", dst="10.129.0.3")
ANSWERED = IP(src="10.129.0.3", dst="10.128.0.2")
PROBES = {
    Transport.ICMP: ICMP(id=PORT),
    Transport.UDP: UDP(sport=PORT, dport=53),
    Transport.TCP: TCP(sport=PORT, dport=80, flags="S"),
    Transport.SCTP: SCTP(sport=PORT, dport=80),
}
QUOTED = ASKED / UDP(sport=PORT, dport=53) / Raw(NONCE)


@pytest.fixture
def tap() -> Tap:
    machine = Machine(kind=Kind.POD, name="shop_web", pid=1)
    with socket.socket() as unused:
        return Tap(machine, "eth0", "shop/web", unused)


def ethernet(*layers: Packet) -> bytes:
    packet = ETHER
    for layer in layers:
        packet /= layer
    return bytes(packet)


def tunnelled(frame: bytes, port: int = 4789) -> bytes:
    outer = IP(src="172.16.1.15", dst="172.16.1.16")
    return ethernet(
        outer, UDP(sport=1, dport=port), VXLAN(vni=4711, flags="Instance"), Raw(frame)
    )


def passage(tap: Tap, frame: bytes) -> Passage:
    return Passage(1_500_000_000, tap, sent=True, frame=frame)


@pytest.mark.parametrize("transport", sorted(PROBES))
def test_a_passage_tells_addresses_ports_and_transport(
    tap: Tap, transport: Transport
) -> None:
    seen = passage(tap, ethernet(ASKED, PROBES[transport], Raw(NONCE)))

    has_ports = transport is not Transport.ICMP
    assert (seen.source, seen.destination) == (
        IPv4Address("10.128.0.2"),
        IPv4Address("10.129.0.3"),
    )
    assert seen.transport is transport
    assert seen.sport == (PORT if has_ports else None)
    assert seen.tunnel is None
    assert seen.vnid is None
    assert seen.time == 1.5


@pytest.mark.parametrize("port", [4789, 8472])
def test_a_passage_tells_what_a_tunnel_carries(tap: Tap, port: int) -> None:
    inner = ethernet(ASKED, PROBES[Transport.UDP], Raw(NONCE))

    seen = passage(tap, tunnelled(inner, port))

    assert (seen.source, seen.sport, seen.dport) == (
        IPv4Address("10.128.0.2"),
        PORT,
        53,
    )
    assert seen.tunnel is not None
    assert (seen.tunnel.source, seen.tunnel.destination) == (
        "172.16.1.15",
        "172.16.1.16",
    )
    assert seen.vnid == 4711
    assert tunnelled_frame(seen.frame) == inner


def test_a_payload_that_begins_like_vxlan_is_none(tap: Tap) -> None:
    payload = b"\x08" + bytes(range(1, 40))

    seen = passage(tap, ethernet(ASKED, UDP(sport=PORT, dport=4789), Raw(payload)))

    assert seen.vnid is None
    assert seen.dport == 4789


def test_arp_has_the_asker_for_its_source(tap: Tap) -> None:
    asks = ARP(op="who-has", psrc="10.128.0.2", pdst="10.129.0.3")

    seen = passage(tap, ethernet(asks, Raw(NONCE)))

    assert seen.transport is Transport.ARP
    assert (seen.source, seen.destination) == (
        IPv4Address("10.128.0.2"),
        IPv4Address("10.129.0.3"),
    )


@pytest.mark.parametrize("transport", sorted(PROBES))
@pytest.mark.parametrize("in_tunnel", [False, True])
def test_a_probe_on_its_way_is_no_answer(
    transport: Transport, *, in_tunnel: bool
) -> None:
    frame = ethernet(ASKED, PROBES[transport], Raw(NONCE))

    assert sort_of(tunnelled(frame) if in_tunnel else frame, PORT) is Sort.PROBE


def test_a_probe_that_nat_has_changed_is_no_answer() -> None:
    masqueraded = ethernet(
        IP(src="172.16.1.15", dst="198.51.100.1"), UDP(sport=1025, dport=53)
    )

    assert sort_of(masqueraded, PORT) is Sort.PROBE


UNREACHABLE = {
    (3, 0): "icmp net-unreachable",
    (3, 2): "icmp protocol-unreachable",
    (3, 3): "icmp port-unreachable",
    (3, 9): "icmp net-prohibited",
    (3, 10): "icmp host-prohibited",
    (3, 13): "icmp admin-prohibited",
    (3, 7): "icmp unreachable, code 7",
    (11, 0): "icmp time-exceeded",
}
ANSWERS = {
    "echo reply": ICMP(type=0, id=PORT),
    "udp reply": UDP(sport=53, dport=PORT),
    "tcp syn-ack": TCP(sport=80, dport=PORT, flags="SA"),
    "tcp reset": TCP(sport=80, dport=PORT, flags="RA"),
    "sctp abort": SCTP(sport=80, dport=PORT) / SCTPChunkAbort(),
    "sctp init-ack": SCTP(sport=80, dport=PORT) / SCTPChunkInitAck(),
}


@pytest.mark.parametrize("kind", sorted(ANSWERS))
@pytest.mark.parametrize("in_tunnel", [False, True])
def test_an_answer_is_known_by_its_kind(
    tap: Tap, kind: str, *, in_tunnel: bool
) -> None:
    frame = ethernet(ANSWERED, ANSWERS[kind], Raw(NONCE))
    frame = tunnelled(frame) if in_tunnel else frame

    answer = Answer(passage(tap, frame))

    assert sort_of(frame, PORT) is Sort.ANSWER
    assert answer.kind == kind
    assert answer.source == IPv4Address("10.129.0.3")
    assert not answer.is_refusal


@pytest.mark.parametrize("codes", sorted(UNREACHABLE))
def test_an_error_is_a_refusal(tap: Tap, codes: tuple[int, int]) -> None:
    error = ICMP(type=codes[0], code=codes[1])
    frame = ethernet(IP(src="10.128.0.1", dst="10.128.0.2"), error, QUOTED)

    answer = Answer(passage(tap, frame))

    assert sort_of(frame, PORT) is Sort.ANSWER
    assert answer.is_refusal
    assert str(answer) == f"{UNREACHABLE[codes]} from 10.128.0.1"


@pytest.mark.parametrize(
    "codes", [(5, 1), (3, 1)], ids=["redirect", "host unreachable"]
)
def test_what_is_said_aside_answers_nothing(codes: tuple[int, int]) -> None:
    frame = ethernet(ANSWERED, ICMP(type=codes[0], code=codes[1]), QUOTED)

    assert sort_of(frame, PORT) is Sort.ASIDE


def test_an_acknowledgement_alone_is_no_answer() -> None:
    assert not kind_of(ethernet(ANSWERED, TCP(sport=80, dport=PORT, flags="A")))


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.UDP, Transport.SCTP])
def test_an_answer_without_nonce_is_known_by_the_port(transport: Transport) -> None:
    matcher = Matcher()
    for number, port in enumerate((PORT, PORT + 1)):
        matcher.expect(number, traffic(transport), "shop/web", port)
    segments = {
        Transport.TCP: TCP(sport=80, dport=PORT + 1, flags="RA"),
        Transport.UDP: UDP(sport=80, dport=PORT + 1),
        Transport.SCTP: SCTP(sport=80, dport=PORT + 1) / SCTPChunkAbort(),
    }
    frame = ethernet(ANSWERED, segments[transport])

    assert matcher.match("shop/web", frame) == 1
    assert matcher.match("shop/db", frame) is None


def test_arp_answers_are_known_by_the_address_in_the_order_asked() -> None:
    matcher = Matcher()
    for number in range(2):
        matcher.expect(number, traffic(Transport.ARP), "shop/web", PORT)
    is_at = ethernet(ARP(op="is-at", psrc="10.129.0.3", pdst="10.128.0.2"))
    other = ethernet(ARP(op="is-at", psrc="10.129.0.4", pdst="10.128.0.2"))

    assert matcher.match("shop/web", other) is None
    assert [matcher.match("shop/web", is_at) for _ in range(3)] == [0, 1, None]


def test_who_asks_by_arp_answers_nothing() -> None:
    matcher = Matcher()
    matcher.expect(0, traffic(Transport.ARP), "shop/web", PORT)
    who_has = ethernet(ARP(op="who-has", psrc="10.129.0.3", pdst="10.128.0.2"))

    assert matcher.match("shop/web", who_has) is None


def traffic(transport: Transport) -> Traffic:
    sender = UnderlayHost(name="external", ip=IPv4Address("198.51.100.1"))
    return Traffic(
        sender=sender, destination=IPv4Address("10.129.0.3"), transport=transport
    )
