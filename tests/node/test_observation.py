"""What is observed of packets is what became of them, many at once or one alone."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from testbed.errors import NotFoundError
from testbed.model import DOCKER_NETWORK, Outcome, Traffic, Transport
from testbed.openflow import Table
from testbed.probe.observation import observe, observe_alone
from testbed.probe.outage import cut_off
from testbed.probe.receive import Receiver
from testbed.probe.stacks import stacks
from testbed.probe.traffic import party_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Party
    from testbed.probe import LiveCluster, Node, Place, Pod
    from testbed.probe.observation import Observation

SUBNET = pytest.mark.plugins("subnet")
MULTITENANT = pytest.mark.plugins("multitenant")
NETWORKPOLICY = pytest.mark.plugins("networkpolicy")

NODE_PORT = 30070
DEAD, LOCAL = "dead", "local"
SERVICES = f"""\
kind: List
items:
- kind: Service
  metadata: {{name: {DEAD}, namespace: lab}}
  spec:
    type: NodePort
    selector: {{app: nobody}}
    ports: [{{port: 70, protocol: UDP, nodePort: {NODE_PORT}}}]
- kind: Service
  metadata: {{name: {LOCAL}, namespace: lab}}
  spec:
    type: NodePort
    externalTrafficPolicy: Local
    selector: {{app: here}}
    ports: [{{port: 71, protocol: UDP, nodePort: {NODE_PORT + 1}}}]
- kind: Pod
  metadata: {{name: here, namespace: lab, labels: {{app: here}}}}
  spec: {{nodeName: oc-01.test}}
"""
DENIED = """\
kind: NetworkPolicy
metadata: {name: closed, namespace: lab}
spec: {podSelector: {}}
"""


def asked(
    cluster: LiveCluster,
    sender: Place | Party,
    receiver: Place | IPv4Address,
    transport: Transport = Transport.UDP,
    dport: int | None = 9,
) -> Traffic:
    place = getattr(sender, "tap", None)
    return Traffic(
        sender=party_at(cluster.objects, sender) if place else sender,  # type: ignore[arg-type]
        destination=getattr(receiver, "ip", receiver),  # type: ignore[arg-type]
        transport=transport,
        dport=None if transport in (Transport.ARP, Transport.ICMP) else dport,
    )


def seen(cluster: LiveCluster, traffic: Traffic) -> Observation:
    (observed,) = observe(cluster, [traffic], wires=True)
    return observed


def places(observed: Observation) -> list[str]:
    """Where it was seen, and in which direction, in order."""
    return [
        f"{passage.tap} {'sends' if passage.sent else 'receives'}"
        for passage in observed.passages
    ]


def service_ip(cluster: LiveCluster, name: str) -> IPv4Address:
    ip = cluster.service(f"lab/{name}").cluster_ip
    assert ip is not None
    return ip


def everybody(cluster: LiveCluster, transport: Transport) -> list[Traffic]:
    """All pods to all others."""
    return [
        asked(cluster, one, other, transport)
        for one, other in itertools.permutations(cluster.pods, 2)
    ]


@pytest.fixture
def near(cluster: LiveCluster) -> Pod:
    return cluster.pods_on("oc-01")[0]


@pytest.fixture
def neighbour(cluster: LiveCluster) -> Pod:
    return cluster.pods_on("oc-01")[1]


@pytest.fixture
def far(cluster: LiveCluster) -> Pod:
    return cluster.pods_on("oc-02")[0]


@pytest.fixture
def oc_01(cluster: LiveCluster) -> Node:
    return cluster.node("oc-01")


@pytest.fixture
def oc_02(cluster: LiveCluster) -> Node:
    return cluster.node("oc-02")


@contextlib.contextmanager
def without_link(pod: Pod) -> Iterator[None]:
    """Have a pod's eth0 down for the length of a ``with`` block."""
    routes = pod.run("ip", "route").splitlines()
    pod.run("ip", "link", "set", "eth0", "down")
    try:
        yield
    finally:
        pod.run("ip", "link", "set", "eth0", "up")
        pod.machine.configure_links(
            "".join(f"route replace {route}\n" for route in reversed(routes))
        )


@pytest.mark.parametrize(
    ("transport", "answer"),
    [
        (Transport.ICMP, "echo reply"),
        (Transport.UDP, "icmp port-unreachable"),
        (Transport.TCP, "tcp reset"),
        (Transport.SCTP, "icmp protocol-unreachable"),
        (Transport.ARP, "is-at"),
    ],
)
def test_a_pod_on_another_node_receives_and_answers(
    cluster: LiveCluster, near: Pod, far: Pod, transport: Transport, answer: str
) -> None:
    observed = seen(cluster, asked(cluster, near, far, transport))

    assert observed.outcome is Outcome.DELIVERED
    assert observed.receivers == (far.name,)
    assert observed.answer is not None
    assert (observed.answer.kind, observed.answer.source) == (answer, far.ip)
    assert observed.control


@MULTITENANT
def test_passages_show_the_tunnel_and_its_vnid(cluster: LiveCluster) -> None:
    web, remote = cluster.pod("shop/web-1-4wq8n"), cluster.pod("shop/web-1-k9s5c")
    vnid = cluster.objects.vnid("shop")

    observed = seen(cluster, asked(cluster, web, remote))

    here, there = web.node, remote.node
    assert places(observed) == [
        f"{web} sends",
        f"{here.wire} sends",
        f"{there.wire} receives",
        f"{remote} receives",
    ]
    assert [passage.vnid for passage in observed.passages] == [None, vnid, vnid, None]
    for passage in observed.passages[1:3]:
        assert passage.tunnel is not None
        assert passage.tunnel.source == str(here.ip)
        assert passage.tunnel.destination == str(there.ip)
    assert {p.source for p in observed.passages} == {web.ip}
    assert {p.destination for p in observed.passages} == {remote.ip}


def test_passages_show_what_nat_makes_of_a_packet(
    cluster: LiveCluster, near: Pod, oc_01: Node
) -> None:
    external = cluster.external

    observed = seen(cluster, asked(cluster, near, external))

    assert observed.receivers == (external.name,)
    assert places(observed) == [
        f"{near} sends",
        f"{oc_01.tap} receives",
        f"{oc_01.wire} sends",
        f"{external.tap} receives",
    ]
    assert [passage.source for passage in observed.passages] == [
        near.ip,
        near.ip,
        oc_01.ip,
        oc_01.ip,
    ]
    assert observed.answer is not None
    assert observed.answer.source == external.ip


def test_passages_show_the_endpoint_of_a_service(
    cluster: LiveCluster, near: Pod, oc_01: Node
) -> None:
    service = cluster.service("logging/rsyslog")
    assert service.cluster_ip is not None

    observed = seen(cluster, asked(cluster, near, service.cluster_ip, dport=514))

    (receiver,) = observed.receivers
    endpoint = cluster.pod(receiver)
    assert observed.outcome is Outcome.DELIVERED
    assert observed.passages[0].destination == service.cluster_ip
    assert observed.passages[-1].destination == endpoint.ip
    assert observed.passages[-1].source == oc_01.gateway
    assert observed.answer is not None
    assert observed.answer.source == service.cluster_ip


@NETWORKPOLICY
def test_a_packet_that_a_policy_denies_is_dropped_by_its_flow(
    cluster: LiveCluster,
) -> None:
    one, other = cluster.pod("lab/client-a"), cluster.pod("lab/client-b")
    traffic = asked(cluster, one, other)
    before = observe_alone(cluster, traffic)
    cluster.apply(DENIED)

    observed = observe_alone(cluster, traffic)

    assert (before.outcome, before.dropped_by) == (Outcome.DELIVERED, ())
    assert observed.outcome is Outcome.DROPPED
    assert observed.receivers == ()
    assert observed.answer is None
    assert places(observed)[-1] == f"{other.node.wire} receives"
    (drop,) = observed.dropped_by
    assert (drop.node, drop.table) == (other.node.name, Table.POLICY)


def test_a_forged_destination_dies_where_the_flows_say(
    cluster: LiveCluster, near: Pod, oc_02: Node
) -> None:
    observed = observe_alone(
        cluster, asked(cluster, near, cluster.unused_ip(oc_02), Transport.TCP)
    )

    assert observed.outcome is Outcome.DROPPED
    assert observed.dropped_by == ((oc_02.name, Table.IP_TO_LOCAL_POD, "priority=0"),)


def test_a_node_is_told_by_its_own_rules_that_a_service_has_no_endpoints(
    cluster: LiveCluster, oc_01: Node
) -> None:
    cluster.apply(SERVICES)

    observed = seen(cluster, asked(cluster, oc_01, service_ip(cluster, DEAD), dport=70))

    assert observed.outcome is Outcome.REJECTED
    assert observed.receivers == ()
    assert observed.answer is not None
    assert observed.answer.kind == "icmp port-unreachable"
    assert observed.answer.source == oc_01.gateway


def test_a_node_that_its_own_rules_forbid_to_send_has_its_packet_dropped(
    cluster: LiveCluster, oc_02: Node
) -> None:
    cluster.apply(SERVICES)

    observed = seen(cluster, asked(cluster, oc_02, oc_02, dport=NODE_PORT + 1))

    assert observed.outcome is Outcome.DROPPED
    assert observed.answer is None


def test_a_node_port_without_endpoints_is_rejected_by_the_node(
    cluster: LiveCluster, oc_01: Node
) -> None:
    cluster.apply(SERVICES)
    external = cluster.external

    observed = seen(cluster, asked(cluster, external, oc_01, dport=NODE_PORT))

    assert observed.outcome is Outcome.REJECTED
    assert places(observed)[-1] == f"{oc_01.wire} receives"
    assert observed.answer is not None
    assert str(observed.answer) == f"icmp port-unreachable from {oc_01.ip}"


def test_a_port_that_a_node_itself_has_closed_was_reached(
    cluster: LiveCluster, oc_01: Node
) -> None:
    observed = seen(cluster, asked(cluster, cluster.external, oc_01))

    assert observed.outcome is Outcome.DELIVERED
    assert observed.receivers == (oc_01.name,)
    assert str(observed.answer) == f"icmp port-unreachable from {oc_01.ip}"


def test_a_local_node_port_drops_on_a_node_without_endpoint(
    cluster: LiveCluster, oc_02: Node
) -> None:
    cluster.apply(SERVICES)

    observed = seen(
        cluster, asked(cluster, cluster.external, oc_02, dport=NODE_PORT + 1)
    )

    assert observed.outcome is Outcome.DROPPED
    assert places(observed)[-1] == f"{oc_02.wire} receives"


def test_a_node_port_is_the_endpoints_and_not_the_nodes(
    cluster: LiveCluster, oc_01: Node
) -> None:
    cluster.apply(SERVICES)

    observed = seen(
        cluster, asked(cluster, cluster.external, oc_01, dport=NODE_PORT + 1)
    )

    assert observed.receivers == ("lab/here",)
    assert observed.passages[-1].source == cluster.external.ip


@pytest.mark.parametrize("transport", [Transport.ICMP, Transport.TCP, Transport.UDP])
def test_a_node_reaches_pods_from_tun0_and_others_from_its_own_address(
    cluster: LiveCluster, oc_01: Node, oc_02: Node, far: Pod, transport: Transport
) -> None:
    to_pod, to_node, to_world = observe(
        cluster,
        [
            asked(cluster, oc_01, far, transport),
            asked(cluster, oc_01, oc_02, transport),
            asked(cluster, oc_01, cluster.external, transport),
        ],
    )

    assert to_pod.receivers == (far.name,)
    assert to_pod.passages[-1].source == oc_01.gateway
    assert to_node.receivers == (oc_02.name,)
    assert to_world.receivers == (cluster.external.name,)
    assert to_world.passages[-1].source == oc_01.ip
    assert all(item.answer for item in (to_pod, to_node, to_world))


@pytest.mark.parametrize("address", ["own", "gateway", "docker", "127.0.0.1"], ids=str)
def test_a_node_reaches_itself(cluster: LiveCluster, oc_01: Node, address: str) -> None:
    addresses = {"own": oc_01.ip, "gateway": oc_01.gateway, "docker": DOCKER_NETWORK[1]}
    ip = addresses.get(address) or IPv4Address(address)

    observed = seen(cluster, asked(cluster, oc_01, ip, Transport.ICMP))

    assert observed.receivers == (oc_01.name,)
    assert str(observed.answer) == f"echo reply from {ip}"


def test_a_pod_reaches_itself(cluster: LiveCluster, near: Pod) -> None:
    observed = seen(cluster, asked(cluster, near, near))

    assert observed.receivers == (near.name,)
    assert observed.passages == ()


def test_a_pod_reaches_every_nodes_tun0_and_own_address(
    cluster: LiveCluster, near: Pod
) -> None:
    addresses = [ip for node in cluster.nodes for ip in (node.gateway, node.ip)]

    observed = observe(
        cluster, [asked(cluster, near, ip, Transport.TCP) for ip in addresses]
    )

    owners = [(node.name,) for node in cluster.nodes for _ in range(2)]
    assert [item.receivers for item in observed] == owners
    assert {str(item.answer) for item in observed} == {
        f"tcp reset from {ip}" for ip in addresses
    }


def test_a_pod_on_the_host_network_sends_as_its_node(
    cluster: LiveCluster, far: Pod
) -> None:
    sender = next(pod for pod in cluster.objects.pods if pod.host_network)

    observed = seen(cluster, asked(cluster, sender, far))

    assert observed.receivers == (far.name,)
    assert observed.passages[-1].source == cluster.node(sender.node).gateway


def test_an_external_host_and_a_rogue_reach_a_node(
    cluster: LiveCluster, oc_02: Node
) -> None:
    senders = (cluster.external, cluster.rogue)

    observed = observe(
        cluster, [asked(cluster, one, oc_02, Transport.TCP) for one in senders]
    )

    assert [item.receivers for item in observed] == [(oc_02.name,)] * 2
    assert {str(item.answer) for item in observed} == {f"tcp reset from {oc_02.ip}"}


def test_pods_do_not_see_what_the_underlay_has_no_route_for(
    cluster: LiveCluster, far: Pod
) -> None:
    observed = seen(cluster, asked(cluster, cluster.external, far))

    assert observed.outcome is Outcome.DROPPED
    assert observed.control


@NETWORKPOLICY
def test_a_ghost_reaches_a_pod_through_its_tunnel(cluster: LiveCluster) -> None:
    ghost, pod = cluster.ghosts[0], cluster.pod("lab/client-b")
    objects = next(item for item in cluster.objects.ghosts if item.name == ghost.name)

    observed, answered = observe(
        cluster,
        [
            asked(cluster, ghost, pod),
            asked(cluster, ghost, pod, Transport.ARP),
        ],
        wires=True,
    )

    assert observed.receivers == answered.receivers == (pod.name,)
    assert places(observed) == [
        f"{ghost.tap} sends",
        f"{pod.node.wire} receives",
        f"{pod} receives",
    ]
    assert observed.passages[1].vnid == (objects.fixed_vnid or 0)
    assert observed.passages[-1].source == objects.gateway
    assert str(answered.answer) == f"is-at from {pod.ip}"


@NETWORKPOLICY
def test_a_ghost_has_what_comes_through_the_tunnel(cluster: LiveCluster) -> None:
    ghost, pod = cluster.ghosts[0], cluster.pod("lab/client-b")
    objects = next(item for item in cluster.objects.ghosts if item.name == ghost.name)

    observed = seen(cluster, asked(cluster, pod, objects.subnet[9]))

    assert observed.receivers == (ghost.name,)
    assert observed.passages[-1].tunnel is not None


@MULTITENANT
def test_multicast_has_all_its_receivers(cluster: LiveCluster) -> None:
    objects = cluster.objects
    enabled = [item for item in objects.net_namespaces if item.multicast_enabled]
    tenant = [pod for pod in cluster.pods if pod.pod.namespace == enabled[0].name]
    assert len({pod.node for pod in tenant}) > 1
    stranger = next(pod for pod in cluster.pods if pod not in tenant)
    group = IPv4Address("239.1.2.3")

    delivered, dropped = observe(
        cluster, [asked(cluster, tenant[0], group), asked(cluster, stranger, group)]
    )

    assert delivered.outcome is Outcome.DELIVERED
    assert set(delivered.receivers) >= {pod.name for pod in tenant[1:]}
    assert {item.name for item in cluster.pods} & set(delivered.receivers) == {
        pod.name for pod in tenant[1:]
    }
    assert dropped.outcome is Outcome.DROPPED


@pytest.mark.parametrize("wires", [False, True])
def test_a_thousand_at_once_are_all_observed(
    cluster: LiveCluster, *, wires: bool
) -> None:
    traffics = [
        traffic for transport in Transport for traffic in everybody(cluster, transport)
    ]
    assert len(traffics) > 1000

    observed = observe(cluster, traffics, wires=wires)

    assert [item.traffic for item in observed] == traffics
    owners = {pod.ip: (pod.name,) for pod in cluster.pods}
    for item in observed:
        assert item.receivers == owners[item.traffic.destination], item
        assert item.answer is not None, item
        assert item.answer.source == item.traffic.destination


@MULTITENANT
def test_a_batch_of_which_half_is_dropped_is_told_apart(cluster: LiveCluster) -> None:
    traffics = everybody(cluster, Transport.UDP)
    vnids = {pod.ip: cluster.objects.vnid(pod.pod.namespace) for pod in cluster.pods}
    by_ip = {pod.ip: pod for pod in cluster.pods}

    observed = observe(cluster, traffics)

    found = Counter(item.outcome for item in observed)
    assert min(found[Outcome.DELIVERED], found[Outcome.DROPPED]) > len(traffics) / 4
    for item, sender in zip(
        observed,
        (one for one, _ in itertools.permutations(cluster.pods, 2)),
        strict=True,
    ):
        ends = {vnids[sender.ip], vnids[item.traffic.destination]}
        may = len(ends) == 1 or 0 in ends
        assert item.outcome is (Outcome.DELIVERED if may else Outcome.DROPPED), item
        receiver = by_ip[item.traffic.destination].name
        assert item.receivers == ((receiver,) if may else ())
        assert item.control


def test_what_no_window_has_room_for_is_proven_drop_by_drop(
    cluster: LiveCluster, near: Pod, oc_02: Node
) -> None:
    nobody = asked(cluster, near, cluster.unused_ip(oc_02))

    observed = observe(cluster, [nobody] * 500, window=8)

    assert {item.outcome for item in observed} == {Outcome.DROPPED}


def test_a_pod_whose_port_is_down_could_not_send(
    cluster: LiveCluster, near: Pod, neighbour: Pod, far: Pod
) -> None:
    traffics = [asked(cluster, near, far), asked(cluster, neighbour, far)]

    with without_link(near):
        cut, other = observe(cluster, traffics)
    again, _ = observe(cluster, traffics)

    assert cut.outcome is Outcome.INCONCLUSIVE
    assert cut.reason == f"{near} could not send it: Network is down"
    assert not cut.control
    assert other.outcome is Outcome.DELIVERED
    assert again.outcome is Outcome.DELIVERED


def test_a_pod_whose_port_is_down_receives_nothing(
    cluster: LiveCluster, near: Pod, far: Pod
) -> None:
    with without_link(far):
        observed = seen(cluster, asked(cluster, near, far))

    assert observed.outcome is Outcome.DROPPED


def test_nothing_is_known_of_the_way_to_a_node_that_is_cut_off(
    cluster: LiveCluster, near: Pod, neighbour: Pod, far: Pod, oc_02: Node
) -> None:
    cluster.patience = 0.5
    with cut_off(cluster, oc_02):
        lost, local = observe(
            cluster, [asked(cluster, near, far), asked(cluster, near, neighbour)]
        )
    cluster.patience = 3.0

    assert lost.outcome is Outcome.INCONCLUSIVE
    assert lost.reason == (
        f"the positive control from {near} to {oc_02} did not arrive"
    )
    assert not lost.control
    assert local.outcome is Outcome.DELIVERED


def test_a_tap_that_overflows_makes_no_drops(
    cluster: LiveCluster, near: Pod, far: Pod
) -> None:
    size = far.tap.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    far.tap.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    try:
        observed = observe(cluster, [asked(cluster, near, far)] * 1000, window=200)
    finally:
        far.tap.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size // 2)

    for item in observed:
        if item.receivers:
            assert item.outcome is Outcome.DELIVERED
        else:
            assert item.outcome is Outcome.INCONCLUSIVE
            assert item.reason == f"not all was seen that passed {far}"


def test_a_kernel_answers_every_packet_however_many(
    cluster: LiveCluster, near: Pod, far: Pod, oc_02: Node
) -> None:
    traffics = [asked(cluster, near, far), asked(cluster, near, oc_02)] * 100

    observed = observe(cluster, traffics)

    assert Counter(str(item.answer) for item in observed) == {
        f"icmp port-unreachable from {far.ip}": 100,
        f"icmp port-unreachable from {oc_02.ip}": 100,
    }


def test_what_was_observed_is_kept_for_captures(
    cluster: LiveCluster, near: Pod, far: Pod
) -> None:
    observed = seen(cluster, asked(cluster, near, far))

    kept = cluster.recorder.sightings(observed.passages[0].frame[-16:])
    assert set(observed.passages) <= set(kept)


def test_wires_are_watched_when_asked_for(
    cluster: LiveCluster, near: Pod, far: Pod
) -> None:
    traffic = asked(cluster, near, far)
    wires = {node.wire for node in cluster.nodes}

    (without,) = observe(cluster, [traffic])
    (with_wires,) = observe(cluster, [traffic], wires=True)

    assert not wires & {passage.tap for passage in without.passages}
    assert {near.node.wire, far.node.wire} == wires & {
        passage.tap for passage in with_wires.passages
    }
    nonce = without.passages[0].frame[-16:]
    assert not wires & {item.tap for item in cluster.recorder.sightings(nonce)}


def test_a_node_that_asks_on_the_wire_is_answered_by_the_owner_alone(
    cluster: LiveCluster, oc_01: Node, oc_02: Node
) -> None:
    observed = seen(cluster, asked(cluster, oc_01, oc_02, Transport.ARP))

    assert observed.receivers == (oc_02.name,)
    assert str(observed.answer) == f"is-at from {oc_02.ip}"
    assert len(observed.passages) > 2


def test_a_nodes_kernel_is_not_taken_at_its_word_for_tunnels(
    cluster: LiveCluster, oc_01: Node
) -> None:
    port = cluster.objects.network.vxlan_port
    with stacks([oc_01], [Transport.UDP], vxlan_port=port) as kernels:
        listener = kernels[oc_01.name].taps[Transport.UDP].socket
        oc_01.machine.call(lambda: say_to_itself(oc_01, port, b"a tunnel"))
        oc_01.machine.call(lambda: say_to_itself(oc_01, port + 1, b"no tunnel"))

        packets = [packet for _, _, packet in Receiver().read(listener.fileno())]

    assert [packet[28:] for packet in packets] == [b"no tunnel"]


def say_to_itself(node: Node, port: int, words: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker:
        speaker.sendto(words, (str(node.ip), port))


def test_a_stranger_sends_nothing(cluster: LiveCluster, near: Pod) -> None:
    stranger = replace(near.pod, name="stranger")

    with pytest.raises(NotFoundError, match=f"{stranger.key} has no machine"):
        observe(cluster, [asked(cluster, stranger, near)])


def test_an_observation_is_told_as_json(
    cluster: LiveCluster, near: Pod, far: Pod
) -> None:
    told = observe_alone(cluster, asked(cluster, near, far)).as_json()

    assert told["outcome"] == "delivered"
    assert told["receivers"] == [far.name]
    assert told["answer"] == f"icmp port-unreachable from {far.ip}"
