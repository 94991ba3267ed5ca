"""Real switches are asked what they would do, and the answers joined over nodes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from testbed.errors import SwitchError
from testbed.model import (
    EndpointPort,
    Endpoints,
    EndpointSubset,
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
    UnderlayHost,
)
from testbed.openflow import Flow, Table
from testbed.ovs import start_dummy_switches
from testbed.pipeline import node_flows
from testbed.tracing import (
    Arrival,
    BridgeHop,
    KernelHop,
    Loss,
    Packet,
    Tracer,
    WireHop,
    computed_kernels,
)
from testbed.tracing.addresses import GATEWAY

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


def traced(switches: DummySwitches, cluster: Cluster) -> Tracer:
    flows = {node.name: node_flows(cluster, node) for node in cluster.nodes}
    return Tracer(cluster, switches.program(flows), computed_kernels(cluster))


@pytest.fixture(scope="module")
def outside(shop: Cluster) -> Cluster:
    """The same with somebody in the world outside."""
    host = UnderlayHost(name="web", ip=OUTSIDE)
    return replace(shop, underlay=replace(shop.underlay, external_hosts=(host,)))


def with_egress_ip(cluster: Cluster) -> Cluster:
    """The same with ``shop`` leaving by an address of oc-02."""
    return replace(
        cluster,
        host_subnets=tuple(
            replace(host, egress_ips=(EGRESS_IP,))
            if host.name == "oc-02.test"
            else host
            for host in cluster.host_subnets
        ),
        net_namespaces=(
            NetNamespace(name="shop", netid=SHOP, egress_ips=(EGRESS_IP,)),
            NetNamespace(name="lab", netid=LAB),
        ),
    )


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

    result = traced(switches, shop).journey(tcp(shop, "shop/web", cache.ip))

    first, wire, second, end = result.ways[0]
    assert isinstance(first, BridgeHop)
    assert isinstance(second, BridgeHop)
    assert [first.node, second.node] == ["oc-04.test", "oc-01.test"]
    assert isinstance(wire, WireHop)
    assert (wire.sender, wire.receiver, wire.vnid) == ("oc-04.test", "oc-01.test", SHOP)
    assert isinstance(end, Arrival)
    assert end.delivery.receiver == cache
    assert end.delivery.vnid == SHOP
    assert end.delivery.source == shop.pod("shop/web").ip


def test_a_drop_on_another_node_names_that_node_table_and_flow(
    switches: DummySwitches, shop: Cluster
) -> None:
    stranger = shop.pod("lab/stranger")

    result = traced(switches, shop).journey(tcp(shop, "shop/web", stranger.ip))

    assert result.outcome is Outcome.DROPPED
    (loss,) = result.losses
    assert loss.machine == "oc-01.test"
    assert str(loss.flow) == "table=80,priority=0 actions=drop"


def test_multicast_branches_to_every_node_and_pod_of_the_vnid(
    switches: DummySwitches, shop: Cluster
) -> None:
    result = traced(switches, shop).journey(tcp(shop, "shop/web", GROUP))

    receivers = {item.delivery.receiver.name for item in result.arrivals}
    assert receivers == {"db", "cache"}
    assert {loss.machine for loss in result.losses} == {"oc-02.test", "oc-03.test"}


def test_what_leaves_the_cluster_goes_through_kernel_and_gateway(
    switches: DummySwitches, outside: Cluster
) -> None:
    result = traced(switches, outside).journey(tcp(outside, "shop/web", OUTSIDE))

    kernels = [step for step in result.ways[0] if isinstance(step, KernelHop)]
    assert [hop.machine for hop in kernels] == ["oc-04.test", GATEWAY]
    (arrival,) = result.arrivals
    assert arrival.delivery.receiver == outside.underlay.external_hosts[0]
    assert arrival.delivery.source == outside.node("oc-04").host_ip


def test_an_egress_ip_is_the_source_of_what_leaves_by_its_node(
    switches: DummySwitches, outside: Cluster
) -> None:
    cluster = with_egress_ip(outside)

    result = traced(switches, cluster).journey(tcp(cluster, "shop/web", OUTSIDE))

    (arrival,) = result.arrivals
    assert arrival.delivery.source == EGRESS_IP
    kernels = [step for step in result.ways[0] if isinstance(step, KernelHop)]
    assert kernels[0].machine == "oc-02.test"


def test_the_userspace_datapath_hands_no_mark_to_the_kernel(
    switches: DummySwitches, outside: Cluster
) -> None:
    cluster = with_egress_ip(outside)
    system = traced(switches, cluster)
    netdev = Tracer(cluster, system.bridges, system.kernels, is_system=False)

    (arrival,) = netdev.journey(tcp(cluster, "shop/web", OUTSIDE)).arrivals

    assert arrival.delivery.source == cluster.node("oc-02").host_ip


def test_a_service_is_followed_through_the_nodes_kernel_to_every_endpoint(
    switches: DummySwitches, shop: Cluster
) -> None:
    service = shop.service("shop/web")
    assert service.cluster_ip
    addresses = tuple(shop.pod(f"shop/{name}").ip for name in ("db", "cache"))
    subset = EndpointSubset(
        addresses=addresses,
        ports=(EndpointPort(name="https", protocol=Protocol.TCP, port=8443),),
    )
    cluster = replace(
        shop,
        endpoints=(Endpoints(namespace="shop", name="web", subsets=(subset,)),),
    )
    to_service = replace(tcp(cluster, "shop/web", service.cluster_ip), dport=443)

    result = traced(switches, cluster).journey(to_service)

    assert {item.delivery.receiver.name for item in result.arrivals} == {"db", "cache"}
    assert {item.delivery.dport for item in result.arrivals} == {8443}
    assert {item.delivery.source for item in result.arrivals} == {
        cluster.node("oc-04").gateway
    }
    chances = [
        step.passage.probability
        for way in result.ways
        for step in way
        if isinstance(step, KernelHop)
    ]
    assert chances == [0.5, 0.5]


def test_a_service_of_another_vnid_is_dropped_before_the_kernel(
    switches: DummySwitches, shop: Cluster
) -> None:
    foreign = Service(
        namespace="lab",
        name="api",
        cluster_ip=IPv4Address("172.30.0.9"),
        ports=(ServicePort(name="", protocol=Protocol.TCP, port=80, target_port=8080),),
    )
    cluster = replace(shop, services=(foreign,))

    result = traced(switches, cluster).journey(
        tcp(cluster, "shop/web", IPv4Address("172.30.0.9"))
    )

    (loss,) = result.losses
    assert loss.flow
    assert loss.flow.table == Table.POLICY


def test_a_rogue_is_dropped_by_table_10(switches: DummySwitches, shop: Cluster) -> None:
    forged = Packet(
        source=shop.pod("shop/cache").ip,
        destination=shop.pod("shop/web").ip,
        transport=Transport.ICMP,
    )
    rogue = IPv4Address("172.16.1.66")

    (hop,) = traced(switches, shop).rogue(
        shop.node("oc-04"), forged, tun_src=rogue, vnid=SHOP
    )

    (loss,) = hop.then
    assert isinstance(loss, Loss)
    assert loss.flow
    assert loss.flow.table == Table.FROM_VXLAN


def test_a_policy_drops_a_new_connection_but_no_reply(
    switches: DummySwitches, isolated: Cluster
) -> None:
    tracer = traced(switches, isolated)
    to_db = tcp(isolated, "shop/cache", isolated.pod("shop/db").ip)
    from_db = tcp(isolated, "shop/db", isolated.pod("lab/stranger").ip)

    refused, allowed = tracer.journeys([to_db, from_db])

    assert [str(loss.flow) for loss in refused.losses] == [
        "table=80,priority=0 actions=drop"
    ]
    assert allowed.outcome is Outcome.DELIVERED
    answer = tracer.reply(allowed)
    assert answer
    assert [item.delivery.receiver.name for item in answer.arrivals] == ["db"]


def test_what_never_arrived_is_not_answered(
    switches: DummySwitches, isolated: Cluster
) -> None:
    tracer = traced(switches, isolated)
    to_db = tcp(isolated, "shop/cache", isolated.pod("shop/db").ip)

    assert tracer.reply(tracer.journey(to_db)) is None


def test_the_answer_from_outside_finds_back_to_the_pod(
    switches: DummySwitches, outside: Cluster
) -> None:
    tracer = traced(switches, outside)

    answer = tracer.reply(tracer.journey(tcp(outside, "shop/web", OUTSIDE)))

    assert answer
    (arrival,) = answer.arrivals
    assert arrival.delivery.receiver == outside.pod("shop/web")
    assert arrival.delivery.source == OUTSIDE
    assert arrival.delivery.destination == outside.pod("shop/web").ip


def test_arp_carries_the_pods_mac(switches: DummySwitches, shop: Cluster) -> None:
    who_has = Traffic(
        sender=shop.pod("shop/web"),
        destination=shop.pod("shop/cache").ip,
        transport=Transport.ARP,
    )

    assert traced(switches, shop).journey(who_has).outcome is Outcome.DELIVERED


def test_a_node_reaches_pods_of_other_nodes_with_vnid_0(
    switches: DummySwitches, shop: Cluster
) -> None:
    node, cache = shop.node("oc-04"), shop.pod("shop/cache")
    from_node = Traffic(sender=node, destination=cache.ip, transport=Transport.ICMP)

    (arrival,) = traced(switches, shop).journey(from_node).arrivals

    assert (arrival.delivery.receiver, arrival.delivery.source) == (cache, node.gateway)
    assert arrival.delivery.vnid == 0


def test_a_tunnel_to_nowhere_is_a_loss_that_names_the_flow(
    switches: DummySwitches, shop: Cluster
) -> None:
    tracer = traced(switches, shop)
    alone: tuple[HostSubnet, ...] = (shop.node("oc-04"),)
    forgetful = Tracer(
        replace(shop, host_subnets=alone), tracer.bridges, tracer.kernels
    )

    (loss,) = forgetful.journey(tcp(shop, "shop/web", shop.pod("shop/cache").ip)).losses

    assert "172.16.1.15, which no HostSubnet has, by table=90" in loss.reason


def test_a_port_of_no_pod_is_a_loss_that_names_the_port(
    switches: DummySwitches, shop: Cluster
) -> None:
    tracer = traced(switches, shop)
    fewer = replace(shop, pods=shop.pods[:1])

    (loss,) = (
        Tracer(fewer, tracer.bridges, tracer.kernels)
        .journey(tcp(shop, "shop/web", shop.pod("shop/db").ip))
        .losses
    )

    assert loss.reason == "ofport 28 is no pod's"


def test_a_switch_that_cannot_be_asked_is_inconclusive(
    switches: DummySwitches, shop: Cluster
) -> None:
    tracer = traced(switches, shop)
    bridges = {"oc-04.test": tracer.bridges["oc-04.test"]}

    result = Tracer(shop, bridges, tracer.kernels).journey(
        tcp(shop, "shop/web", shop.pod("shop/cache").ip)
    )

    assert result.outcome is Outcome.INCONCLUSIVE
    assert [loss.machine for loss in result.losses] == ["oc-01.test"]


def test_a_bridge_forgets_the_flows_of_the_cluster_before(
    switches: DummySwitches, shop: Cluster
) -> None:
    everything = Flow(table=0, priority=65535, actions=("drop",))
    switches.program({"oc-04.test": [everything]})

    result = traced(switches, shop).journey(
        tcp(shop, "shop/web", shop.pod("shop/db").ip)
    )

    assert result.outcome is Outcome.DELIVERED


def test_a_packet_that_ovs_cannot_read_is_an_error(
    switches: DummySwitches, shop: Cluster
) -> None:
    bridge = switches.program({"oc-04.test": node_flows(shop, shop.node("oc-04"))})[
        "oc-04.test"
    ]

    with pytest.raises(SwitchError, match="no_such_field"):
        bridge("in_port=3,no_such_field=1")
