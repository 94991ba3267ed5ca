"""Services and their endpoints: who answers for which address."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from testbed.errors import TopologyError
from testbed.model import EndpointPort, Endpoints, EndpointSubset, Protocol
from testbed.topology import loads

if TYPE_CHECKING:
    from testbed.model import Cluster

NETWORK = """\
kind: ClusterNetwork
metadata: {name: default}
clusterNetworks: [{CIDR: 10.128.0.0/14, hostSubnetLength: 9}]
serviceNetwork: 172.30.0.0/16
pluginName: redhat/openshift-ovs-subnet
---
kind: HostSubnet
metadata: {name: n1}
hostIP: 192.168.1.1
---
"""
HTTP = "[{name: http, containerPort: 8080}]"
UDP_HTTP = "[{name: http, containerPort: 8081, protocol: UDP}]"


def cluster(*documents: str) -> Cluster:
    return loads(NETWORK + "---\n".join(documents), "c.yaml").cluster


def pod(
    name: str, *, ports: str = "[]", namespace: str = "shop", more: str = ""
) -> str:
    return (
        f"kind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, "
        f"labels: {{app: web, pod: {name}}}}}\n"
        f"spec: {{nodeName: n1, containers: [{{ports: {ports}}}]{more}}}\n"
    )


def service(spec: str, name: str = "web") -> str:
    return f"kind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n"


def tcp(port: int, name: str = "") -> EndpointPort:
    return EndpointPort(name=name, protocol=Protocol.TCP, port=port)


def subset(addresses: list[str], *ports: EndpointPort) -> EndpointSubset:
    return EndpointSubset(addresses=tuple(map(IPv4Address, addresses)), ports=ports)


def subsets(*documents: str) -> tuple[EndpointSubset, ...]:
    (endpoints,) = cluster(*documents).endpoints
    return endpoints.subsets


def test_services_get_the_addresses_that_nobody_insists_on() -> None:
    documents = [
        service("{ports: [{port: 80}]}", "a"),
        service("{clusterIP: 172.30.0.3, ports: [{port: 80}]}", "b"),
        service("{clusterIP: None}", "headless"),
        service("{type: ExternalName, externalName: example.com}", "alias"),
        service("{type: NodePort, ports: [{port: 80}]}", "c"),
    ]

    found = {
        s.name: s.cluster_ip and str(s.cluster_ip) for s in cluster(*documents).services
    }

    assert found == {
        "a": "172.30.0.2",
        "b": "172.30.0.3",
        "headless": None,
        "alias": None,
        "c": "172.30.0.4",
    }


def test_a_service_for_which_no_address_is_left_is_an_error() -> None:
    text = NETWORK.replace("172.30.0.0/16", "172.30.0.0/30")
    spec = "{ports: [{port: 80}]}"

    with pytest.raises(TopologyError) as caught:
        loads(f"{text}{service(spec, 'a')}---\n{service(spec, 'b')}", "c.yaml")

    assert caught.value.problems == (
        (
            "c.yaml:17: Service shop/b: spec.clusterIP: "
            "no address is left in 172.30.0.0/30"
        ),
    )


def test_a_target_port_is_the_port_unless_told_otherwise() -> None:
    ports = (
        "{name: a, port: 80}, {name: b, port: 443, targetPort: https, protocol: TCP}"
    )

    (found,) = cluster(service(f"{{ports: [{ports}]}}")).services

    assert [(p.port, p.target_port) for p in found.ports] == [(80, 80), (443, "https")]


def test_the_pods_that_a_selector_matches_answer() -> None:
    documents = [
        pod("a"),
        pod("b"),
        pod("elsewhere", namespace="lab"),
        service("{selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}"),
    ]

    assert subsets(*documents) == (subset(["10.128.0.2", "10.128.0.3"], tcp(8080)),)


def test_a_selector_wants_all_of_its_labels() -> None:
    spec = "{selector: {app: web, pod: b}, ports: [{port: 80}]}"

    assert subsets(pod("a"), pod("b"), service(spec)) == (
        subset(["10.128.0.3"], tcp(80)),
    )


def test_a_host_network_pod_answers_at_its_nodes_address() -> None:
    host_pod = pod("a", more=", hostNetwork: true")

    assert subsets(
        host_pod, service("{selector: {app: web}, ports: [{port: 80}]}")
    ) == (subset(["192.168.1.1"], tcp(80)),)


def test_a_named_target_port_is_each_pods_own() -> None:
    documents = [
        pod("a", ports=HTTP),
        pod("b", ports=HTTP.replace("8080", "9090")),
        pod("c"),
        pod("d", ports=UDP_HTTP),
        service("{selector: {app: web}, ports: [{port: 80, targetPort: http}]}"),
    ]

    assert subsets(*documents) == (
        subset(["10.128.0.2"], tcp(8080)),
        subset(["10.128.0.3"], tcp(9090)),
    )


def test_ports_with_the_same_pods_share_a_subset() -> None:
    ports = "[{name: a, port: 80}, {name: b, port: 443}]"

    assert subsets(
        pod("a"), service(f"{{selector: {{app: web}}, ports: {ports}}}")
    ) == (subset(["10.128.0.2"], tcp(80, "a"), tcp(443, "b")),)


def test_a_headless_service_has_endpoints_too() -> None:
    spec = "{clusterIP: None, selector: {app: web}, ports: [{port: 80}]}"

    assert subsets(pod("a"), service(spec)) == (subset(["10.128.0.2"], tcp(80)),)


def test_a_selector_that_matches_nothing_leaves_endpoints_without_a_subset() -> None:
    spec = "{selector: {app: db}, ports: [{port: 80}]}"

    assert subsets(pod("a"), service(spec)) == ()


def test_a_service_without_a_selector_has_the_endpoints_that_are_given_it() -> None:
    given = (
        "kind: Endpoints\nmetadata: {name: web, namespace: shop}\n"
        "subsets: [{addresses: [{ip: 10.9.9.9}], "
        "notReadyAddresses: [{ip: 10.9.9.8}], ports: [{port: 80}]}]\n"
    )

    without = cluster(service("{ports: [{port: 80}]}")).endpoints
    with_them = cluster(service("{ports: [{port: 80}]}"), given).endpoints

    assert without == ()
    assert with_them == (
        Endpoints(
            namespace="shop", name="web", subsets=(subset(["10.9.9.9"], tcp(80)),)
        ),
    )


def test_endpoints_that_the_file_has_are_not_made_again() -> None:
    given = "kind: Endpoints\nmetadata: {name: web, namespace: shop}\n"
    spec = "{selector: {app: web}, ports: [{port: 80}]}"

    assert subsets(pod("a"), service(spec), given) == ()
