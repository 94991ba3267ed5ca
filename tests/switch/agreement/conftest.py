"""Clusters of all shapes, made up; and the switches that take their flows."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import strategies as st

from testbed.model import (
    Cluster,
    ClusterNetwork,
    ClusterNetworkEntry,
    EgressNetworkPolicy,
    EgressRule,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    HostPort,
    HostSubnet,
    IngressRule,
    IPBlock,
    LabelRequirement,
    LabelSelector,
    Namespace,
    NetNamespace,
    NetworkPolicy,
    Operator,
    Plugin,
    Pod,
    PolicyPeer,
    PolicyPort,
    Protocol,
    Quirks,
    Service,
    ServicePort,
    Underlay,
    UnderlayHost,
)
from testbed.ovs import DummySwitches, start_dummy_switches
from testbed.topology import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


Clusters: TypeAlias = "Callable[..., st.SearchStrategy[Cluster]]"
TOPOLOGIES = Path(__file__).parents[3] / "topologies"
EGRESS_IPS = [IPv4Address(f"192.168.10.{number}") for number in (101, 102, 103)]
UNDERLAY = Underlay(
    subnet=IPv4Network("192.168.10.0/24"),
    gateway=IPv4Address("192.168.10.253"),
    external_network=IPv4Network("198.51.100.0/24"),
    external_gateway=IPv4Address("198.51.100.1"),
    external_hosts=(
        UnderlayHost(
            name="web", ip=IPv4Address("198.51.100.10"), dns_names=("web.example",)
        ),
        UnderlayHost(name="mail", ip=IPv4Address("198.51.100.11")),
    ),
)
EXTERNAL = [IPv4Address("198.51.100.10"), IPv4Address("203.0.113.80")]
HOST_PORT = HostPort(host_port=8053, container_port=53, protocol=Protocol.UDP)
# Two of each, so that chance lets selectors and objects meet.
APPS = st.sampled_from(["db", "web"])
PORTS = st.sampled_from([53, 80])
PROTOCOLS = st.sampled_from(Protocol)


@pytest.fixture(scope="module")
def switches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DummySwitches]:
    """As many bridges and ports as a generated cluster needs; more only cost time."""
    run_dir = tmp_path_factory.mktemp("ovs")
    with start_dummy_switches(run_dir, bridges=3, ofports=range(1, 11)) as started:
        yield started


@st.composite
def selectors(draw: st.DrawFn, key: str, values: tuple[str, ...]) -> LabelSelector:
    """Select everything, by label, or by an expression."""
    match draw(st.integers(0, 2)):
        case 0:
            return LabelSelector()
        case 1:
            labels = ((key, draw(st.sampled_from(values))),)
            return LabelSelector(match_labels=labels)
        case _:
            operator = draw(st.sampled_from(Operator))
            takes_values = operator in (Operator.IN, Operator.NOT_IN)
            requirement = LabelRequirement(
                key=key,
                operator=operator,
                values=(draw(st.sampled_from(values)),) if takes_values else (),
            )
            return LabelSelector(match_expressions=(requirement,))


POD_SELECTORS = selectors("app", ("db", "web"))
NAMESPACE_SELECTORS = selectors("team", ("blue", "red"))
BLOCKS = st.sampled_from(
    [
        IPBlock(cidr=IPv4Network("0.0.0.0/0")),
        IPBlock(
            cidr=IPv4Network("10.128.0.0/15"),
            excepts=(IPv4Network("10.128.0.0/30"), IPv4Network("10.129.0.2/32")),
        ),
    ]
)
PEERS = st.one_of(
    st.builds(PolicyPeer, pod_selector=POD_SELECTORS),
    st.builds(PolicyPeer, namespace_selector=NAMESPACE_SELECTORS),
    st.builds(
        PolicyPeer,
        pod_selector=POD_SELECTORS,
        namespace_selector=NAMESPACE_SELECTORS,
    ),
    st.builds(PolicyPeer, ip_block=BLOCKS),
)
POLICY_PORTS = st.one_of(
    st.builds(PolicyPort, protocol=st.sampled_from(["TCP", "UDP"]), port=PORTS),
    st.builds(
        PolicyPort,
        protocol=st.sampled_from(["TCP", "SCTP"]),
        port=st.sampled_from([80, "http", None]),
    ),
)
RULES = st.builds(
    IngressRule,
    peers=st.lists(PEERS, max_size=2).map(tuple),
    ports=st.lists(POLICY_PORTS, max_size=2).map(tuple),
)
EGRESS_RULES = st.one_of(
    st.builds(
        EgressRule,
        allow=st.booleans(),
        cidr=st.sampled_from(
            [
                IPv4Network("0.0.0.0/0"),
                IPv4Network("198.51.100.10/32"),
                IPv4Network("198.51.100.0/24"),
                IPv4Network("192.168.10.0/24"),
            ]
        ),
    ),
    st.builds(
        EgressRule,
        allow=st.booleans(),
        dns_name=st.sampled_from(["web.example", "nobody.example"]),
    ),
)


@st.composite
def host_subnets(draw: st.DrawFn) -> tuple[HostSubnet, ...]:
    """Two or three nodes that offer egress IPs, and perhaps a ghost."""
    nodes = [
        HostSubnet(
            name=f"node-{number}",
            host_ip=UNDERLAY.subnet[10 + number],
            subnet=IPv4Network(f"10.{127 + number}.0.0/23"),
            uid=f"uid-{number}",
            egress_ips=tuple(draw(st.sets(st.sampled_from(EGRESS_IPS), max_size=2))),
        )
        for number in range(1, draw(st.integers(2, 3)) + 1)
    ]
    if draw(st.integers(0, 3)) == 0:
        ghost = HostSubnet(
            name="ghost",
            host_ip=UNDERLAY.subnet[50],
            subnet=IPv4Network("10.131.0.0/23"),
            uid="uid-ghost",
            is_node=False,
            fixed_vnid=draw(st.sampled_from([None, 0, 1001])),
        )
        nodes.append(ghost)
    return tuple(nodes)


@st.composite
def pods_of(
    draw: st.DrawFn, names: tuple[str, ...], hosts: tuple[HostSubnet, ...]
) -> tuple[Pod, ...]:
    """One pod in each namespace at least, each on some node."""
    nodes = [host for host in hosts if host.is_node]
    count: Counter[str] = Counter()
    pods = []
    more = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3))
    for number, namespace in enumerate((*names, *more)):
        node = draw(st.sampled_from(nodes))
        host_network = number > 0 and draw(st.integers(0, 9)) == 0
        index = count[node.name]
        count[node.name] += not host_network
        pods.append(
            Pod(
                namespace=namespace,
                name=f"pod-{number}",
                node=node.name,
                ip=node.host_ip if host_network else node.subnet[2 + index],
                ofport=None if host_network else 3 + index,
                labels=draw(st.one_of(st.just({}), APPS.map(lambda app: {"app": app}))),
                host_network=host_network,
                host_ports=draw(st.sampled_from([(), (HOST_PORT,)]))
                if number == 0
                else (),
            )
        )
    return tuple(pods)


@st.composite
def services_of(
    draw: st.DrawFn, names: tuple[str, ...], pods: tuple[Pod, ...]
) -> list[tuple[Service, Endpoints]]:
    """Services with endpoints in their own namespace, in others, and outside."""
    addresses = [*dict.fromkeys(pod.ip for pod in pods), IPv4Address("198.51.100.10")]
    found = []
    for number in range(draw(st.integers(0, 2))):
        name, namespace = f"service-{number}", draw(st.sampled_from(names))
        protocol, port = draw(PROTOCOLS), draw(PORTS)
        target = draw(st.sampled_from([80, 8080]))
        chosen = draw(st.lists(st.sampled_from(addresses), unique=True, max_size=2))
        subset = EndpointSubset(
            addresses=tuple(chosen),
            ports=(EndpointPort(name="main", protocol=protocol, port=target),),
        )
        service = Service(
            namespace=namespace,
            name=name,
            cluster_ip=IPv4Address(f"172.30.0.{10 + number}"),
            ports=(
                ServicePort(
                    name="main",
                    protocol=protocol,
                    port=port,
                    target_port=target,
                    node_port=draw(st.sampled_from([None, 30080 + number])),
                ),
            ),
            external_ips=tuple(draw(st.sets(st.sampled_from(EXTERNAL), max_size=1))),
            local_only=draw(st.booleans()),
        )
        subsets = (subset,) if chosen else ()
        endpoints = Endpoints(namespace=namespace, name=name, subsets=subsets)
        found.append((service, endpoints))
    return found


@st.composite
def generated_clusters(draw: st.DrawFn, plugin: Plugin, *, shared: bool) -> Cluster:
    """Clusters of all shapes, small enough to try all traffic; VNIDs may be shared."""
    names = ("default", "a", "b", "c")[: draw(st.integers(2, 4))]
    in_namespace = st.sampled_from(names)
    hosts = draw(host_subnets())
    pods = draw(pods_of(names, hosts))
    services = draw(services_of(names, pods))
    vnids = [0, *draw(st.permutations([1001, 1002, 1003]))]
    if shared:
        vnids[1:] = draw(st.lists(st.sampled_from(vnids), min_size=3, max_size=3))
    quirks = {item.name: draw(st.booleans()) for item in fields(Quirks)}
    return Cluster(
        network=ClusterNetwork(
            plugin=plugin,
            cluster_networks=(
                ClusterNetworkEntry(
                    cidr=IPv4Network("10.128.0.0/14"), host_subnet_length=9
                ),
            ),
            service_network=IPv4Network("172.30.0.0/16"),
        ),
        host_subnets=hosts,
        net_namespaces=tuple(
            NetNamespace(
                name=name,
                netid=vnids[number],
                egress_ips=tuple(
                    draw(st.lists(st.sampled_from(EGRESS_IPS), unique=True, max_size=2))
                    if draw(st.booleans())
                    else ()
                ),
                multicast_enabled=draw(st.booleans()),
            )
            for number, name in enumerate(names)
        ),
        namespaces=tuple(
            Namespace(
                name=name, labels={"team": draw(st.sampled_from(["blue", "red"]))}
            )
            for name in names
        ),
        pods=pods,
        services=tuple(service for service, _ in services),
        endpoints=tuple(endpoints for _, endpoints in services),
        underlay=UNDERLAY,
        network_policies=tuple(
            NetworkPolicy(
                namespace=draw(in_namespace),
                name=f"policy-{number}",
                pod_selector=draw(POD_SELECTORS),
                ingress=tuple(draw(st.lists(RULES, max_size=2))),
                affects_ingress=draw(st.integers(0, 4)) > 0,
            )
            for number in range(draw(st.integers(0, 4)))
        ),
        egress_network_policies=tuple(
            EgressNetworkPolicy(
                namespace=draw(in_namespace),
                name=f"egress-{number}",
                egress=tuple(draw(st.lists(EGRESS_RULES, max_size=3))),
            )
            for number in range(draw(st.integers(0, 2)))
        ),
        quirks=Quirks(**quirks),
        offline_nodes=frozenset(
            draw(st.sets(st.sampled_from([host.name for host in hosts]), max_size=1))
        ),
    )


@pytest.fixture(scope="session")
def clusters() -> Clusters:
    """The strategy, called with a plugin and whether VNIDs may be shared."""
    return generated_clusters


@pytest.fixture(scope="module")
def furnished() -> Cluster:
    """A small cluster with an object for each table to act on."""
    cluster = load(TOPOLOGIES / "two-node.yaml").cluster
    clients = LabelSelector(match_labels=(("app", "client"),))
    policy = NetworkPolicy(
        namespace="lab",
        name="only-clients",
        pod_selector=LabelSelector(match_labels=(("app", "hello"),)),
        ingress=(IngressRule(peers=(PolicyPeer(pod_selector=clients),)),),
    )
    rule = EgressRule(allow=False, cidr=IPv4Network("198.51.100.10/32"))
    return replace(
        cluster,
        underlay=UNDERLAY,
        host_subnets=tuple(
            replace(host, egress_ips=(EGRESS_IPS[0],)) if number else host
            for number, host in enumerate(cluster.host_subnets)
        ),
        net_namespaces=(
            NetNamespace(
                name="lab",
                netid=1001,
                egress_ips=(EGRESS_IPS[0],),
                multicast_enabled=True,
            ),
        ),
        network_policies=(policy,),
        egress_network_policies=(
            EgressNetworkPolicy(namespace="lab", name="no-web", egress=(rule,)),
        ),
    )
