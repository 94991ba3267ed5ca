"""Probes as bytes are what scapy would build, and set out as their senders send."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from testbed.model import HostSubnet, Traffic, Transport, UnderlayHost
from testbed.probe.frames import PORTS, FrameBuilder, source_ports
from testbed.probe.routes import Way
from testbed.probe.templates import NONCE_SIZE, Templates

if TYPE_CHECKING:
    from scapy.packet import Packet

    from testbed.model import Cluster, Party, Pod
    from testbed.probe.frames import Launch

BATCH = bytes(range(12))
LAYERS = {
    Transport.ICMP: ICMP,
    Transport.UDP: UDP,
    Transport.TCP: TCP,
    Transport.SCTP: SCTP,
}
OVER_IP = sorted(LAYERS)
EXTERNAL = UnderlayHost(name="external", ip=IPv4Address("198.51.100.1"))
ROGUE = UnderlayHost(name="rogue", ip=IPv4Address("172.16.1.66"))
GHOST = HostSubnet(
    name="f5.test",
    host_ip=IPv4Address("172.16.1.40"),
    subnet=IPv4Network("10.128.2.0/23"),
    uid="uid-of-f5",
    is_node=False,
    fixed_vnid=7,
)

numbers = st.integers(min_value=0, max_value=(1 << 32) - 1)
ports = st.integers(min_value=0, max_value=(1 << 16) - 1)
macs = st.binary(min_size=6, max_size=6)


@pytest.fixture(scope="session")
def cluster(four_nodes: Cluster) -> Cluster:
    return replace(
        four_nodes,
        host_subnets=(*four_nodes.host_subnets, GHOST),
        underlay=replace(
            four_nodes.underlay, external_hosts=(EXTERNAL,), rogues=(ROGUE,)
        ),
    )


@pytest.fixture
def web(cluster: Cluster) -> Pod:
    return cluster.pod("shop/web")


@pytest.fixture
def oc_04(cluster: Cluster) -> HostSubnet:
    return cluster.node("oc-04")


def launch(
    cluster: Cluster,
    sender: Party,
    ip: IPv4Address | str,
    transport: Transport = Transport.UDP,
) -> Launch:
    builder = FrameBuilder(cluster, BATCH)
    traffic = Traffic(
        sender=sender, destination=IPv4Address(ip), transport=transport, dport=53
    )
    return builder.packet(
        builder.route(traffic), transport, number=3, port=4000, dport=53
    )


def packet(launched: Launch) -> Packet:
    """What was handed over, with its addresses as scapy reads them."""
    return (IP if launched.route.way is Way.KERNEL else Ether)(launched.data)


def rebuilt(packet: Packet) -> bytes:
    """The same packet with all checksums and lengths computed by scapy."""
    again = packet.copy()
    layer = again
    while layer:
        for name in ("chksum", "len"):
            if name in layer.fields:
                del layer.fields[name]
        layer = layer.payload
    return bytes(again)


@pytest.mark.parametrize("transport", OVER_IP)
@given(
    sender=macs,
    receiver=macs,
    source=numbers,
    destination=numbers,
    port=ports,
    dport=ports,
    number=numbers,
)
def test_a_probe_is_byte_for_byte_what_scapy_builds(  # noqa: PLR0913, PLR0917
    transport: Transport,
    sender: bytes,
    receiver: bytes,
    source: int,
    destination: int,
    port: int,
    dport: int,
    number: int,
) -> None:
    frame = Templates(BATCH).ip(
        transport,
        macs=(sender, receiver),
        source=source,
        destination=destination,
        port=port,
        dport=dport,
        number=number,
    )

    read = Ether(frame)
    assert rebuilt(read) == frame
    assert read.src == sender.hex(":")
    assert read.dst == receiver.hex(":")
    assert IPv4Address(read[IP].src) == IPv4Address(source)
    assert IPv4Address(read[IP].dst) == IPv4Address(destination)
    assert type(read[IP].payload) is LAYERS[transport]


@given(mac=macs, source=numbers, wanted=numbers, number=numbers)
def test_an_arp_probe_asks_everybody_for_an_address(
    mac: bytes, source: int, wanted: int, number: int
) -> None:
    frame = Templates(BATCH).arp(mac=mac, source=source, wanted=wanted, number=number)

    read = Ether(frame)
    assert (read.src, read.dst) == (mac.hex(":"), "ff:ff:ff:ff:ff:ff")
    assert (read[ARP].op, read[ARP].hwsrc) == (1, mac.hex(":"))
    assert IPv4Address(read[ARP].psrc) == IPv4Address(source)
    assert IPv4Address(read[ARP].pdst) == IPv4Address(wanted)


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize("number", [0, 1, 65_535, 65_536, (1 << 32) - 1])
def test_a_probe_ends_with_its_batch_and_its_number(
    cluster: Cluster, web: Pod, transport: Transport, number: int
) -> None:
    builder = FrameBuilder(cluster, BATCH)
    traffic = Traffic(
        sender=web, destination=IPv4Address("10.128.0.2"), transport=transport
    )

    launched = builder.packet(
        builder.route(traffic), transport, number=number, port=4000, dport=53
    )

    assert launched.data[-NONCE_SIZE:] == BATCH + number.to_bytes(4, "big")


def test_the_ports_are_the_probes_own(cluster: Cluster, web: Pod) -> None:
    for transport in (Transport.UDP, Transport.TCP, Transport.SCTP):
        segment = packet(launch(cluster, web, "10.128.0.2", transport))[IP].payload

        assert (segment.sport, segment.dport) == (4000, 53)


def test_icmp_has_its_identifier_for_a_port(cluster: Cluster, web: Pod) -> None:
    echo = packet(launch(cluster, web, "10.128.0.2", Transport.ICMP))[ICMP]

    assert (echo.type, echo.code, echo.id) == (8, 0, 4000)


def test_tcp_asks_to_connect(cluster: Cluster, web: Pod) -> None:
    assert packet(launch(cluster, web, "10.128.0.2", Transport.TCP))[TCP].flags == "S"


def test_sctp_asks_to_connect_with_its_nonce_as_padding(
    cluster: Cluster, web: Pod
) -> None:
    init = packet(launch(cluster, web, "10.128.0.2", Transport.SCTP))[SCTPChunkInit]

    (padding,) = init.params
    assert bytes(padding)[:4] == b"\x80\x05\x00\x14"


def test_a_pod_sends_frames_from_its_own_addresses(cluster: Cluster, web: Pod) -> None:
    launched = launch(cluster, web, "10.131.0.16")

    assert launched.route.way is Way.ETH0
    assert packet(launched).src == web.mac
    assert packet(launched)[IP].src == str(web.ip)


def test_a_pod_sends_to_the_mac_of_another_pod(cluster: Cluster, web: Pod) -> None:
    assert packet(launch(cluster, web, "10.131.0.16")).dst == "0a:58:0a:83:00:10"


@pytest.mark.parametrize("ip", ["172.30.31.182", "198.51.100.1", "10.128.0.77"])
def test_a_pod_sends_all_else_by_its_gateway(
    cluster: Cluster, web: Pod, oc_04: HostSubnet, ip: str
) -> None:
    assert packet(launch(cluster, web, ip)).dst == oc_04.tun0_mac


def test_a_pod_sends_multicast_to_the_groups_mac(cluster: Cluster, web: Pod) -> None:
    assert packet(launch(cluster, web, "239.129.2.3")).dst == "01:00:5e:01:02:03"


@pytest.mark.parametrize("ip", ["10.131.1.241", "127.0.0.1"])
def test_what_a_pod_sends_to_itself_stays_in_its_kernel(
    cluster: Cluster, web: Pod, ip: str
) -> None:
    launched = launch(cluster, web, ip)

    assert launched.route.way is Way.KERNEL
    assert packet(launched).src == packet(launched).dst == ip


@pytest.mark.parametrize(
    ("ip", "source"),
    [
        ("10.131.0.16", "10.131.0.1"),
        ("10.128.0.2", "10.131.0.1"),
        ("172.30.31.182", "10.131.0.1"),
        ("172.16.1.15", "172.16.1.25"),
        ("198.51.100.1", "172.16.1.25"),
        ("172.16.1.25", "172.16.1.25"),
        ("10.131.0.1", "10.131.0.1"),
        ("172.17.0.1", "172.17.0.1"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_node_has_its_kernel_send_from_the_address_it_would_choose(
    cluster: Cluster, oc_04: HostSubnet, ip: str, source: str
) -> None:
    launched = launch(cluster, oc_04, ip)

    assert launched.route.way is Way.KERNEL
    assert (packet(launched).src, packet(launched).dst) == (source, ip)


def test_a_pod_on_the_host_network_sends_as_its_node(
    cluster: Cluster, web: Pod, oc_04: HostSubnet
) -> None:
    on_host = replace(web, host_network=True, ip=oc_04.host_ip, ofport=None)

    assert (
        launch(cluster, on_host, "10.128.0.2").data
        == launch(cluster, oc_04, "10.128.0.2").data
    )


@pytest.mark.parametrize("host", [EXTERNAL, ROGUE], ids=str)
@pytest.mark.parametrize("ip", ["172.16.1.25", "10.131.0.16", "172.30.31.182"])
def test_a_machine_outside_has_its_kernel_send(
    cluster: Cluster, host: UnderlayHost, ip: str
) -> None:
    launched = launch(cluster, host, ip)

    assert launched.route.way is Way.KERNEL
    assert (packet(launched).src, packet(launched).dst) == (str(host.ip), ip)


@pytest.mark.parametrize("transport", list(Transport))
def test_a_ghost_tunnels_to_pods_with_its_own_vnid(
    cluster: Cluster, oc_04: HostSubnet, transport: Transport
) -> None:
    launched = launch(cluster, GHOST, "10.131.0.16", transport)

    outer = packet(launched)
    assert launched.route.way is Way.ETH0
    assert (outer.src, outer.dst) == ("52:54:ac:10:01:28", "52:54:ac:10:01:19")
    assert (outer[IP].src, outer[IP].dst) == (str(GHOST.host_ip), str(oc_04.host_ip))
    assert outer[UDP].dport == 4789
    assert outer[VXLAN].vni == 7
    inner = outer[VXLAN].payload
    assert inner.src == GHOST.tun0_mac
    ends = (inner[ARP].psrc, inner[ARP].pdst) if ARP in inner else None
    ends = ends or (inner[IP].src, inner[IP].dst)
    assert ends == (str(GHOST.gateway), "10.131.0.16")


@pytest.mark.parametrize("ip", ["10.128.3.77", "10.129.200.1"])
def test_a_ghost_has_no_tunnel_to_itself_or_to_nobody(
    cluster: Cluster, ip: str
) -> None:
    launched = launch(cluster, GHOST, ip)

    assert launched.route.leads_nowhere
    assert not launched.data


def test_a_ghost_has_its_kernel_send_to_all_else(cluster: Cluster) -> None:
    launched = launch(cluster, GHOST, "198.51.100.1")

    assert launched.route.way is Way.KERNEL
    assert packet(launched).src == str(GHOST.host_ip)


@pytest.mark.parametrize(
    ("ip", "way"),
    [
        ("10.128.0.2", Way.TUN0),
        ("172.30.31.182", Way.TUN0),
        ("172.16.1.15", Way.WIRE),
        ("198.51.100.1", Way.WIRE),
    ],
)
def test_a_node_asks_where_its_routes_lead(
    cluster: Cluster, oc_04: HostSubnet, ip: str, way: Way
) -> None:
    launched = launch(cluster, oc_04, ip, Transport.ARP)

    asks = packet(launched)[ARP]
    assert launched.route.way is way
    assert packet(launched).src == asks.hwsrc
    assert (asks.hwsrc, asks.psrc) == {
        Way.TUN0: (oc_04.tun0_mac, "10.131.0.1"),
        Way.WIRE: ("52:54:ac:10:01:19", "172.16.1.25"),
    }[way]


@pytest.mark.parametrize("sender", [EXTERNAL, ROGUE, GHOST], ids=str)
def test_a_machine_outside_asks_on_its_wire(cluster: Cluster, sender: Party) -> None:
    launched = launch(cluster, sender, "172.16.1.25", Transport.ARP)

    assert launched.route.way is Way.ETH0
    assert packet(launched)[ARP].psrc == str(getattr(sender, "ip", GHOST.host_ip))


@pytest.mark.parametrize(
    ("ip", "transport", "is_switched"),
    [
        ("10.131.0.16", Transport.UDP, True),
        ("10.128.0.2", Transport.UDP, True),
        ("239.0.0.1", Transport.UDP, True),
        ("10.128.0.1", Transport.UDP, False),
        ("10.128.0.1", Transport.ARP, True),
        ("172.30.31.182", Transport.UDP, False),
        ("172.30.31.182", Transport.ARP, True),
        ("172.16.1.25", Transport.UDP, False),
        ("10.131.1.241", Transport.UDP, False),
    ],
)
def test_kernels_decide_about_what_leaves_the_pods_network(
    cluster: Cluster, web: Pod, ip: str, transport: Transport, *, is_switched: bool
) -> None:
    assert launch(cluster, web, ip, transport).route.is_switched is is_switched


def test_a_route_is_found_once(cluster: Cluster, web: Pod) -> None:
    builder = FrameBuilder(cluster, BATCH)
    traffic = Traffic(
        sender=web, destination=IPv4Address("10.128.0.2"), transport=Transport.UDP
    )

    assert builder.route(traffic) is builder.route(replace(traffic, dport=80))


def test_a_payload_is_the_nonce_alone(cluster: Cluster, web: Pod) -> None:
    for transport in (Transport.ICMP, Transport.UDP, Transport.TCP):
        read = packet(launch(cluster, web, "10.128.0.2", transport))

        assert len(read[Raw].load) == NONCE_SIZE


def test_packets_of_a_batch_have_a_port_each() -> None:
    ports = source_ports(60_000, PORTS)

    assert len(set(ports)) == PORTS
    assert min(ports) >= 1024
    assert max(ports) <= 65_535


@pytest.mark.parametrize("size", [1, 2, 240, 1024, 16_384])
def test_a_batch_that_is_repeated_uses_other_ports(size: int) -> None:
    firsts = {source_ports(number * size, 1)[0] for number in range(PORTS)}

    assert len(firsts) == PORTS
