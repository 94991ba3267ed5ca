"""Frames are read as scapy reads them, and known again wherever they pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from testbed.probe.dissect import changes, read_frame

if TYPE_CHECKING:
    from scapy.packet import Packet

OUTER = Ether() / IP(src="172.16.1.25", dst="172.16.1.15") / UDP(dport=4789)


def to(
    dst: str = "10.128.0.3",
    src: str = "10.131.1.241",
    *,
    ttl: int = 64,
    proto: int | None = None,
    frag: int = 0,
) -> Packet:
    packet = Ether(src="0a:58:0a:83:01:f1")
    packet /= IP(src=src, dst=dst, id=77, ttl=ttl, frag=frag)
    if proto is not None:
        packet[IP].proto = proto
    return packet


@pytest.mark.parametrize(
    ("packet", "text"),
    [
        (
            to() / UDP(sport=40009, dport=9),
            "UDP 10.131.1.241:40009 > 10.128.0.3:9",
        ),
        (
            to() / TCP(sport=40009, dport=80, flags="SA"),
            "TCP 10.131.1.241:40009 > 10.128.0.3:80 SYN ACK",
        ),
        (
            to() / SCTP(sport=5, dport=6) / SCTPChunkInit(),
            "SCTP 10.131.1.241:5 > 10.128.0.3:6",
        ),
        (
            to() / ICMP(type="echo-request"),
            "ICMP 10.131.1.241 > 10.128.0.3 echo request",
        ),
        (
            to() / ICMP(type="dest-unreach", code="port-unreachable"),
            "ICMP 10.131.1.241 > 10.128.0.3 port unreachable",
        ),
        (to(proto=50), "IP protocol 50 10.131.1.241 > 10.128.0.3"),
        (
            to(frag=185, proto=17) / Raw(b"rest"),
            "UDP 10.131.1.241 > 10.128.0.3 fragment at 1480",
        ),
        (
            Ether() / ARP(op="who-has", psrc="10.128.0.2", pdst="10.128.0.1"),
            "ARP who has 10.128.0.1, says 10.128.0.2",
        ),
        (
            Ether() / ARP(op="is-at", hwsrc="0a:58:0a:80:00:02", psrc="10.128.0.2"),
            "ARP 10.128.0.2 is at 0a:58:0a:80:00:02",
        ),
        (Ether(type=0x86DD) / Raw(b"six"), "ethertype 0x86dd"),
        (
            OUTER / VXLAN(vni=42, flags="Instance") / to(src="10.1.1.1") / UDP(sport=7),
            "VXLAN 172.16.1.25 > 172.16.1.15 VNID 42: UDP 10.1.1.1:7 > 10.128.0.3:53",
        ),
    ],
)
def test_a_frame_is_told_in_a_line(packet: Packet, text: str) -> None:
    assert str(read_frame(bytes(packet))) == text


def test_only_the_clusters_own_vxlan_port_is_a_tunnel() -> None:
    other = Ether() / IP(src="172.16.1.25", dst="172.16.1.15") / UDP(dport=8472)
    frame = bytes(other / VXLAN(vni=42, flags="Instance") / to() / UDP())

    assert read_frame(frame).tunnel is None
    assert read_frame(frame, vxlan_port=8472).tunnel is not None


ports = st.integers(0, 65535)


@given(
    sport=ports,
    dport=ports.filter(lambda port: port != 4789),
    layer=st.sampled_from([UDP, TCP, SCTP]),
    payload=st.binary(max_size=40),
)
def test_addresses_and_ports_are_those_that_scapy_finds(
    sport: int, dport: int, layer: type[Packet], payload: bytes
) -> None:
    frame = bytes(to() / layer(sport=sport, dport=dport) / Raw(payload))

    read, scapys = read_frame(frame), Ether(frame)

    assert (read.source, read.destination) == (scapys[IP].src, scapys[IP].dst)
    assert (read.sport, read.dport) == (scapys[layer].sport, scapys[layer].dport)
    assert (read.source_mac, read.destination_mac) == (scapys.src, scapys.dst)
    assert read.ttl == scapys[IP].ttl


@given(st.binary(max_size=80), st.sampled_from([b"", b"\x08\x00", b"\x08\x06"]))
def test_whatever_comes_is_told_somehow(noise: bytes, ethertype: bytes) -> None:
    frame = noise[:12] + ethertype + noise[12:]

    assert str(read_frame(frame))


@pytest.mark.parametrize(
    ("there", "here"),
    [
        (to() / UDP(sport=1, dport=2) / Raw(b"x"), to() / UDP(sport=1, dport=2)),
        (to() / TCP(sport=1, seq=7), to() / TCP(sport=1, seq=8)),
        (to() / ICMP(seq=1), to() / ICMP(seq=2)),
        (to(proto=50) / Raw(b"x"), to(proto=50) / Raw(b"y")),
    ],
)
def test_packets_of_other_contents_are_other_packets(
    there: Packet, here: Packet
) -> None:
    assert read_frame(bytes(there)).identity != read_frame(bytes(here)).identity


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (to() / UDP(sport=1, dport=80), to(dst="10.131.0.9") / UDP(sport=9, dport=81)),
        (to() / TCP(sport=1, dport=80), to(src="172.16.1.25") / TCP(sport=9, dport=81)),
        (to() / ICMP(id=1, seq=4), to(src="172.16.1.25") / ICMP(id=2, seq=4)),
        (to(ttl=64) / UDP(), to(ttl=63) / UDP()),
        (to() / UDP(), OUTER / VXLAN(vni=42, flags="Instance") / to() / UDP()),
    ],
)
def test_nat_routers_and_tunnels_leave_a_packet_the_same(
    before: Packet, after: Packet
) -> None:
    assert read_frame(bytes(before)).identity == read_frame(bytes(after)).identity


def test_what_became_of_a_packet_is_told_in_few_words() -> None:
    before = to(dst="172.30.0.1", ttl=64) / UDP(sport=40009, dport=53)
    inner = to(dst="10.128.0.3", ttl=63) / UDP(sport=40009, dport=5353)
    after = OUTER / VXLAN(vni=42, flags="Instance") / inner

    assert changes(read_frame(bytes(before)), read_frame(bytes(after))) == [
        "into VXLAN 172.16.1.25 > 172.16.1.15 VNID 42",
        "destination 172.30.0.1:53 → 10.128.0.3:5353",
        "TTL 64 → 63",
    ]
    assert changes(read_frame(bytes(after)), read_frame(bytes(inner))) == [
        "out of VXLAN"
    ]
