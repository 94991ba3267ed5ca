"""Who is taken for offline, by what the nodes' flows have counted."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from testbed.emulation.egress_health import (
    EgressHealth,
    Tunnelled,
    answers,
    offline_nodes,
    tunnelled,
)
from testbed.emulation.machines import Kind, Machine
from testbed.model import NetNamespace, Plugin
from testbed.openflow import DumpedFlow, Table
from testbed.ovs import Counters
from testbed.pipeline import node_flows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from testbed.model import Cluster, HostSubnet

EGRESS_NODE = "oc-01.test"
WATCHER = "oc-04.test"
EGRESS_IP = IPv4Address("172.16.1.101")


@pytest.fixture
def cluster(four_nodes: Cluster) -> Cluster:
    """Shop leaves by oc-01, wherever its pods run."""
    return replace(
        four_nodes,
        network=replace(four_nodes.network, plugin=Plugin.NETWORKPOLICY),
        net_namespaces=(NetNamespace(name="shop", netid=42, egress_ips=(EGRESS_IP,)),),
        host_subnets=tuple(
            replace(node, egress_ips=(EGRESS_IP,)) if node.name == EGRESS_NODE else node
            for node in four_nodes.host_subnets
        ),
    )


@dataclass
class Nodes:
    """Nodes that count what a test says, and answer as it says."""

    cluster: Cluster
    sent: int = 0
    received: int = 0
    answering: bool = False
    reads: int = 0
    dialled: list[tuple[str, str]] = field(default_factory=list)
    on_read: Callable[[Nodes], None] = lambda _: None

    def read(self) -> Mapping[str, Counters]:
        """The counters of all nodes; only the watcher has had traffic."""
        self.reads += 1
        self.on_read(self)
        return {node.name: self._counters(node) for node in self.cluster.nodes}

    def dial(self, watcher: HostSubnet, node: HostSubnet) -> bool:
        """Whether the node answers."""
        self.dialled.append((watcher.name, node.name))
        return self.answering

    def _counters(self, node: HostSubnet) -> Counters:
        flows = []
        for flow in node_flows(self.cluster, node):
            n_packets = 0
            if node.name == WATCHER and flow.table == Table.EGRESS_ROUTING:
                n_packets = self.sent
            if node.name == WATCHER and "tun_src=172.16.1.15" in flow.match:
                n_packets = self.received
            flows.append(
                DumpedFlow(flow=flow, n_packets=n_packets, n_bytes=0, duration=1.0)
            )
        return Counters("\n".join(map(str, flows)))


@pytest.fixture
def nodes(cluster: Cluster) -> Nodes:
    return Nodes(cluster)


@pytest.fixture
def look(nodes: Nodes) -> Callable[[], frozenset[str]]:
    """Take a step, and have the cluster know what it found, as whoever applies it."""
    health = EgressHealth()

    def step() -> frozenset[str]:
        offline = health.step(nodes.cluster, read=nodes.read, dial=nodes.dial)
        nodes.cluster = replace(nodes.cluster, offline_nodes=offline)
        return offline

    step()
    return step


def test_a_node_that_was_sent_something_and_sent_nothing_is_offline(
    nodes: Nodes, look: Callable[[], frozenset[str]]
) -> None:
    nodes.sent = 1

    assert look() == {EGRESS_NODE}


def test_a_node_from_which_something_came_is_online(
    nodes: Nodes, look: Callable[[], frozenset[str]]
) -> None:
    nodes.sent, nodes.received = 10, 1

    assert not look()


def test_a_node_that_was_sent_nothing_is_online(
    look: Callable[[], frozenset[str]],
) -> None:
    assert not look()


def test_what_was_counted_before_the_first_look_means_nothing(nodes: Nodes) -> None:
    nodes.sent = 10

    assert not EgressHealth().step(nodes.cluster, read=nodes.read, dial=nodes.dial)


def test_every_look_begins_where_the_last_one_ended(
    nodes: Nodes, look: Callable[[], frozenset[str]]
) -> None:
    nodes.sent, nodes.received = 1, 1
    look()
    nodes.sent = 2

    assert look() == {EGRESS_NODE}


def test_a_silent_node_gets_another_look_and_one_more(
    nodes: Nodes, look: Callable[[], frozenset[str]]
) -> None:
    nodes.sent = 1
    before = nodes.reads

    look()

    assert nodes.reads - before == 3


@pytest.mark.parametrize("retry", [1, 2])
def test_an_answer_that_comes_between_looks_is_in_time(
    nodes: Nodes, look: Callable[[], frozenset[str]], retry: int
) -> None:
    nodes.sent = 1
    answered_at = nodes.reads + 1 + retry

    def answer(nodes: Nodes) -> None:
        nodes.received = int(nodes.reads >= answered_at)

    nodes.on_read = answer

    assert not look()


def test_a_node_without_egress_ips_is_not_watched(
    nodes: Nodes, look: Callable[[], frozenset[str]]
) -> None:
    nodes.cluster = replace(
        nodes.cluster, net_namespaces=(NetNamespace(name="shop", netid=42),)
    )
    nodes.sent = 1

    assert not look()


def test_a_flow_that_led_elsewhere_before_has_not_sent_what_it_counted_then() -> None:
    before = Tunnelled(sent={}, received=0)

    assert not Tunnelled(sent={"priority=100": 5}, received=0).is_silence_since(before)


def test_a_node_that_is_online_is_not_dialled(
    nodes: Nodes, look: Callable[[], frozenset[str]]
) -> None:
    nodes.sent, nodes.received = 1, 1
    look()

    assert not nodes.dialled


def test_a_node_that_is_offline_is_dialled_by_who_found_it_and_stays_so(
    nodes: Nodes, look: Callable[[], frozenset[str]]
) -> None:
    nodes.sent = 1
    look()

    assert look() == {EGRESS_NODE}
    assert nodes.dialled == [(WATCHER, EGRESS_NODE)]


def test_a_node_that_answers_is_online_again(
    nodes: Nodes, look: Callable[[], frozenset[str]]
) -> None:
    nodes.sent = 1
    look()
    nodes.answering = True

    assert not look()


def test_a_node_that_others_found_offline_is_dialled_by_one_that_is_online(
    nodes: Nodes,
) -> None:
    offline = frozenset({EGRESS_NODE, "oc-02.test"})
    cluster = replace(nodes.cluster, offline_nodes=offline)

    EgressHealth().step(cluster, read=nodes.read, dial=nodes.dial)

    assert nodes.dialled == [
        ("oc-03.test", EGRESS_NODE),
        ("oc-03.test", "oc-02.test"),
    ]


def test_only_flows_to_and_from_the_node_count_as_its_traffic(nodes: Nodes) -> None:
    nodes.sent, nodes.received = 3, 2
    counters = nodes.read()[WATCHER]
    by_name = {node.name: node for node in nodes.cluster.nodes}

    assert tunnelled(counters, by_name[EGRESS_NODE]) == Tunnelled(
        sent={"priority=100,ip,reg0=0x2a": 3}, received=2
    )
    assert tunnelled(counters, by_name["oc-02.test"]) == Tunnelled(sent={}, received=0)


def test_what_is_to_be_applied_names_the_nodes_that_are_offline() -> None:
    assert json.loads(offline_nodes(frozenset({EGRESS_NODE}))) == {
        "apiVersion": "testbed/v1",
        "kind": "Underlay",
        "offlineNodes": [EGRESS_NODE],
    }


@pytest.mark.parametrize(
    ("error", "alive"),
    [
        (ConnectionRefusedError(), True),
        (TimeoutError(), False),
        (OSError("no route to host"), False),
    ],
)
def test_to_be_refused_is_an_answer_and_silence_is_none(
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
    *,
    alive: bool,
) -> None:
    def end(*_: object) -> socket.socket:
        raise error

    monkeypatch.setattr(Machine, "call", lambda _, function: function())
    monkeypatch.setattr(socket, "create_connection", end)
    machine = Machine(kind=Kind.NODE, name=WATCHER, pid=1)

    assert answers(machine, cluster.nodes[0]) is alive
