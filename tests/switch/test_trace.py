"""Real switches are asked what they would do, and the answers joined over nodes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from testbed.errors import SwitchError
from testbed.model import (
    LabelSelector,
    NetNamespace,
    NetworkPolicy,
    Outcome,
    Plugin,
    Pod,
    Protocol,
    Service,
    ServicePort,
    Traffic,
    Transport,
)
from testbed.openflow import Flow, Table
from testbed.ovs import start_dummy_switches
from testbed.pipeline import node_flows
from testbed.tracing import Packet, Tracer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Cluster, HostSubnet
    from testbed.ovs import DummySwitches

pytestmark = pytest.mark.switch

SHOP, LAB = 4711, 4712
GROUP = IPv4Address("224.1.2.3")
OUTSIDE = IPv4Address("198.51.100.10")
EGRESS_IP = IPv4Address("172.16.1.101")


@pytest.fixture(scope="module")
def switches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DummySwitches]:
    run_dir = tmp_path_factory.mktemp("ovs")
    with start_dummy_switches(run_dir, bridges=4, ofports=(1, 2, 3, 4, 28)) as started:
        yield started


@pytest.fixture(scope="module")
def shop(four_nodes: Cluster) -> Cluster:
    """Two of its pods on node oc-04, one on oc-01, and a stranger beside that."""
    remote = Pod(
        namespace="shop",
        name="cache",
        node="oc-01.test",
        ip=IPv4Address("10.128.0.2"),
        ofport=3,
    )
    stranger = Pod(
        namespace="lab",
        name="stranger",
        node="oc-01.test",
        ip=IPv4Address("10.128.0.3"),
        ofport=4,
    )
    return replace(
        four_nodes,
        network=replace(four_nodes.network, plugin=Plugin.MULTITENANT),
        pods=(*four_nodes.pods, remote, stranger),
        net_namespaces=(
            NetNamespace(name="shop", netid=SHOP, multicast_enabled=True),
            NetNamespace(name="lab", netid=LAB),
        ),
    )


@pytest.fixture(scope="module")
def isolated(shop: Cluster) -> Cluster:
    """The same with a NetworkPolicy that lets nobody reach ``db``."""
    policy = NetworkPolicy(namespace="shop", name="deny", pod_selector=LabelSelector())
    return replace(
        shop,
        network=replace(shop.network, plugin=Plugin.NETWORKPOLICY),
        network_policies=(policy,),
    )


def traced(
    switches: DummySwitches, cluster: Cluster, replies_at: frozenset[str] = frozenset()
) -> Tracer:
    flows = {node.name: node_flows(cluster, node) for node in cluster.nodes}
    return Tracer(cluster, switches.program(flows), replies_at)


def tcp(cluster: Cluster, sender: str, destination: IPv4Address) -> Traffic:
    return Traffic(
        sender=cluster.pod(sender),
        destination=destination,
        transport=Transport.TCP,
        dport=80,
    )


def test_a_packet_to_another_node_is_followed_through_both_bridges(
    switches: DummySwitches, shop: Cluster
) -> None:
    cache = shop.pod("shop/cache")

    result = traced(switches, shop).traffic(tcp(shop, "shop/web", cache.ip))

    assert [leg.node.name for leg in result.legs] == ["oc-04.test", "oc-01.test"]
    (delivery,) = result.deliveries
    assert delivery.receiver == cache
    assert delivery.vnid == SHOP
    assert delivery.source == shop.pod("shop/web").ip


def test_a_drop_on_another_node_names_that_node_table_and_flow(
    switches: DummySwitches, shop: Cluster
) -> None:
    stranger = shop.pod("lab/stranger")

    result = traced(switches, shop).traffic(tcp(shop, "shop/web", stranger.ip))

    assert result.outcome is Outcome.DROPPED
    (drop,) = result.drops
    assert (drop.node.name, drop.step.table) == ("oc-01.test", Table.POLICY)
    assert str(drop) == "oc-01.test: table=80,priority=0 actions=drop"


def test_multicast_branches_to_every_node_and_pod_of_the_vnid(
    switches: DummySwitches, shop: Cluster
) -> None:
    result = traced(switches, shop).traffic(tcp(shop, "shop/web", GROUP))

    receivers = {item.receiver.name for item in result.deliveries}
    assert receivers == {"db", "cache"}
    assert {drop.node.name for drop in result.drops} == {"oc-02.test", "oc-03.test"}


def test_what_leaves_the_cluster_ends_in_the_nodes_kernel(
    switches: DummySwitches, shop: Cluster
) -> None:
    result = traced(switches, shop).traffic(tcp(shop, "shop/web", OUTSIDE))

    (delivery,) = result.deliveries
    assert delivery.receiver == shop.node("oc-04")
    assert delivery.pkt_mark == 0


def test_an_egress_ip_takes_the_packet_to_its_node_and_marks_it_there(
    switches: DummySwitches, shop: Cluster
) -> None:
    with_egress_ip = replace(
        shop,
        host_subnets=tuple(
            replace(host, egress_ips=(EGRESS_IP,))
            if host.name == "oc-02.test"
            else host
            for host in shop.host_subnets
        ),
        net_namespaces=(
            NetNamespace(name="shop", netid=SHOP, egress_ips=(EGRESS_IP,)),
            NetNamespace(name="lab", netid=LAB),
        ),
    )

    result = traced(switches, with_egress_ip).traffic(
        tcp(with_egress_ip, "shop/web", OUTSIDE)
    )

    (delivery,) = result.deliveries
    assert delivery.receiver == with_egress_ip.node("oc-02")
    assert delivery.pkt_mark == (SHOP | 0x01000000) ^ 1


def test_a_service_is_traced_leg_by_leg(switches: DummySwitches, shop: Cluster) -> None:
    tracer = traced(switches, shop)
    node, cache = shop.node("oc-04"), shop.pod("shop/cache")
    service = shop.service("shop/web")
    assert service.cluster_ip
    to_service = Traffic(
        sender=shop.pod("shop/web"),
        destination=service.cluster_ip,
        transport=Transport.TCP,
        dport=443,
    )
    masqueraded = Packet(
        source=node.gateway, destination=cache.ip, transport=Transport.TCP, dport=8443
    )

    first = tracer.traffic(to_service)
    second = tracer.from_node(node, masqueraded)

    assert [item.receiver for item in first.deliveries] == [node]
    assert [item.receiver for item in second.deliveries] == [cache]
    assert second.deliveries[0].vnid == 0


def test_a_service_of_another_vnid_is_dropped_on_the_first_leg(
    switches: DummySwitches, shop: Cluster
) -> None:
    foreign = Service(
        namespace="lab",
        name="api",
        cluster_ip=IPv4Address("172.30.0.9"),
        ports=(ServicePort(name="", protocol=Protocol.TCP, port=80, target_port=8080),),
    )
    cluster = replace(shop, services=(foreign,))

    result = traced(switches, cluster).traffic(
        tcp(cluster, "shop/web", IPv4Address("172.30.0.9"))
    )

    assert [drop.step.table for drop in result.drops] == [Table.POLICY]


def test_a_rogue_is_dropped_by_table_10(switches: DummySwitches, shop: Cluster) -> None:
    forged = Packet(
        source=shop.pod("shop/cache").ip,
        destination=shop.pod("shop/web").ip,
        transport=Transport.ICMP,
    )
    rogue = IPv4Address("172.16.1.66")

    result = traced(switches, shop).from_tunnel(
        shop.node("oc-04"), forged, tun_src=rogue, vnid=SHOP
    )

    assert [drop.step.table for drop in result.drops] == [Table.FROM_VXLAN]


def test_a_policy_drops_a_new_connection_but_no_reply(
    switches: DummySwitches, isolated: Cluster
) -> None:
    to_db = tcp(isolated, "shop/cache", isolated.pod("shop/db").ip)

    new = traced(switches, isolated).traffic(to_db)
    reply = traced(switches, isolated, frozenset({"oc-04.test"})).traffic(to_db)

    assert [str(drop) for drop in new.drops] == [
        "oc-04.test: table=80,priority=0 actions=drop"
    ]
    assert [item.receiver.name for item in reply.deliveries] == ["db"]
    assert not reply.drops


def test_a_reply_is_one_only_where_the_conversation_began(
    switches: DummySwitches, isolated: Cluster
) -> None:
    to_db = tcp(isolated, "shop/cache", isolated.pod("shop/db").ip)

    result = traced(switches, isolated, frozenset({"oc-01.test"})).traffic(to_db)

    assert result.outcome is Outcome.DROPPED


def test_arp_carries_the_pods_mac(switches: DummySwitches, shop: Cluster) -> None:
    who_has = Traffic(
        sender=shop.pod("shop/web"),
        destination=shop.pod("shop/cache").ip,
        transport=Transport.ARP,
    )

    assert traced(switches, shop).traffic(who_has).outcome is Outcome.DELIVERED


@pytest.mark.parametrize("destination", ["198.51.100.10", "10.131.0.1", "224.1.2.3"])
def test_what_a_node_does_not_send_into_tun0_is_not_traced(
    switches: DummySwitches, shop: Cluster, destination: str
) -> None:
    from_node = Traffic(
        sender=shop.node("oc-04"),
        destination=IPv4Address(destination),
        transport=Transport.ICMP,
    )

    result = traced(switches, shop).traffic(from_node)

    assert result.outcome is Outcome.INCONCLUSIVE
    assert not result.legs


def test_a_node_reaches_pods_of_other_nodes_with_vnid_0(
    switches: DummySwitches, shop: Cluster
) -> None:
    node, cache = shop.node("oc-04"), shop.pod("shop/cache")
    from_node = Traffic(sender=node, destination=cache.ip, transport=Transport.ICMP)

    (delivery,) = traced(switches, shop).traffic(from_node).deliveries

    assert (delivery.receiver, delivery.source) == (cache, node.gateway)
    assert delivery.vnid == 0


def test_a_tunnel_to_nowhere_is_an_error_that_names_the_flow(
    switches: DummySwitches, shop: Cluster
) -> None:
    tracer = traced(switches, shop)
    alone: tuple[HostSubnet, ...] = (shop.node("oc-04"),)
    forgetful = Tracer(replace(shop, host_subnets=alone), tracer.bridges)

    with pytest.raises(SwitchError, match=r"table=90.*172\.16\.1\.15"):
        forgetful.traffic(tcp(shop, "shop/web", shop.pod("shop/cache").ip))


def test_a_port_of_no_pod_is_an_error_that_names_the_flow(
    switches: DummySwitches, shop: Cluster
) -> None:
    tracer = traced(switches, shop)
    fewer = replace(shop, pods=shop.pods[:1])

    with pytest.raises(SwitchError, match="ofport 28 is no pod's"):
        Tracer(fewer, tracer.bridges).traffic(
            tcp(shop, "shop/web", shop.pod("shop/db").ip)
        )


def test_a_bridge_forgets_the_flows_of_the_cluster_before(
    switches: DummySwitches, shop: Cluster
) -> None:
    everything = Flow(table=0, priority=65535, actions=("drop",))
    switches.program({"oc-04.test": [everything]})

    result = traced(switches, shop).traffic(
        tcp(shop, "shop/web", shop.pod("shop/db").ip)
    )

    assert result.outcome is Outcome.DELIVERED


def test_a_packet_that_ovs_cannot_read_is_an_error(
    switches: DummySwitches, shop: Cluster
) -> None:
    bridge = traced(switches, shop).bridges["oc-04.test"]

    with pytest.raises(SwitchError, match="no_such_field"):
        bridge("in_port=3,no_such_field=1")
