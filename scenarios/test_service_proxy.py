"""kube-proxy: real connections to services, and who answers them.

Each scenario publishes a service of its own, whose endpoints echo, so that any topology
will do. Under ovs-networkpolicy what pods send to services needs br0 and iptables to
share conntrack.
"""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from ipaddress import IPv4Address
from socket import AF_INET, IPPROTO_UDP, SOCK_DGRAM, socket
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether

from testbed.model import Protocol
from testbed.openflow import Table
from testbed.probe import (
    Tap,
    arp_request,
    ask,
    echoing,
    ip_between,
    say,
    send_syn,
    send_udp,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbed.probe import LiveCluster, Node, Place, Pod

pytestmark = pytest.mark.plugins("subnet", "multitenant", "networkpolicy")

PORT = 70
ECHO = 7
NODE_PORT = 30070
HOST_PORT = 1070
LOOPBACK = IPv4Address("127.0.0.1")
CONTAINER = "172.17.0.2"
ADDRESS = "192.0.2.70"
"""Nobody's: an external IP or a load balancer's address, which the network leads in."""

ENOUGH = 100
"""Conversations that leave out one of three endpoints once in 10**17 times."""

FEW = 12
"""Conversations that all fall to one of three endpoints once in 200,000 times."""


def manifest(
    namespace: str,
    endpoints: Sequence[Place],
    protocols: Sequence[Protocol] = tuple(Protocol),
    **spec: object,
) -> str:
    """A service ``echo`` and who answers for it, as one would write them by hand.

    It has a TCP and a UDP port, unless ``protocols`` says otherwise.
    """
    published = spec.get("type") in ("NodePort", "LoadBalancer")
    node_port = {"nodePort": NODE_PORT} if published else {}
    metadata = {"name": "echo", "namespace": namespace}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "ports": [
                {"name": name.lower(), "protocol": name, "port": PORT} | node_port
                for name in protocols
            ],
        }
        | spec,
    }
    if spec.get("type") == "LoadBalancer":
        service["status"] = {"loadBalancer": {"ingress": [{"ip": ADDRESS}]}}
    subset = {
        "addresses": [{"ip": str(place.ip)} for place in endpoints],
        "ports": [
            {"name": name.lower(), "protocol": name, "port": ECHO} for name in protocols
        ],
    }
    answering = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": metadata,
        "subsets": [subset] if endpoints else [],
    }
    items = [service, answering]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def with_host_port(pod: Pod) -> str:
    """The pod as it is, with a port of its node that leads to its echo."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": pod.pod.name,
                "namespace": pod.pod.namespace,
                "labels": dict(pod.pod.labels),
                "annotations": {"testbed/ofport": str(pod.pod.ofport)},
            },
            "spec": {
                "nodeName": pod.node.name,
                "containers": [
                    {"ports": [{"containerPort": ECHO, "hostPort": HOST_PORT}]}
                ],
            },
            "status": {"phase": "Running", "podIP": str(pod.ip)},
        }
    )


@pytest.fixture
def endpoints(
    neighbour: Pod, remote_pairs: list[tuple[Pod, Pod]]
) -> Iterator[list[Pod]]:
    """Three pods that echo: one on the client's node, two on others."""
    others = {
        receiver.node.name: receiver
        for sender, receiver in remote_pairs
        if sender.node == neighbour.node
    }
    pods = [neighbour, *others.values()][:3]
    with echoing(pods):
        yield pods


@pytest.fixture
def client(cluster: LiveCluster, pod: Pod, request: pytest.FixtureRequest) -> Pod:
    """A pod that asks services."""
    if cluster.objects.network.plugin.tracks_connections:
        request.getfixturevalue("shared_conntrack")
    return pod


def publish(
    cluster: LiveCluster,
    pod: Pod,
    endpoints: Sequence[Place],
    protocols: Sequence[Protocol] = tuple(Protocol),
    **spec: object,
) -> IPv4Address:
    """Publish a service of the pod's namespace; returns its cluster address."""
    cluster.apply(manifest(pod.pod.namespace, endpoints, protocols, **spec))
    address = cluster.service(f"{pod.pod.namespace}/echo").cluster_ip
    assert address is not None
    return address


def all_answer(
    endpoints: Sequence[Pod],
    place: Place,
    ip: IPv4Address,
    port: int = PORT,
    *,
    udp: bool = False,
) -> bool:
    """Whether each of these endpoints, and nobody else, answers sooner or later."""
    wanted = {pod.machine.name for pod in endpoints}
    answered = set()
    for _ in range(ENOUGH):
        answered.add(ask(place, ip, port, "hostname", udp=udp))
        if answered == wanted:
            break
    return answered == wanted


def few_answers(place: Place, ip: IPv4Address, port: int = PORT) -> set[str]:
    """Who answers a few connections."""
    return {ask(place, ip, port, "hostname") for _ in range(FEW)}


def names(pods: Sequence[Pod]) -> set[str]:
    return {pod.machine.name for pod in pods}


def seen_as(place: Place, ip: IPv4Address, port: int = PORT) -> str:
    """The address that an endpoint sees a client with."""
    return ask(place, ip, port, "whoami").split()[0]


def seen_at(cluster: LiveCluster, mark: bytes) -> set[Tap]:
    """The taps that have seen these bytes so far."""
    cluster.recorder.settle()
    return {seen.tap for seen in cluster.recorder.sightings(mark)}


def packets(node: Node, table: str, rule: str) -> int:
    """How many packets a rule of iptables has counted."""
    counted = [
        int(line.split(":")[0].removeprefix("["))
        for line in node.run("iptables-save", "-c", "-t", table).splitlines()
        if rule in line
    ]
    assert len(counted) == 1
    return counted[0]


@contextmanager
def own_address(node: Node, address: IPv4Address) -> Iterator[None]:
    """Have a node own an address for the length of a block."""
    node.machine.configure_links(f"address add {address}/32 dev lo\n")
    try:
        yield
    finally:
        node.machine.configure_links(f"address del {address}/32 dev lo\n")


@contextmanager
def docker_container(cluster: LiveCluster, node: Node) -> Iterator[tuple[Tap, str]]:
    """What a container outside the cluster has: a wire to docker0, and its MAC."""
    links = node.machine.configure_links
    links("link add ctr0 type veth peer name ctr1\n")
    try:
        links("link set ctr0 master docker0 up\nlink set ctr1 up\n")
        tap = Tap.open(node.machine, "ctr1", f"{node.name} container")
        links(f"neigh replace {CONTAINER} lladdr {tap.mac} dev docker0\n")
        (bridge,) = json.loads(node.run("ip", "-json", "link", "show", "docker0"))
        cluster.recorder.watch([tap])
        try:
            yield tap, bridge["address"]
        finally:
            cluster.recorder.forget([tap])
            links(f"neigh del {CONTAINER} dev docker0\n")
    finally:
        links("link del ctr0\n")


@pytest.mark.parametrize("udp", [False, True], ids=["tcp", "udp"])
def test_a_pod_is_answered_by_every_endpoint_in_turn(
    cluster: LiveCluster, client: Pod, endpoints: list[Pod], *, udp: bool
) -> None:
    address = publish(cluster, client, endpoints)

    assert all_answer(endpoints, client, address, udp=udp)


def test_an_endpoint_sees_the_node_of_the_client(
    cluster: LiveCluster, client: Pod, endpoints: list[Pod]
) -> None:
    """ovs-networkpolicy has to see the client itself."""
    address = publish(cluster, client, endpoints)

    keeps_client = cluster.objects.network.plugin.tracks_connections
    source = client.ip if keeps_client else client.node.gateway
    assert seen_as(client, address) == str(source)


def test_a_packet_for_a_service_enters_the_endpoints_node_with_vnid_0(
    cluster: LiveCluster, client: Pod, remote: Pod, vnid: int
) -> None:
    """The node sends it on, no longer the tenant; ovs-networkpolicy remembers him."""
    address = publish(cluster, client, [remote])

    sent = cluster.send(
        client, ip_between(client, address) / UDP(sport=40070, dport=PORT)
    )

    received = sent.arrives(remote)
    assert (received[IP].dst, received[UDP].dport) == (str(remote.ip), ECHO)
    outer = sent.crosses(client.node.wire)
    keeps_client = cluster.objects.network.plugin.tracks_connections
    assert outer["VXLAN"].vni == (vnid if keeps_client else 0)


def test_a_client_with_session_affinity_keeps_its_endpoint(
    cluster: LiveCluster, client: Pod, endpoints: list[Pod]
) -> None:
    address = publish(cluster, client, endpoints, sessionAffinity="ClientIP")

    assert len(few_answers(client, address)) == 1


def test_a_client_with_session_affinity_stays_when_others_come(
    cluster: LiveCluster, client: Pod, endpoints: list[Pod]
) -> None:
    for endpoint in endpoints:
        address = publish(cluster, client, [endpoint], sessionAffinity="ClientIP")
        assert ask(client, address, PORT, "hostname") == endpoint.machine.name

        publish(cluster, client, endpoints, sessionAffinity="ClientIP")

        assert few_answers(client, address) == {endpoint.machine.name}
        cluster.restore()


def test_what_a_pod_sends_to_itself_through_its_service_comes_from_its_node(
    cluster: LiveCluster, pod: Pod
) -> None:
    """Else it would answer itself, past the node that has to translate back."""
    address = publish(cluster, pod, [pod])

    sent = send_udp(cluster, pod, address, PORT)

    received = sent.arrives(pod)
    assert (received[IP].src, received[UDP].dport) == (str(pod.node.gateway), ECHO)


def test_a_pod_reaches_itself_through_its_service(
    cluster: LiveCluster, client: Pod
) -> None:
    address = publish(cluster, client, [client])

    with echoing([client]):
        assert seen_as(client, address) == str(client.node.gateway)


def test_a_node_is_answered_by_every_endpoint_in_turn(
    cluster: LiveCluster, pod: Pod, endpoints: list[Pod]
) -> None:
    address = publish(cluster, pod, endpoints)

    assert all_answer(endpoints, pod.node, address)
    assert seen_as(pod.node, address) == str(pod.node.gateway)


def test_a_service_refuses_a_node_until_it_has_an_endpoint(
    cluster: LiveCluster, pod: Pod, neighbour: Pod
) -> None:
    with echoing([neighbour]):
        address = publish(cluster, pod, [])
        with pytest.raises(ConnectionRefusedError):
            ask(pod.node, address, PORT, "hostname")

        publish(cluster, pod, [neighbour])

        assert ask(pod.node, address, PORT, "hostname") == neighbour.machine.name


def test_what_a_pod_sends_to_a_service_without_endpoints_is_lost_on_its_node(
    cluster: LiveCluster, pod: Pod
) -> None:
    """No rule refuses what is forwarded; the route leads back, and nobody is there."""
    address = publish(cluster, pod, [])

    sent = cluster.send(pod, ip_between(pod, address) / UDP(sport=40071, dport=PORT))

    sent.arrives(pod.node)
    assert cluster.recorder.wait_for(
        lambda seen: (
            seen.tap is pod.node.tap
            and ARP in (frame := Ether(seen.frame))
            and frame[ARP].pdst == str(address)
        ),
        timeout=cluster.patience,
    )
    assert sent.drops()[pod.node.name, int(Table.DISPATCH), "priority=150,in_port=2"]
    assert {seen.tap for seen in sent.received()} == {pod.node.tap}


def test_a_node_port_answers_the_outside_on_every_node(
    cluster: LiveCluster, pod: Pod, endpoints: list[Pod]
) -> None:
    publish(cluster, pod, endpoints, type="NodePort")

    for node in cluster.nodes:
        assert seen_as(cluster.external, node.ip, NODE_PORT) == str(node.gateway)
    assert all_answer(endpoints, cluster.external, pod.node.ip, NODE_PORT)


def test_a_node_port_answers_a_pod_on_every_node(
    cluster: LiveCluster, client: Pod, endpoints: list[Pod]
) -> None:
    publish(cluster, client, endpoints, type="NodePort")

    for node in cluster.nodes:
        answer = ask(client, node.ip, NODE_PORT, "hostname")
        assert answer in names(endpoints)


def test_a_node_port_refuses_until_there_is_an_endpoint(
    cluster: LiveCluster, pod: Pod, neighbour: Pod
) -> None:
    external, ip = cluster.external, pod.node.ip
    refusing = f"-m tcp --dport {NODE_PORT} -j REJECT"
    with echoing([neighbour]):
        publish(cluster, pod, [], type="NodePort")
        with pytest.raises(ConnectionRefusedError):
            ask(external, ip, NODE_PORT, "hostname")
        assert packets(pod.node, "filter", refusing) == 1

        publish(cluster, pod, [neighbour], type="NodePort")

        answer = ask(external, ip, NODE_PORT, "hostname")
        assert answer == neighbour.machine.name


def test_a_local_node_port_keeps_the_clients_address_and_the_nodes_own_endpoints(
    cluster: LiveCluster, pod: Pod, endpoints: list[Pod]
) -> None:
    publish(cluster, pod, endpoints, type="NodePort", externalTrafficPolicy="Local")

    for endpoint in endpoints:
        answered = few_answers(cluster.external, endpoint.node.ip, NODE_PORT)
        assert answered == {endpoint.machine.name}
        source = seen_as(cluster.external, endpoint.node.ip, NODE_PORT)
        assert source == str(cluster.external.ip)


def test_a_local_node_port_is_silent_on_nodes_without_endpoints(
    cluster: LiveCluster, pod: Pod, remote: Pod
) -> None:
    publish(cluster, pod, [remote], type="NodePort", externalTrafficPolicy="Local")
    dropping = "-m mark --mark 0x8000/0x8000 -j DROP"
    dropped = packets(pod.node, "filter", dropping)
    mark = pod.tap.mac.encode()

    say(cluster.external, pod.node.ip, NODE_PORT, mark)

    with echoing([remote]):
        answer = ask(cluster.external, remote.node.ip, NODE_PORT, "hostname")
    assert answer == remote.machine.name
    cluster.external.run("ping", "-c", "1", "-W", "3", str(pod.node.ip))
    assert packets(pod.node, "filter", dropping) == dropped + 1
    assert not {pod.tap for pod in cluster.pods} & seen_at(cluster, mark)


def test_a_local_node_port_refuses_the_nodes_own_pods_where_it_has_no_endpoint(
    cluster: LiveCluster, pod: Pod, remote: Pod
) -> None:
    """What comes from tun0 is let in before anybody looks at the mark."""
    publish(cluster, pod, [remote], type="NodePort", externalTrafficPolicy="Local")

    with pytest.raises(ConnectionRefusedError):
        ask(pod, pod.node.ip, NODE_PORT, "hostname")


def test_a_local_node_port_refuses_containers_of_docker_where_it_has_no_endpoint(
    cluster: LiveCluster, pod: Pod, remote: Pod
) -> None:
    """What comes from docker0 is let in before anybody looks at the mark."""
    node = pod.node
    publish(cluster, pod, [remote], type="NodePort", externalTrafficPolicy="Local")

    with docker_container(cluster, node) as (tap, bridge_mac):
        segment = TCP(sport=40073, dport=NODE_PORT, flags="S")
        packet = IP(src=CONTAINER, dst=str(node.ip)) / segment
        sent = cluster.send(tap, Ether(src=tap.mac, dst=bridge_mac) / packet)

        sent.is_answered(lambda frame: TCP in frame and "R" in frame[TCP].flags)


def test_a_local_node_port_is_forbidden_to_its_own_node_without_an_endpoint(
    cluster: LiveCluster, pod: Pod, remote: Pod
) -> None:
    publish(cluster, pod, [remote], type="NodePort", externalTrafficPolicy="Local")

    with pytest.raises(PermissionError):
        say(pod.node, pod.node.ip, NODE_PORT, b"who is there")


def test_a_local_node_port_answers_its_own_node_by_loopback(
    cluster: LiveCluster, pod: Pod, neighbour: Pod
) -> None:
    publish(cluster, pod, [neighbour], type="NodePort", externalTrafficPolicy="Local")

    with echoing([neighbour]):
        source = seen_as(neighbour.node, LOOPBACK, NODE_PORT)

    assert source == str(neighbour.node.gateway)


def test_an_external_ip_that_the_node_has_itself_answers_the_node(
    cluster: LiveCluster, pod: Pod, endpoints: list[Pod]
) -> None:
    publish(cluster, pod, endpoints, externalIPs=[ADDRESS])
    address = cluster.service(f"{pod.pod.namespace}/echo").external_ips[0]

    with own_address(pod.node, address):
        assert all_answer(endpoints, pod.node, address)


def test_an_external_ip_answers_the_outside(
    cluster: LiveCluster, pod: Pod, endpoints: list[Pod]
) -> None:
    publish(cluster, pod, endpoints, externalIPs=[ADDRESS])
    address = cluster.service(f"{pod.pod.namespace}/echo").external_ips[0]

    with cluster.routed(address, via=pod.node):
        assert seen_as(cluster.external, address) == str(pod.node.gateway)
        assert all_answer(endpoints, cluster.external, address)


def test_an_external_ip_answers_pods(
    cluster: LiveCluster, client: Pod, endpoints: list[Pod]
) -> None:
    publish(cluster, client, endpoints, externalIPs=[ADDRESS])
    address = cluster.service(f"{client.pod.namespace}/echo").external_ips[0]

    assert ask(client, address, PORT, "hostname") in names(endpoints)


def test_a_load_balancer_lets_in_its_source_ranges(
    cluster: LiveCluster, pod: Pod, endpoints: list[Pod]
) -> None:
    ranges = [f"{cluster.external.ip}/32"]
    publish(
        cluster,
        pod,
        endpoints,
        [Protocol.TCP],
        type="LoadBalancer",
        loadBalancerSourceRanges=ranges,
    )
    address = cluster.service(f"{pod.pod.namespace}/echo").load_balancer_ips[0]

    with cluster.routed(address, via=pod.node):
        assert all_answer(endpoints, cluster.external, address)
        assert seen_as(cluster.external, address) == str(pod.node.gateway)


def test_a_load_balancer_passes_others_on_as_if_there_were_no_service(
    cluster: LiveCluster, pod: Pod, endpoints: list[Pod]
) -> None:
    """It marks what is to be dropped, which is done only to what the node would keep.

    So the packet goes back to the gateway, masqueraded, which the first mark was for.
    """
    publish(
        cluster,
        pod,
        endpoints,
        [Protocol.UDP],
        type="LoadBalancer",
        loadBalancerSourceRanges=[f"{pod.node.ip}/32"],
    )
    address = cluster.service(f"{pod.pod.namespace}/echo").load_balancer_ips[0]
    mark = pod.tap.mac.encode()

    with cluster.routed(address, via=pod.node):
        say(cluster.external, address, PORT, mark)
        assert ask(pod.node, address, PORT, "hostname", udp=True)

    assert not {pod.tap for pod in cluster.pods} & seen_at(cluster, mark)
    frames = [seen.frame for seen in cluster.recorder.sightings(mark)]
    packets = [Ether(frame)[IP] for frame in frames]
    on_the_wire = [packet for packet in packets if packet.proto == IPPROTO_UDP]
    assert {packet.dst for packet in on_the_wire} == {str(address)}
    assert str(pod.node.ip) in {packet.src for packet in on_the_wire}


def test_a_load_balancer_whose_address_the_node_has_drops_others(
    cluster: LiveCluster, pod: Pod, endpoints: list[Pod]
) -> None:
    publish(
        cluster,
        pod,
        endpoints,
        [Protocol.UDP],
        type="LoadBalancer",
        loadBalancerSourceRanges=["203.0.113.0/24"],
    )
    address = cluster.service(f"{pod.pod.namespace}/echo").load_balancer_ips[0]
    dropping = "-m mark --mark 0x8000/0x8000 -j DROP"
    dropped = packets(pod.node, "filter", dropping)

    with own_address(pod.node, address), cluster.routed(address, via=pod.node):
        say(cluster.external, address, PORT, b"who is there")
        assert ask(cluster.external, pod.node.ip, NODE_PORT, "hostname", udp=True)

    assert packets(pod.node, "filter", dropping) == dropped + 1


def test_a_local_load_balancer_keeps_the_clients_address(
    cluster: LiveCluster, pod: Pod, endpoints: list[Pod]
) -> None:
    publish(
        cluster,
        pod,
        endpoints,
        [Protocol.TCP],
        type="LoadBalancer",
        externalTrafficPolicy="Local",
    )
    address = cluster.service(f"{pod.pod.namespace}/echo").load_balancer_ips[0]

    for endpoint in endpoints:
        with cluster.routed(address, via=endpoint.node):
            assert seen_as(cluster.external, address) == str(cluster.external.ip)
            answer = ask(cluster.external, address, PORT, "hostname")
            assert answer == endpoint.machine.name


def test_a_host_port_leads_to_its_pod_and_keeps_the_clients_address(
    cluster: LiveCluster, pod: Pod
) -> None:
    cluster.apply(with_host_port(pod))

    with echoing([pod]):
        answer = ask(cluster.external, pod.node.ip, HOST_PORT, "hostname")
        source = seen_as(cluster.external, pod.node.ip, HOST_PORT)

    assert answer == pod.machine.name
    assert source == str(cluster.external.ip)


@pytest.mark.parametrize("by", ["its address", "loopback"])
def test_a_host_port_answers_its_own_node(
    cluster: LiveCluster, pod: Pod, by: str
) -> None:
    """Only what comes from the loopback has to be given another address."""
    cluster.apply(with_host_port(pod))
    node = pod.node
    address, source = (
        (LOOPBACK, node.gateway) if by == "loopback" else (node.ip, node.ip)
    )
    # A node that had to look for the pod would do it from its own address, in vain.
    cluster.send(pod, arp_request(pod, node.gateway)).arrives(node)

    with echoing([pod]):
        assert seen_as(node, address, HOST_PORT) == str(source)


def test_what_a_pod_sends_to_its_own_host_port_comes_from_its_node(
    cluster: LiveCluster, pod: Pod
) -> None:
    cluster.apply(with_host_port(pod))

    sent = send_syn(cluster, pod, pod.node.ip, HOST_PORT)

    received = sent.arrives(pod)
    assert (received[IP].src, received[TCP].dport) == (str(pod.node.gateway), ECHO)


def test_the_outside_knows_no_cluster_addresses(
    cluster: LiveCluster, pod: Pod, endpoints: list[Pod]
) -> None:
    address = publish(cluster, pod, endpoints, type="NodePort")
    external, mark = cluster.external, pod.tap.mac.encode()

    say(external, address, PORT, mark)

    assert ask(external, pod.node.ip, NODE_PORT, "hostname") in names(endpoints)
    assert seen_at(cluster, mark) == {external.tap}


def test_a_conversation_over_udp_goes_on_with_the_endpoint_that_is_left(
    cluster: LiveCluster, pod: Pod, client: Pod, endpoints: list[Pod]
) -> None:
    first, second, _ = endpoints
    address = publish(cluster, pod, [first], [Protocol.UDP])
    with closing(client.machine.call(lambda: socket(AF_INET, SOCK_DGRAM))) as asking:
        asking.settimeout(cluster.patience)
        asking.connect((str(address), PORT))
        asking.send(b"hostname")
        assert asking.recv(100).decode() == first.machine.name

        publish(cluster, pod, [second], [Protocol.UDP])

        asking.send(b"hostname")
        assert asking.recv(100).decode() == second.machine.name
