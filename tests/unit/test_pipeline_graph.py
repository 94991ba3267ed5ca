"""Where packets can go in a bridge, in any cluster: only forward, and never nowhere.

A packet is here no more than its table and its ethertype. That is enough to know which
flows it could hit, and which of them catches all of its kind.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.model import (
    ClusterNetwork,
    ClusterNetworkEntry,
    HostSubnet,
    Plugin,
    Pod,
    Protocol,
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
                for table in gotos(flow)
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
            if not set(gotos(flow)) <= tables
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
        plugin=Plugin.SUBNET,
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
    cidrs = [entry.cidr for entry in network.cluster_networks]
    return tuple(
        HostSubnet(
            name=f"node-{number}",
            host_ip=IPv4Address(f"172.16.1.{number}"),
            subnet=IPv4Network((int(cidr.network_address) + (number << 8), 24)),
            uid=f"uid-{number}",
        )
        for number, cidr in zip(sorted(numbers), itertools.cycle(cidrs), strict=False)
    )


@st.composite
def pods(draw: st.DrawFn, nodes: tuple[HostSubnet, ...]) -> tuple[Pod, ...]:
    places = st.tuples(st.sampled_from(nodes), st.integers(2, 254))
    return tuple(
        Pod(
            namespace="shop",
            name=f"{node.name}-{host}",
            node=node.name,
            ip=node.subnet[host],
            ofport=host + 1,
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
            namespace="shop",
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
        pods=data.draw(pods(nodes)),
        services=data.draw(services()),
    )

    assert problems(node_flows(cluster, data.draw(st.sampled_from(nodes)))) == []


def test_packets_reach_every_table_but_multicast_copies_and_the_version_note(
    four_nodes: Cluster,
) -> None:
    places = out_of_reach(node_flows(four_nodes, four_nodes.node("oc-04")))

    assert {place.table for place in places} == {
        Table.MULTICAST_TO_VXLAN,
        Table.RULE_VERSION,
    }


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
