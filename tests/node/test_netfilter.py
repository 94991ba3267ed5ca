"""What is read from a running node's rules and routes is what its kernel does.

A datagram is sent, seen at the endpoint it is led to, and every rule that counted it is
compared with the rules that it was said to hit.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, NamedTuple

import pytest

from testbed.host.egress import egress_addresses
from testbed.host.iptables import node_rules
from testbed.host.links import assign_egress_ips, node_links
from testbed.model import Outcome, Transport
from testbed.netfilter import CtState, Kernel, KernelPacket, Routes, Ruleset
from testbed.probe import Host, ask, echoing, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbed.netfilter import Passage
    from testbed.probe import LiveCluster, Node, Place, Pod

PORT = 70
ENDPOINT_PORT = 4070
NODE_PORT = 30070
LOOPBACK = IPv4Address("127.0.0.1")
ENOUGH = 100
"""Datagrams that leave out one of three endpoints once in 10**17 times."""


class Sink(NamedTuple):
    """A pod that takes datagrams, and answers nothing."""

    pod: Pod
    socket: socket.socket


def read(node: Node) -> Kernel:
    """A running node's kernel, with what each rule has counted."""
    return Kernel(
        name=node.name,
        ruleset=Ruleset.parse(node.run("iptables-save", "-c")),
        routes=Routes.parse(
            addresses=node.run("ip", "-json", "address"),
            routes=node.run("ip", "-json", "route", "show", "table", "all"),
        ),
    )


def counted(node: Node) -> Counter[tuple[str, int]]:
    """How many packets each rule has counted, by its table and line."""
    return Counter(
        {
            (rule.table, rule.line): rule.counters[0]
            for rule in Ruleset.parse(node.run("iptables-save", "-c")).rules
            if rule.counters
        }
    )


def hits(passage: Passage) -> Counter[tuple[str, int]]:
    """How often a packet hits each rule, by its table and line."""
    return Counter(
        (hit.table, hit.line)
        for hit in passage.hits
        if hit.matched and hit.line is not None and hit.rule.startswith("-A")
    )


def last_hit(passage: Passage) -> Counter[tuple[str, int]]:
    """The rule that ended a packet's way."""
    line = passage.hits[-1].line
    assert line is not None
    return Counter([(passage.hits[-1].table, line)])


def manifest(endpoints: Sequence[Pod]) -> str:
    """A service of UDP and TCP with a port of the nodes, and who answers for it."""
    metadata = {"name": "sink", "namespace": "lab"}
    protocols = ("UDP", "TCP")
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": "NodePort",
            "ports": [
                {
                    "name": name.lower(),
                    "protocol": name,
                    "port": PORT,
                    "nodePort": NODE_PORT,
                }
                for name in protocols
            ],
        },
    }
    subset = {
        "addresses": [{"ip": str(pod.ip)} for pod in endpoints],
        "ports": [
            {"name": name.lower(), "protocol": name, "port": ENDPOINT_PORT}
            for name in protocols
        ],
    }
    answering = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": metadata,
        "subsets": [subset] if endpoints else [],
    }
    return json.dumps(
        {"apiVersion": "v1", "kind": "List", "items": [service, answering]}
    )


def publish(cluster: LiveCluster, endpoints: Sequence[Pod]) -> IPv4Address:
    """Publish the service; returns its cluster address."""
    cluster.apply(manifest(endpoints))
    address = cluster.service("lab/sink").cluster_ip
    assert address is not None
    return address


def udp_sink() -> socket.socket:
    taking = socket.socket(type=socket.SOCK_DGRAM)
    taking.bind(("0.0.0.0", ENDPOINT_PORT))  # noqa: S104 - inside a namespace
    taking.settimeout(3.0)
    return taking


@pytest.fixture
def node(cluster: LiveCluster) -> Node:
    return cluster.node("oc-01")


@pytest.fixture
def client(cluster: LiveCluster, node: Node) -> Pod:
    return cluster.pods_on(node)[0]


@pytest.fixture
def sinks(cluster: LiveCluster, node: Node) -> Iterator[list[Sink]]:
    """Three pods of the node: what is led to them goes through no tunnel."""
    with contextlib.ExitStack() as stack:
        yield [
            Sink(pod, stack.enter_context(pod.machine.call(udp_sink)))
            for pod in cluster.pods_on(node)[1:4]
        ]


def arrival(sinks: Sequence[Sink], words: bytes) -> tuple[Pod, IPv4Address]:
    """The pod that a datagram arrives at, and the sender that it sees."""
    ready, _, _ = select.select([sink.socket for sink in sinks], [], [], 3.0)
    assert len(ready) == 1, f"{len(ready)} endpoints received it"
    data, (source, _) = ready[0].recvfrom(len(words) + 1)
    assert data == words
    pod = next(sink.pod for sink in sinks if sink.socket is ready[0])
    return pod, IPv4Address(source)


def datagram(source: IPv4Address, destination: IPv4Address, dport: int) -> KernelPacket:
    return KernelPacket(
        source=source, destination=destination, transport=Transport.UDP, dport=dport
    )


def assert_goes_as_said(
    node: Node,
    sinks: Sequence[Sink],
    sender: Place,
    ip: IPv4Address,
    port: int,
) -> None:
    """Send until every endpoint that a passage leads to has received.

    Each time endpoint, sender and counting rules must be those of one passage.
    """
    kernel = read(node)
    if sender is node:
        source = kernel.routes.source_for(ip)
        assert source is not None
        passages = kernel.send(datagram(source, ip, port))
    else:
        by = "eth0" if isinstance(sender, Host) else "tun0"
        passages = kernel.forward(datagram(sender.ip, ip, port), by)
    assert sum(passage.probability for passage in passages) == pytest.approx(1)
    said = {str(passage.packet.destination): passage for passage in passages}
    assert set(said) == {str(sink.pod.ip) for sink in sinks}
    reached = set()
    for number in range(ENOUGH):
        words = f"datagram {number}".encode()
        before = counted(node)

        say(sender, ip, port, words)
        pod, seen_source = arrival(sinks, words)

        passage = said[str(pod.ip)]
        assert seen_source == passage.packet.source
        assert passage.packet.dport == ENDPOINT_PORT
        assert passage.out_interface == "tun0"
        assert counted(node) - before == hits(passage)
        reached.add(str(pod.ip))
        if reached == set(said):
            return
    pytest.fail(f"only {reached} of {set(said)} ever received")


def test_a_pods_datagram_for_a_service_goes_as_said(
    cluster: LiveCluster, node: Node, client: Pod, sinks: list[Sink]
) -> None:
    address = publish(cluster, [sink.pod for sink in sinks])

    assert_goes_as_said(node, sinks, client, address, PORT)


def test_an_endpoints_datagram_for_its_own_service_goes_as_said(
    cluster: LiveCluster, node: Node, sinks: list[Sink]
) -> None:
    address = publish(cluster, [sink.pod for sink in sinks])

    assert_goes_as_said(node, sinks, sinks[0].pod, address, PORT)


def test_a_nodes_own_datagram_for_a_service_goes_as_said(
    cluster: LiveCluster, node: Node, sinks: list[Sink]
) -> None:
    address = publish(cluster, [sink.pod for sink in sinks])

    assert_goes_as_said(node, sinks, node, address, PORT)


def test_a_datagram_from_outside_for_a_node_port_goes_as_said(
    cluster: LiveCluster, node: Node, sinks: list[Sink]
) -> None:
    publish(cluster, [sink.pod for sink in sinks])

    assert_goes_as_said(node, sinks, cluster.external, node.ip, NODE_PORT)


@pytest.mark.parametrize("at", ["its address", "the loopback address"])
def test_a_nodes_own_datagram_for_its_node_port_goes_as_said(
    cluster: LiveCluster, node: Node, sinks: list[Sink], at: str
) -> None:
    publish(cluster, [sink.pod for sink in sinks])
    ip = node.ip if at == "its address" else LOOPBACK

    assert_goes_as_said(node, sinks, node, ip, NODE_PORT)


def test_every_node_leads_a_node_port_to_the_endpoints_that_are_said(
    cluster: LiveCluster,
) -> None:
    """By real connections: who answers, and the address that he sees."""
    pods = [cluster.pods_on(name)[1] for name in ("oc-01", "oc-02", "oc-03")]
    publish(cluster, pods)
    with echoing(pods, [ENDPOINT_PORT]):
        for node in cluster.nodes:
            asking = datagram(cluster.external.ip, node.ip, NODE_PORT)
            passages = read(node).forward(
                replace(asking, transport=Transport.TCP), "eth0"
            )
            said = {
                next(pod.machine.name for pod in pods if pod.ip == out.destination): out
                for out in (passage.packet for passage in passages)
            }
            answered = set()
            for _ in range(ENOUGH):
                answered.add(ask(cluster.external, node.ip, NODE_PORT, "hostname"))
                if answered == set(said):
                    break
            assert answered == set(said)
            seen = ask(cluster.external, node.ip, NODE_PORT, "whoami").split()[0]
            assert {str(out.source) for out in said.values()} == {seen}


def test_an_answer_is_led_back_as_said(
    cluster: LiveCluster, node: Node, client: Pod, sinks: list[Sink]
) -> None:
    address = publish(cluster, [sinks[0].pod])
    kernel = read(node)

    def open_socket() -> socket.socket:
        asking = socket.socket(type=socket.SOCK_DGRAM)
        asking.bind((str(client.ip), 0))
        asking.settimeout(3.0)
        return asking

    with client.machine.call(open_socket) as asking:
        asking.sendto(b"question", (str(address), PORT))
        _, asker = sinks[0].socket.recvfrom(100)
        before = counted(node)
        sinks[0].socket.sendto(b"answer", asker)
        _, (source, sport) = asking.recvfrom(100)
        after = counted(node)
        asked_from = asking.getsockname()[1]

    question = replace(datagram(client.ip, address, PORT), sport=asked_from)
    (passage,) = kernel.forward(question, "tun0")
    answer = KernelPacket(
        source=sinks[0].pod.ip,
        destination=IPv4Address(asker[0]),
        transport=Transport.UDP,
        sport=ENDPOINT_PORT,
        dport=asker[1],
        ct_state=CtState.ESTABLISHED,
    )
    (back,) = kernel.forward(answer, "tun0", answers=passage)
    assert (back.packet.source, back.packet.sport) == (IPv4Address(source), sport)
    assert (back.packet.destination, back.packet.dport) == (client.ip, asked_from)
    assert after - before == hits(back)
    assert passage.reply(answer) == back.packet


@pytest.mark.parametrize(
    ("transport", "refusal"),
    [
        (Transport.TCP, ConnectionRefusedError),
        # Linux fails the very call that sends what OUTPUT does not let through.
        (Transport.UDP, PermissionError),
    ],
)
def test_a_node_is_refused_a_service_without_endpoints_as_said(
    cluster: LiveCluster, transport: Transport, refusal: type[OSError]
) -> None:
    address = publish(cluster, [])
    udp = transport is Transport.UDP
    for node in cluster.nodes:
        kernel, before = read(node), counted(node)
        asking = replace(datagram(node.gateway, address, PORT), transport=transport)

        (passage,) = kernel.send(asking)
        with pytest.raises(refusal):
            ask(node, address, PORT, "hostname", udp=udp)

        assert passage.outcome is Outcome.REJECTED
        assert passage.reject_with == "icmp-port-unreachable"
        assert counted(node) - before >= last_hit(passage)


def test_outsiders_are_refused_a_node_port_without_endpoints_as_said(
    cluster: LiveCluster,
) -> None:
    publish(cluster, [])
    external = cluster.external
    for node in cluster.nodes:
        kernel, before = read(node), counted(node)
        asking = datagram(external.ip, node.ip, NODE_PORT)

        (passage,) = kernel.forward(replace(asking, transport=Transport.TCP), "eth0")
        with pytest.raises(ConnectionRefusedError):
            ask(external, node.ip, NODE_PORT, "hostname")

        assert passage.outcome is Outcome.REJECTED
        assert counted(node) - before >= last_hit(passage)


def test_what_is_computed_of_a_node_leads_packets_as_the_running_node_does(
    cluster: LiveCluster,
) -> None:
    publish(cluster, cluster.pods_on("oc-01")[:3])
    objects = cluster.objects
    for node in cluster.nodes:
        host = objects.node(node.name)
        links = node_links(objects, host)
        egress = assign_egress_ips(objects, egress_addresses(objects, host))
        computed = Kernel(
            name=node.name,
            ruleset=Ruleset.parse(node_rules(objects, host)),
            routes=Routes.from_batch(links + egress),
        )
        running = read(node)

        assert [rule for rule in running.ruleset.rules if rule.unknown] == []
        for sender, by in ((host.subnet[9], "tun0"), (cluster.external.ip, "eth0")):
            for destination, dport in destinations(cluster, node):
                came = datagram(sender, destination, dport)
                assert outcomes(computed.forward(came, by)) == outcomes(
                    running.forward(came, by)
                )
        for destination, dport in destinations(cluster, node):
            if destination == node.gateway:
                # What lo masquerades with depends on which interface was made first.
                continue
            source = running.routes.source_for(destination)
            assert source is not None
            assert computed.routes.source_for(destination) == source
            own = datagram(source, destination, dport)
            assert outcomes(computed.send(own)) == outcomes(running.send(own))


def destinations(cluster: LiveCluster, node: Node) -> Iterator[tuple[IPv4Address, int]]:
    """Services, their ports of the node, pods, nodes and the world."""
    for service in cluster.objects.services:
        if service.cluster_ip is not None:
            for port in service.ports:
                yield service.cluster_ip, port.port
    yield node.ip, NODE_PORT
    yield LOOPBACK, NODE_PORT
    for pod in cluster.pods:
        yield pod.ip, 9
    for other in cluster.nodes:
        yield other.ip, 9
        yield other.gateway, 9
    yield node.subnet.broadcast_address, 9
    yield cluster.external.ip, 9


def outcomes(passages: tuple[Passage, ...]) -> list[tuple[object, ...]]:
    return [
        (
            passage.outcome,
            str(passage.packet),
            passage.packet.mark,
            passage.out_interface,
            passage.next_hop,
            pytest.approx(passage.probability, abs=1e-4),
        )
        for passage in passages
    ]


def test_a_nodes_text_and_json_tell_of_the_same_network(cluster: LiveCluster) -> None:
    for node in cluster.nodes:
        text = Routes.parse(
            addresses=node.run("ip", "address"),
            routes=node.run("ip", "route", "show", "table", "all"),
        )

        assert text == read(node).routes
        assert text.local_addresses >= {node.ip, node.gateway, LOOPBACK}
