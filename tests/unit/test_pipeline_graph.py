"""Where packets can go in a bridge, in any cluster: only forward, and never nowhere.

Only conntrack may send one back, to a table it names. A packet is here no more than its
table and its ethertype. That is enough to know which flows it could hit, and which of
them catches all of its kind.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import fields, replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.model import (
    ClusterNetwork,
    ClusterNetworkEntry,
    EgressNetworkPolicy,
    EgressRule,
    HostSubnet,
    IngressRule,
    IPBlock,
    LabelSelector,
    Namespace,
    NetNamespace,
    NetworkPolicy,
    Plugin,
    Pod,
    PolicyPeer,
    PolicyPort,
    Protocol,
    Quirks,
    Service,
    ServicePort,
)
from testbed.openflow import Flow, Table
from testbed.pipeline import node_flows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbed.model import Cluster

ETHERTYPES = {"ip": "ip", "tcp": "ip", "udp": "ip", "arp": "arp"}


class Place(NamedTuple):
    """A table, and the ethertype of a packet in it."""

    table: int
    ethertype: str


NAMESPACES = ["default", "shop", "bank"]
EGRESS_IPS = [IPv4Address("172.16.1.251"), IPv4Address("172.16.1.252")]
RANGES = [
    IPv4Network("0.0.0.0/0"),
    IPv4Network("198.51.100.0/24"),
    IPv4Network("198.51.100.7/32"),
]
LABELS = st.sampled_from([{}, {"app": "web"}, {"app": "db"}])
SELECTORS = st.sampled_from(
    [
        LabelSelector(),
        LabelSelector(match_labels=(("app", "web"),)),
        LabelSelector(match_labels=(("app", "nobody"),)),
    ]
)
PEERS = st.one_of(
    st.builds(
        PolicyPeer,
        pod_selector=st.none() | SELECTORS,
        namespace_selector=st.none() | SELECTORS,
    ),
    st.builds(
        PolicyPeer,
        ip_block=st.builds(
            IPBlock,
            cidr=st.sampled_from(RANGES[:2]),
            excepts=st.lists(st.sampled_from(RANGES[1:]), max_size=2).map(tuple),
        ),
    ),
)
PORTS = st.builds(
    PolicyPort,
    protocol=st.sampled_from(["TCP", "UDP", "SCTP"]),
    port=st.none() | st.sampled_from([53, 80, "http", 65536]),
)

START = [Place(Table.DISPATCH, ethertype) for ethertype in ("ip", "arp", "other")]


def may_hit(flow: Flow, place: Place) -> bool:
    protocols = [ETHERTYPES[word] for word in flow.match if word in ETHERTYPES]
    return flow.table == place.table and protocols in ([], [place.ethertype])


def catches_all(flow: Flow, place: Place) -> bool:
    return may_hit(flow, place) and set(flow.match) <= {place.ethertype}


def gotos(flow: Flow) -> list[int]:
    return [
        int(action.removeprefix("goto_table:"))
        for action in flow.actions
        if action.startswith("goto_table:")
    ]


def tracked_into(flow: Flow) -> list[int]:
    found = (re.fullmatch(r"ct\(.*table=(\d+).*\)", action) for action in flow.actions)
    return [int(match[1]) for match in found if match]


def reachable(flows: Iterable[Flow]) -> set[Place]:
    flows = tuple(flows)
    found: set[Place] = set()
    waiting = list(START)
    while waiting:
        place = waiting.pop()
        if place not in found:
            found.add(place)
            waiting.extend(
                Place(table, place.ethertype)
                for flow in flows
                if may_hit(flow, place)
                for table in (*gotos(flow), *tracked_into(flow))
            )
    return found


def out_of_reach(flows: Iterable[Flow]) -> set[Place]:
    """Tables that no packet enters; were one to, nothing would be known of it."""
    flows = tuple(flows)
    reached = {place.table for place in reachable(flows)}
    return {Place(flow.table, "other") for flow in flows if flow.table not in reached}


def problems(flows: tuple[Flow, ...]) -> list[str]:
    """Every way in which the flows are no proper pipeline."""
    tables = {flow.table for flow in flows}
    selectors = [(flow.table, flow.selector) for flow in flows]
    return [
        *(f"undeclared table: {table}" for table in tables - set(Table)),
        *(
            f"goes to an empty table: {flow}"
            for flow in flows
            if not {*gotos(flow), *tracked_into(flow)} <= tables
        ),
        *(
            f"goes back: {flow}"
            for flow in flows
            if any(table <= flow.table for table in gotos(flow))
        ),
        *(
            f"nothing catches the rest of {place.ethertype} in table {place.table:d}"
            for place in sorted(reachable(flows) | out_of_reach(flows))
            if not any(catches_all(flow, place) for flow in flows)
        ),
        *(
            f"one replaces the other: {selector}"
            for selector in set(selectors)
            if selectors.count(selector) > 1
        ),
    ]


@st.composite
def networks(draw: st.DrawFn) -> ClusterNetwork:
    seconds = draw(st.sets(st.integers(0, 50), min_size=1, max_size=3))
    return ClusterNetwork(
        plugin=draw(st.sampled_from(Plugin)),
        cluster_networks=tuple(
            ClusterNetworkEntry(
                cidr=IPv4Network(f"10.{second}.0.0/16"), host_subnet_length=8
            )
            for second in seconds
        ),
        service_network=IPv4Network("172.30.0.0/16"),
        vxlan_port=draw(st.integers(1, 65535)),
    )


@st.composite
def host_subnets(draw: st.DrawFn, network: ClusterNetwork) -> tuple[HostSubnet, ...]:
    numbers = draw(st.sets(st.integers(1, 250), min_size=1, max_size=12))
    offers = st.lists(st.sampled_from(EGRESS_IPS), max_size=2, unique=True).map(tuple)
    cidrs = [entry.cidr for entry in network.cluster_networks]
    return tuple(
        HostSubnet(
            name=f"node-{number}",
            host_ip=IPv4Address(f"172.16.1.{number}"),
            subnet=IPv4Network((int(cidr.network_address) + (number << 8), 24)),
            uid=f"uid-{number}",
            egress_ips=draw(offers),
        )
        for number, cidr in zip(sorted(numbers), itertools.cycle(cidrs), strict=False)
    )


@st.composite
def pods(draw: st.DrawFn, nodes: tuple[HostSubnet, ...]) -> tuple[Pod, ...]:
    places = st.tuples(st.sampled_from(nodes), st.integers(2, 254))
    return tuple(
        Pod(
            namespace=draw(st.sampled_from(NAMESPACES)),
            name=f"{node.name}-{host}",
            node=node.name,
            ip=node.subnet[host],
            ofport=host + 1,
            labels=draw(LABELS),
        )
        for node, host in draw(st.sets(places, max_size=8))
    )


@st.composite
def services(draw: st.DrawFn) -> tuple[Service, ...]:
    addresses = draw(st.sets(st.integers(1, 65534), max_size=4))
    ports = st.sets(
        st.tuples(st.sampled_from(Protocol), st.integers(1, 65535)), max_size=3
    )
    return tuple(
        Service(
            namespace=draw(st.sampled_from(NAMESPACES)),
            name=f"service-{number}",
            cluster_ip=IPv4Network("172.30.0.0/16")[number],
            ports=tuple(
                ServicePort(
                    name=f"{protocol}-{port}",
                    protocol=protocol,
                    port=port,
                    target_port=port,
                )
                for protocol, port in draw(ports)
            ),
        )
        for number in addresses
    )


@st.composite
def net_namespaces(draw: st.DrawFn) -> tuple[NetNamespace, ...]:
    asks = st.lists(st.sampled_from(EGRESS_IPS), max_size=2, unique=True).map(tuple)
    return tuple(
        NetNamespace(
            name=name,
            netid=draw(st.sampled_from([0, 10, 11, 2**24 - 1])),
            egress_ips=draw(asks),
            multicast_enabled=draw(st.booleans()),
        )
        for name in NAMESPACES
    )


@st.composite
def policies(draw: st.DrawFn) -> tuple[NetworkPolicy, ...]:
    rules = st.builds(
        IngressRule,
        peers=st.lists(PEERS, max_size=3).map(tuple),
        ports=st.lists(PORTS, max_size=3).map(tuple),
    )
    return tuple(
        NetworkPolicy(
            namespace=draw(st.sampled_from(NAMESPACES)),
            name=f"policy-{number}",
            pod_selector=draw(SELECTORS),
            ingress=tuple(draw(st.lists(rules, max_size=2))),
            affects_ingress=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 6)))
    )


@st.composite
def egress_policies(draw: st.DrawFn) -> tuple[EgressNetworkPolicy, ...]:
    rules = st.builds(EgressRule, allow=st.booleans(), cidr=st.sampled_from(RANGES))
    return tuple(
        EgressNetworkPolicy(
            namespace=namespace,
            name="egress",
            egress=tuple(draw(st.lists(rules, max_size=3))),
        )
        for namespace in draw(st.sets(st.sampled_from(NAMESPACES)))
    )


@given(data=st.data())
def test_packets_only_go_forward_and_are_always_caught(
    data: st.DataObject, four_nodes: Cluster
) -> None:
    network = data.draw(networks())
    nodes = data.draw(host_subnets(network))
    cluster = replace(
        four_nodes,
        network=network,
        host_subnets=nodes,
        net_namespaces=data.draw(net_namespaces()),
        namespaces=tuple(
            Namespace(name=name, labels=data.draw(LABELS)) for name in NAMESPACES
        ),
        pods=data.draw(pods(nodes)),
        services=data.draw(services()),
        network_policies=data.draw(policies()),
        egress_network_policies=data.draw(egress_policies()),
        quirks=Quirks(
            **{field.name: data.draw(st.booleans()) for field in fields(Quirks)}
        ),
    )

    assert problems(node_flows(cluster, data.draw(st.sampled_from(nodes)))) == []


@pytest.mark.parametrize("plugin", Plugin)
def test_packets_reach_every_table_but_multicast_copies_and_the_version_note(
    plugin: Plugin, four_nodes: Cluster
) -> None:
    cluster = replace(four_nodes, network=replace(four_nodes.network, plugin=plugin))

    places = out_of_reach(node_flows(cluster, cluster.node("oc-04")))

    assert {place.table for place in places} == {
        Table.MULTICAST_TO_VXLAN,
        Table.RULE_VERSION,
    }


@pytest.mark.parametrize("plugin", [Plugin.MULTITENANT, Plugin.NETWORKPOLICY])
def test_multicast_copies_are_made_where_a_namespace_asks_for_them(
    plugin: Plugin, four_nodes: Cluster
) -> None:
    cluster = replace(
        four_nodes,
        network=replace(four_nodes.network, plugin=plugin),
        net_namespaces=(NetNamespace(name="shop", netid=42, multicast_enabled=True),),
    )

    places = out_of_reach(node_flows(cluster, cluster.node("oc-04")))

    assert {place.table for place in places} == {Table.RULE_VERSION}


def test_only_ip_and_arp_get_beyond_the_first_table(four_nodes: Cluster) -> None:
    places = reachable(node_flows(four_nodes, four_nodes.node("oc-04")))

    assert [place.table for place in places if place.ethertype == "other"] == [
        Table.DISPATCH
    ]


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (
            Flow(table=99, priority=1, actions=("drop",)),
            "undeclared table: 99",
        ),
        (
            Flow(table=Table.DISPATCH, priority=1, actions=("goto_table:25",)),
            "goes to an empty table: ",
        ),
        (
            Flow(table=Table.DISPATCH, priority=1, actions=("ct(commit,table=25)",)),
            "goes to an empty table: ",
        ),
        (
            Flow(table=Table.ROUTING, priority=1, actions=("goto_table:10",)),
            "goes back: ",
        ),
        (
            Flow(table=Table.POLICY, priority=0, actions=("output:1",)),
            "one replaces the other: ",
        ),
    ],
)
def test_a_flow_out_of_place_is_noticed(
    fault: Flow, complaint: str, four_nodes: Cluster
) -> None:
    flows = node_flows(four_nodes, four_nodes.node("oc-04"))

    (problem, *_) = problems((*flows, fault))

    assert problem.startswith(complaint)


@pytest.mark.parametrize(
    ("table", "selector", "complaint"),
    [
        (Table.FROM_POD, "priority=0", "ip in table 20"),
        (Table.ROUTING, "priority=0,arp", "arp in table 30"),
        (Table.MULTICAST_TO_VXLAN, "priority=100", "other in table 111"),
    ],
)
def test_a_missing_table_miss_is_noticed(
    table: Table, selector: str, complaint: str, four_nodes: Cluster
) -> None:
    flows = node_flows(four_nodes, four_nodes.node("oc-04"))
    miss = Flow(table=table, priority=1, match=("pkt_mark=0x1",), actions=("drop",))
    faulty = tuple(
        miss if (flow.table, flow.selector) == (table, selector) else flow
        for flow in flows
    )

    assert f"nothing catches the rest of {complaint}" in problems(faulty)
