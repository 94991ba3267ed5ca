"""One cluster with a bit of everything, under each plugin, against reviewed dumps.

``golden/*.flows`` are the whole br0 of node-1; what is not there must not be there.
"""

from __future__ import annotations

from dataclasses import fields, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from testbed.model import (
    Cluster,
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
    Underlay,
    UnderlayHost,
)
from testbed.openflow import parse_dump
from testbed.pipeline import cluster_flows, node_flows

GOLDEN = Path(__file__).parents[1] / "golden"

FIXED = Quirks(**{field.name: False for field in fields(Quirks)})
"""Nothing that 3.11 got wrong."""


def node(name: str, host_ip: str, subnet: str, *egress_ips: str) -> HostSubnet:
    return HostSubnet(
        name=name,
        host_ip=IPv4Address(host_ip),
        subnet=IPv4Network(subnet),
        uid=f"uid-of-{name}",
        egress_ips=tuple(map(IPv4Address, egress_ips)),
    )


def pod(key: str, place: str, ip: str, ofport: int, **labels: str) -> Pod:
    namespace, name = key.split("/")
    return Pod(
        namespace=namespace,
        name=name,
        node=place,
        ip=IPv4Address(ip),
        ofport=ofport,
        labels=labels,
    )


def service(key: str, ip: str | None, *ports: tuple[Protocol, int]) -> Service:
    namespace, name = key.split("/")
    return Service(
        namespace=namespace,
        name=name,
        cluster_ip=IPv4Address(ip) if ip else None,
        ports=tuple(
            ServicePort(
                name=f"{protocol}-{port}", protocol=protocol, port=port, target_port=80
            )
            for protocol, port in ports
        ),
    )


def labelled(**labels: str) -> LabelSelector:
    return LabelSelector(match_labels=tuple(labels.items()))


def policy(
    key: str,
    selector: LabelSelector,
    *ingress: IngressRule,
    affects_ingress: bool = True,
) -> NetworkPolicy:
    namespace, name = key.split("/")
    return NetworkPolicy(
        namespace=namespace,
        name=name,
        pod_selector=selector,
        ingress=ingress,
        affects_ingress=affects_ingress,
    )


def egress_policy(key: str, *rules: EgressRule) -> EgressNetworkPolicy:
    namespace, name = key.split("/")
    return EgressNetworkPolicy(namespace=namespace, name=name, egress=rules)


def allow(to: str) -> EgressRule:
    return EgressRule(allow=True, cidr=IPv4Network(to))


def deny(to: str) -> EgressRule:
    return EgressRule(allow=False, cidr=IPv4Network(to))


def allow_name(name: str) -> EgressRule:
    return EgressRule(allow=True, dns_name=name)


POLICIES = (
    # shop: web from db, from all of bank's money and from 192.0.2.0/29 but one;
    # db from the whole namespace; both closed to all others, cache open.
    policy(
        "shop/to-web",
        labelled(app="web"),
        IngressRule(
            peers=(
                PolicyPeer(pod_selector=labelled(app="db")),
                PolicyPeer(namespace_selector=labelled(team="money")),
                PolicyPeer(
                    pod_selector=labelled(app="cash"),
                    namespace_selector=LabelSelector(),
                ),
                PolicyPeer(
                    ip_block=IPBlock(
                        cidr=IPv4Network("192.0.2.0/29"),
                        excepts=(IPv4Network("192.0.2.4/32"),),
                    )
                ),
            ),
            ports=(PolicyPort(port=80), PolicyPort(protocol="UDP", port=53)),
        ),
    ),
    policy(
        "shop/to-db",
        labelled(app="db"),
        IngressRule(peers=(PolicyPeer(pod_selector=LabelSelector()),)),
    ),
    # bank: closed, but for default, and anyone to port 443.
    policy("bank/closed", LabelSelector()),
    policy(
        "bank/from-default",
        LabelSelector(),
        IngressRule(peers=(PolicyPeer(namespace_selector=labelled(name="default")),)),
        IngressRule(ports=(PolicyPort(port=443),)),
    ),
    # red and blue share a VNID, so red's policy closes both.
    policy("red/closed", LabelSelector()),
    policy("blue/egress-only", LabelSelector(), affects_ingress=False),
    # lab: 3.11 knows no ports by name.
    policy(
        "lab/by-name",
        labelled(app="rat"),
        IngressRule(ports=(PolicyPort(port="http"), PolicyPort(port=8080))),
    ),
    # office has no pod on node-1.
    policy("office/closed", LabelSelector()),
)


def rich_cluster(plugin: Plugin, quirks: Quirks) -> Cluster:
    return Cluster(
        network=ClusterNetwork(
            plugin=plugin,
            cluster_networks=(
                ClusterNetworkEntry(
                    cidr=IPv4Network("10.128.0.0/14"), host_subnet_length=9
                ),
                ClusterNetworkEntry(
                    cidr=IPv4Network("10.200.0.0/16"), host_subnet_length=8
                ),
            ),
            service_network=IPv4Network("172.30.0.0/16"),
        ),
        host_subnets=(
            node("node-1", "172.16.1.11", "10.128.0.0/23", "172.16.1.101"),
            node("node-2", "172.16.1.12", "10.129.0.0/23", "172.16.1.102"),
            node("node-3", "172.16.1.9", "10.200.1.0/24"),
            replace(
                node("f5", "172.16.1.50", "10.130.0.0/23"), is_node=False, fixed_vnid=0
            ),
        ),
        net_namespaces=(
            NetNamespace(name="default", netid=0),
            NetNamespace(
                name="shop",
                netid=42,
                egress_ips=(IPv4Address("172.16.1.101"),),
                multicast_enabled=True,
            ),
            NetNamespace(
                name="bank", netid=1171, egress_ips=(IPv4Address("172.16.1.102"),)
            ),
            NetNamespace(
                name="office",
                netid=77,
                egress_ips=(IPv4Address("172.16.1.103"),),
                multicast_enabled=True,
            ),
            NetNamespace(name="red", netid=500, multicast_enabled=True),
            NetNamespace(name="blue", netid=500),
            NetNamespace(name="lab", netid=900),
        ),
        namespaces=(
            Namespace(name="default", labels={"name": "default"}),
            Namespace(name="shop", labels={"team": "sales"}),
            Namespace(name="bank", labels={"team": "money"}),
            Namespace(name="office"),
            Namespace(name="red"),
            Namespace(name="blue"),
            Namespace(name="lab"),
        ),
        pods=(
            pod("default/registry", "node-1", "10.128.0.6", 6),
            replace(
                pod("default/router", "node-1", "172.16.1.11", 0),
                ofport=None,
                host_network=True,
            ),
            pod("shop/web", "node-1", "10.128.0.2", 3, app="web"),
            pod("shop/db", "node-1", "10.128.0.3", 10, app="db"),
            pod("shop/web-2", "node-2", "10.129.0.2", 3, app="web"),
            pod("shop/cache", "node-2", "10.129.0.5", 6, app="cache"),
            pod("bank/teller", "node-1", "10.128.0.4", 4, app="cash"),
            pod("office/desk", "node-2", "10.129.0.3", 4),
            pod("red/one", "node-1", "10.128.0.5", 5),
            pod("blue/two", "node-2", "10.129.0.4", 5),
            pod("lab/rat", "node-1", "10.128.0.7", 7, app="rat"),
        ),
        services=(
            service("shop/web", "172.30.0.10", (Protocol.TCP, 80), (Protocol.UDP, 53)),
            service("default/docker-registry", "172.30.0.11", (Protocol.TCP, 5000)),
            service("office/desk", "172.30.0.12", (Protocol.TCP, 80)),
            service("shop/headless", None, (Protocol.TCP, 80)),
        ),
        endpoints=(),
        underlay=Underlay(
            subnet=IPv4Network("172.16.1.0/24"),
            gateway=IPv4Address("172.16.1.253"),
            external_network=IPv4Network("198.51.100.0/24"),
            external_gateway=IPv4Address("198.51.100.254"),
            external_hosts=(
                UnderlayHost(
                    name="www-1",
                    ip=IPv4Address("198.51.100.1"),
                    dns_names=("www.example.com",),
                ),
                UnderlayHost(
                    name="www-2",
                    ip=IPv4Address("198.51.100.2"),
                    dns_names=("www.example.com",),
                ),
            ),
        ),
        network_policies=POLICIES,
        egress_network_policies=(
            egress_policy(
                "shop/www-only",
                allow_name("www.example.com"),
                deny("198.51.100.10/32"),
                allow("198.51.100.0/25"),
                deny("0.0.0.0/0"),
            ),
            egress_policy("bank/one", allow("198.51.100.0/24")),
            egress_policy("bank/another", deny("0.0.0.0/0")),
            egress_policy(
                "office/legacy", allow_name("gone.example.com"), deny("0.0.0.0/32")
            ),
            egress_policy("red/shares-its-vnid", deny("198.51.100.0/24")),
            egress_policy("lab/empty"),
            egress_policy("default/ignored", deny("0.0.0.0/0")),
        ),
        quirks=quirks,
    )


BRIDGES = {
    "subnet": rich_cluster(Plugin.SUBNET, Quirks()),
    "multitenant": rich_cluster(Plugin.MULTITENANT, Quirks()),
    "networkpolicy": rich_cluster(Plugin.NETWORKPOLICY, Quirks()),
    "networkpolicy-fixed": rich_cluster(Plugin.NETWORKPOLICY, FIXED),
}


@pytest.mark.parametrize("name", BRIDGES)
def test_node_1_is_programmed_as_reviewed(name: str) -> None:
    cluster = BRIDGES[name]

    flows = node_flows(cluster, cluster.node("node-1"))

    golden = parse_dump((GOLDEN / f"{name}.flows").read_text())
    assert [str(flow) for flow in flows] == [str(dumped.flow) for dumped in golden]


@pytest.mark.parametrize("name", BRIDGES)
def test_flows_come_by_table_and_falling_priority(name: str) -> None:
    flows = node_flows(BRIDGES[name], BRIDGES[name].node("node-1"))

    assert list(flows) == sorted(flows, key=lambda f: (f.table, -f.priority))


@pytest.mark.parametrize("name", BRIDGES)
def test_all_nodes_at_once_are_programmed_as_each_alone(name: str) -> None:
    cluster = BRIDGES[name]

    flows = cluster_flows(cluster)

    assert {node.name: flows.of(node) for node in cluster.nodes} == {
        node.name: node_flows(cluster, node) for node in cluster.nodes
    }
