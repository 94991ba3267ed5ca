"""What OVS takes from a frame that it traces, and what from the text beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, LLC, Dot1Q, Dot3, Ether
from scapy.packet import Raw

from testbed.errors import SwitchError
from testbed.openflow import OFPort, Table
from testbed.ovs import start_dummy_switches
from testbed.ovs.trace import Question, Trace, TracedSwitch
from testbed.pipeline import node_flows
from testbed.topology import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scapy.packet import Packet

    from testbed.model import Cluster, HostSubnet, Pod

pytestmark = pytest.mark.switch

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
GROUP = "239.1.2.3"
GROUP_MAC = "01:00:5e:01:02:03"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A node with two pods of a namespace, and a third pod of it on another node."""

    cluster: Cluster
    node: HostSubnet
    switch: TracedSwitch
    web: Pod
    cart: Pod
    remote: Pod

    @property
    def from_remote(self) -> str:
        """How a packet of the remote pod comes in."""
        peer = self.cluster.node(self.remote.node).host_ip
        return f"in_port=1,tun_src={peer},tun_id={self.cluster.vnid('shop')}"

    def trace(self, frame: Packet | bytes, packet: str = "") -> Trace:
        """The frame, as from ``web`` if nothing else is said."""
        question = Question(packet or f"in_port={self.web.ofport}", frame=bytes(frame))
        (answer,) = self.switch.ask([question])
        assert isinstance(answer, Trace)
        return answer


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Under ovs-multitenant, with multicast."""
    yield from place(tmp_path_factory.mktemp("ovs"), "multitenant.yaml")


@pytest.fixture
def tracked(tmp_path: Path) -> Iterator[Place]:
    """Under ovs-networkpolicy, which tracks connections."""
    yield from place(tmp_path, "networkpolicy.yaml")


def place(run_dir: Path, name: str) -> Iterator[Place]:
    cluster = load(TOPOLOGIES / name).cluster
    node = cluster.node("oc-01")
    web, cart = [pod for pod in cluster.pods_on(node) if pod.ofport][1:3]
    remote = next(
        pod
        for pod in cluster.pods
        if pod.node != node.name and pod.namespace == web.namespace
    )
    ofports = {*OFPort, *(pod.ofport for pod in cluster.pods if pod.ofport)}
    with start_dummy_switches(run_dir, bridges=1, ofports=sorted(ofports)) as started:
        (switch,) = started.program({node.name: node_flows(cluster, node)}).values()
        yield Place(
            cluster=cluster,
            node=node,
            switch=switch,
            web=web,
            cart=cart,
            remote=remote,
        )


def ip(sender: Pod, receiver: Pod) -> Packet:
    return Ether(src=sender.mac, dst=receiver.mac) / IP(
        src=str(sender.ip), dst=str(receiver.ip)
    )


def who_has(sender: Pod, receiver: Pod) -> Packet:
    return Ether(src=sender.mac, dst="ff:ff:ff:ff:ff:ff") / ARP(
        hwsrc=sender.mac, psrc=str(sender.ip), pdst=str(receiver.ip)
    )


def test_headers_come_from_the_frame_alone(shop: Place) -> None:
    frame = ip(shop.web, shop.cart) / TCP(sport=40009, dport=8080)
    lies = "udp,nw_src=192.0.2.1,nw_dst=192.0.2.2,udp_dst=53,dl_dst=02:00:00:00:00:01"

    trace = shop.trace(frame, f"in_port={shop.web.ofport},{lies}")

    assert trace == shop.trace(frame)
    assert trace.bridges[0].flow == (
        f"tcp,in_port={shop.web.ofport},vlan_tci=0x0000,dl_src={shop.web.mac},"
        f"dl_dst={shop.cart.mac},nw_src={shop.web.ip},nw_dst={shop.cart.ip},nw_tos=0,"
        "nw_ecn=0,nw_ttl=64,nw_frag=no,tp_src=40009,tp_dst=8080,tcp_flags=syn"
    )
    assert [output.ofport for output in trace.outputs] == [shop.cart.ofport]


def test_a_packet_goes_the_same_way_as_frame_and_as_text(shop: Place) -> None:
    text = f"tcp,nw_src={shop.web.ip},nw_dst={shop.remote.ip},tcp_dst=80"

    trace = shop.trace(ip(shop.web, shop.remote) / TCP(dport=80))

    told = shop.switch(f"in_port={shop.web.ofport},{text},dl_dst={shop.remote.mac}")
    assert trace.steps == told.steps
    assert trace.outputs == told.outputs
    assert trace.outputs[0].ofport == OFPort.VXLAN0


def test_marks_and_what_conntrack_knows_come_from_the_text(shop: Place) -> None:
    metadata = "pkt_mark=5,ct_state=trk|est,ct_zone=2,ct_mark=3"

    trace = shop.trace(
        ip(shop.web, shop.cart) / ICMP(), f"in_port={shop.web.ofport},{metadata}"
    )

    assert trace.bridges[0].flow.startswith(
        "pkt_mark=0x5,ct_state=est|trk,ct_zone=2,ct_mark=0x3,icmp,in_port="
    )


def test_registers_do_not_come_from_the_text(shop: Place) -> None:
    trace = shop.trace(
        ip(shop.web, shop.cart) / ICMP(), f"in_port={shop.web.ofport},reg0=7,metadata=7"
    )

    assert trace.bridges[0].flow.startswith("icmp,in_port=")


def test_where_a_frame_came_in_must_be_said(shop: Place) -> None:
    frame = bytes(ip(shop.web, shop.cart) / ICMP())

    (nowhere, unknown) = shop.switch.ask(
        [Question("", frame=frame), Question("in_port=77", frame=frame)]
    )

    assert isinstance(nowhere, SwitchError)
    assert isinstance(unknown, Trace)
    assert unknown.dropped_by
    assert unknown.dropped_by.table == Table.FROM_POD


def test_what_is_inside_a_tunnel_comes_in_with_the_tunnels_ends_and_vnid(
    shop: Place,
) -> None:
    frame = ip(shop.remote, shop.cart) / TCP(dport=80)

    trace = shop.trace(frame, f"{shop.from_remote},tun_dst={shop.node.host_ip}")

    told = shop.switch(
        f"{shop.from_remote},tcp,nw_src={shop.remote.ip},nw_dst={shop.cart.ip}"
    )
    assert trace.steps == told.steps
    (output,) = trace.outputs
    assert output.ofport == shop.cart.ofport
    assert output.vnid == output.tun_id == shop.cluster.vnid("shop")
    assert output.tun_dst == shop.node.host_ip


def test_a_tunnel_whose_far_end_is_not_said_is_forgotten(shop: Place) -> None:
    """Which is why such a question is refused; here it is asked all the same."""
    frame = bytes(ip(shop.remote, shop.cart) / ICMP()).hex()

    text = shop.switch.appctl(
        "ofproto/trace", shop.switch.bridge, shop.from_remote, frame
    )

    assert "tun_" not in text
    with pytest.raises(SwitchError, match="tun_dst"):
        shop.trace(bytes.fromhex(frame), shop.from_remote)


def test_only_the_first_fragment_has_ports(shop: Place) -> None:
    whole = ip(shop.web, shop.cart) / UDP(dport=53) / Raw(bytes(2000))
    first, later = (
        shop.trace(part)
        for part in fragment(whole, fragsize=1400)  # type: ignore[no-untyped-call]
    )

    assert "nw_frag=first,tp_src=53,tp_dst=53" in first.bridges[0].flow
    assert first.outputs
    assert later.bridges[0].flow.endswith("nw_frag=later")
    assert later.outputs[0].ofport == shop.cart.ofport


def test_arp_is_read_to_its_addresses(shop: Place) -> None:
    trace = shop.trace(who_has(shop.web, shop.cart))

    assert f"arp_spa={shop.web.ip},arp_tpa={shop.cart.ip},arp_op=1" in str(trace)
    assert [output.ofport for output in trace.outputs] == [shop.cart.ofport]


def test_arp_of_other_hardware_has_no_addresses(shop: Place) -> None:
    frame = who_has(shop.web, shop.cart)
    frame[ARP].hwtype = 6

    dropped_by = shop.trace(frame).dropped_by

    assert dropped_by
    assert dropped_by.table == Table.FROM_POD


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (Ether(type=0x88B5) / Raw(bytes(46)), "dl_type=0x88b5"),
        (Dot3() / LLC() / Raw(bytes(46)), "dl_type=0x05ff"),
        (Ether(type=0x8035) / ARP(op=3), "rarp,"),
        (Ether() / IPv6(src="fe80::1", dst="ff02::1", nh=59), "ipv6,"),
    ],
    ids=["experimental", "llc", "rarp", "ipv6"],
)
def test_other_ethertypes_die_in_the_first_table(
    shop: Place, frame: Packet, told: str
) -> None:
    trace = shop.trace(frame)

    assert told in trace.bridges[0].flow
    assert trace.dropped_by
    assert trace.dropped_by.table == Table.DISPATCH


def test_flows_look_through_a_vlan_tag(shop: Place) -> None:
    ethernet, inner = Ether(src=shop.web.mac), ip(shop.web, shop.cart)[IP]

    trace = shop.trace(ethernet / Dot1Q(vlan=5) / inner / ICMP())

    assert "dl_vlan=5" in trace.bridges[0].flow
    assert [output.ofport for output in trace.outputs] == [shop.cart.ofport]


def test_multicast_leaves_for_every_node_and_pod_of_the_namespace(shop: Place) -> None:
    ethernet = Ether(src=shop.web.mac, dst=GROUP_MAC)
    datagram = IP(src=str(shop.web.ip), dst=GROUP) / UDP(dport=5000)

    outputs = shop.trace(ethernet / datagram).outputs

    peers = {node.host_ip for node in shop.cluster.nodes} - {shop.node.host_ip}
    assert {output.tun_dst for output in outputs if output.ofport == 1} == peers
    assert [output.ofport for output in outputs][-1] == shop.cart.ofport
    assert {output.eth_dst for output in outputs} == {GROUP_MAC}


@pytest.mark.parametrize(
    ("field", "value", "length"),
    [("ttl", 64, 30), ("len", 4000, None), ("ihl", 15, None)],
    ids=["cut off", "longer than the frame", "header longer than the frame"],
)
def test_an_ip_header_that_cannot_be_has_no_addresses(
    shop: Place, field: str, value: int, length: int | None
) -> None:
    frame = ip(shop.web, shop.cart) / ICMP()
    setattr(frame[IP], field, value)

    trace = shop.trace(bytes(frame)[:length])

    assert "nw_src=0.0.0.0,nw_dst=0.0.0.0" in trace.bridges[0].flow
    assert trace.dropped_by
    assert trace.dropped_by.table == Table.FROM_POD


def test_checksums_and_padding_are_not_looked_at(shop: Place) -> None:
    frame = ip(shop.web, shop.cart) / UDP(dport=53)
    wrong = frame.copy()
    wrong[IP].chksum, wrong[UDP].chksum = 1, 2

    assert shop.trace(frame) == shop.trace(bytes(wrong) + bytes(18))


def test_what_is_no_ethernet_frame_is_that_questions_error(shop: Place) -> None:
    origin = f"in_port={shop.web.ofport}"

    short, whole = shop.switch.ask(
        [Question(origin, frame=bytes(13)), Question(origin, frame=bytes(14))]
    )

    assert isinstance(short, SwitchError)
    assert "too short for Ethernet" in str(short)
    assert isinstance(whole, Trace)


def test_a_frame_moves_no_counter(shop: Place) -> None:
    trace = shop.trace(ip(shop.web, shop.cart) / ICMP())

    assert trace.outputs
    flows = shop.switch.appctl("bridge/dump-flows", shop.switch.bridge).splitlines()
    assert flows
    assert all("n_packets=0, " in flow for flow in flows)


def test_conntrack_finds_what_the_question_says_for_a_frame_too(
    tracked: Place,
) -> None:
    frame = bytes(ip(tracked.web, tracked.cart) / TCP(dport=80))
    origin = f"in_port={tracked.web.ofport}"

    new, reply = tracked.switch.ask(
        [Question(origin, frame=frame), Question(origin, ("trk,est,rpl",) * 4, frame)]
    )

    assert isinstance(new, Trace)
    assert isinstance(reply, Trace)
    assert [bridge.ct_state for bridge in new.bridges[1:]] == 2 * [{"trk", "new"}]
    assert all("rpl" in bridge.ct_state for bridge in reply.bridges[1:])


def test_conntrack_remembers_a_frame_and_no_text(tracked: Place) -> None:
    """The one thing that a trace changes, and why frames are for idle switches."""
    origin = f"in_port={tracked.web.ofport}"
    text = f"{origin},tcp,nw_src={tracked.web.ip},nw_dst={tracked.cart.ip},tcp_dst=80"

    told = tracked.switch(text)
    after_text = tracked.switch.appctl("dpctl/dump-conntrack")
    traced = tracked.trace(ip(tracked.web, tracked.cart) / TCP(dport=80))
    after_frame = tracked.switch.appctl("dpctl/dump-conntrack")

    assert told.steps == traced.steps
    assert not after_text.strip()
    assert f"orig=(src={tracked.web.ip},dst={tracked.cart.ip}," in after_frame
