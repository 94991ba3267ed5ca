"""What an API server refuses although each field by itself is right."""

from __future__ import annotations

import pytest

from testbed.errors import TopologyError
from testbed.topology import Topology, loads

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
A_80 = "{name: a, port: 80}"


def service(spec: str, name: str = "web") -> str:
    return f"kind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n"


def pod(name: str, spec: str) -> str:
    return f"kind: Pod\nmetadata: {{name: {name}}}\nspec: {{nodeName: n1, {spec}}}\n"


def host_port(number: int, protocol: str = "TCP", container_port: int = 80) -> str:
    return (
        f"{{containerPort: {container_port}, hostPort: {number}, protocol: {protocol}}}"
    )


def topology(*documents: str) -> Topology:
    return loads(NETWORK + "---\n".join(documents), "c.yaml")


def problems(*documents: str) -> list[str]:
    """What is wrong, without the places."""
    with pytest.raises(TopologyError) as caught:
        topology(*documents)
    return [problem.split(": ", 1)[1] for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("{}", "ports: is missing; only a headless service may be without"),
        (
            f"{{ports: [{A_80}, {{port: 81}}]}}",
            "ports[1].name: is missing; each of several ports has a name",
        ),
        (
            f"{{ports: [{A_80}, {{name: a, port: 81}}]}}",
            "ports[1].name: 'a' is that of ports[0] already",
        ),
        (
            "{ports: [{name: A, port: 80}]}",
            (
                "ports[0].name: must be at most 63 lower-case letters, digits and '-', "
                "with a letter or digit at both ends, not 'A'"
            ),
        ),
        (
            f"{{ports: [{A_80}, {{name: b, port: 80}}]}}",
            "ports[1].port: 80 TCP is that of ports[0] already",
        ),
        (
            "{ports: [{port: 80, nodePort: 30080}]}",
            "ports[0].nodePort: is for type NodePort or LoadBalancer only",
        ),
        (
            (
                "{type: NodePort, ports: [{name: a, port: 80, nodePort: 30080}, "
                "{name: b, port: 81, nodePort: 30080}]}"
            ),
            "ports[1].nodePort: 30080 is that of ports[0] already",
        ),
        (
            "{type: NodePort, ports: [{port: 80, nodePort: 8080}]}",
            "ports[0].nodePort: must be 30000 to 32767, not 8080",
        ),
        (
            "{type: NodePort, clusterIP: None, ports: [{port: 80}]}",
            "clusterIP: must be an address, as type is NodePort",
        ),
        (
            "{type: LoadBalancer, clusterIP: None, ports: [{port: 80}]}",
            "clusterIP: must be an address, as type is LoadBalancer",
        ),
        (
            "{type: ExternalName, externalName: a.b, clusterIP: None}",
            "clusterIP: must not be there, as type is ExternalName",
        ),
        ("{type: ExternalName}", "externalName: is missing, and type is ExternalName"),
        (
            "{type: ExternalName, externalName: A}",
            "externalName: must be a DNS name such as www.example.com, not 'A'",
        ),
        (
            (
                "{type: LoadBalancer, ports: [{name: a, port: 53}, "
                "{name: b, port: 53, protocol: UDP}]}"
            ),
            "ports: a LoadBalancer takes TCP or UDP, not both",
        ),
        (
            "{type: LoadBalancer, ports: [{port: 10250}]}",
            "ports[0].port: must not be 10250, the kubelet's, on a LoadBalancer",
        ),
        (
            "{loadBalancerSourceRanges: [10.0.0.0/8], ports: [{port: 80}]}",
            "loadBalancerSourceRanges: is for type LoadBalancer only",
        ),
        (
            "{externalTrafficPolicy: Local, ports: [{port: 80}]}",
            "externalTrafficPolicy: is for type NodePort or LoadBalancer only",
        ),
        (
            "{externalIPs: [192.0.2.1, 127.0.0.1], ports: [{port: 80}]}",
            "externalIPs[1]: must be an address that is routed, not 127.0.0.1",
        ),
        (
            (
                "{sessionAffinity: ClientIP, ports: [{port: 80}], "
                "sessionAffinityConfig: {clientIP: {timeoutSeconds: 86401}}}"
            ),
            (
                "sessionAffinityConfig.clientIP.timeoutSeconds: "
                "must be 1 to 86400, not 86401"
            ),
        ),
        (
            "{selector: {app: a b}, ports: [{port: 80}]}",
            (
                "selector.app: must be at most 63 letters, digits, '-', '_' and '.', "
                "with a letter or digit at both ends, not 'a b'"
            ),
        ),
    ],
)
def test_a_service_that_no_api_server_takes_is_refused(spec: str, told: str) -> None:
    assert problems(service(spec)) == [f"Service shop/web: spec.{told}"]


@pytest.mark.parametrize(
    "spec",
    [
        "{clusterIP: None}",
        "{type: ExternalName, externalName: www.example.com}",
        "{ports: [{name: a, port: 53}, {name: b, port: 53, protocol: UDP}]}",
        "{type: LoadBalancer, ports: [{port: 80}], externalTrafficPolicy: Local}",
        (
            "{type: NodePort, ports: [{name: a, port: 53, nodePort: 30053}, "
            "{name: b, port: 53, nodePort: 30053, protocol: UDP}]}"
        ),
    ],
)
def test_a_service_that_an_api_server_takes_is_taken(spec: str) -> None:
    assert topology(service(spec)).warnings == ()


@pytest.mark.parametrize("ip", ["0.0.0.0", "127.1.2.3", "169.254.1.1", "224.0.0.1"])  # noqa: S104
def test_endpoints_are_addresses_that_are_routed(ip: str) -> None:
    text = (
        "kind: Endpoints\nmetadata: {name: web}\n"
        f"subsets: [{{addresses: [{{ip: {ip}}}], ports: [{{port: 80}}]}}]\n"
    )

    assert problems(text) == [
        (
            "Endpoints default/web: subsets[0].addresses[0].ip: "
            f"must be an address that is routed, not {ip}"
        )
    ]


@pytest.mark.parametrize(
    ("subset", "told"),
    [
        (
            "{ports: [{port: 80}]}",
            "subsets[0]: must have addresses or notReadyAddresses",
        ),
        (
            "{addresses: [{ip: 10.1.1.1}], ports: [{port: 80}, {name: b, port: 81}]}",
            "subsets[0].ports[0].name: is missing; each of several ports has a name",
        ),
    ],
)
def test_a_subset_that_no_api_server_takes_is_refused(subset: str, told: str) -> None:
    text = f"kind: Endpoints\nmetadata: {{name: web}}\nsubsets: [{subset}]\n"

    assert problems(text) == [f"Endpoints default/web: {told}"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("1a", "must start with a letter, not '1a'"),
        ("a.b", "must be at most 63 lower-case letters, digits and '-', with a letter"),
        (64 * "a", "must be at most 63 lower-case letters, digits and '-', with a le"),
    ],
)
def test_a_service_is_named_as_a_host(name: str, told: str) -> None:
    (problem,) = problems(service("{clusterIP: None}", name))

    assert problem.startswith(f"Service shop/{name}: metadata.name: {told}")


def test_a_namespace_is_named_as_a_host() -> None:
    (problem,) = problems("kind: Namespace\nmetadata: {name: a.b}\n")

    assert problem.startswith("Namespace a.b: metadata.name: must be at most 63 lower")


def test_a_name_has_letters_and_digits_around_its_dots() -> None:
    (problem,) = problems("kind: Pod\nmetadata: {name: a..b}\nspec: {nodeName: n1}\n")

    assert problem.startswith("Pod default/a..b: metadata.name: must be lower-case")


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            f"containers: [{{ports: [{host_port(80)}]}}, {{ports: [{host_port(80)}]}}]",
            "[1].ports[0].hostPort: 80 TCP is there twice",
        ),
        (
            f"hostNetwork: true, containers: [{{ports: [{host_port(81)}]}}]",
            (
                "[0].ports[0].hostPort: "
                "must be containerPort 80, since hostNetwork is true, not 81"
            ),
        ),
        (
            (
                "containers: [{ports: [{name: a, containerPort: 1}, "
                "{name: a, containerPort: 2}]}]"
            ),
            "[0].ports[0].name: 'a' is the name of two ports of one container",
        ),
    ],
)
def test_a_pods_ports_do_not_contradict_each_other(spec: str, told: str) -> None:
    assert problems(pod("x", spec)) == [f"Pod default/x: spec.containers{told}"]


def test_a_nodes_port_is_one_pods() -> None:
    spec = f"containers: [{{ports: [{host_port(80)}]}}]"

    assert problems(pod("a", spec), pod("b", spec)) == [
        (
            "Pod default/b: spec.containers: hostPort 80 TCP of n1 is that of "
            "Pod default/a already"
        )
    ]


def test_a_nodes_port_may_be_one_pods_by_tcp_and_anothers_by_udp() -> None:
    tcp = pod("a", f"containers: [{{ports: [{host_port(53)}]}}]")
    udp = pod("b", f"containers: [{{ports: [{host_port(53, 'UDP')}]}}]")

    assert topology(tcp, udp).warnings == ()


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_a_node_port_is_one_services_whatever_the_protocol(protocol: str) -> None:
    spec = "{{type: NodePort, ports: [{{port: 80, nodePort: 30080, protocol: {}}}]}}"

    found = problems(service(spec.format("TCP"), "a"), service(spec.format(protocol)))

    assert found == [
        (
            "Service shop/web: spec.ports[0].nodePort: "
            "30080 is that of Service shop/a already"
        )
    ]


def test_a_ports_tcp_and_udp_get_one_node_port() -> None:
    ports = (
        "{name: a, port: 53}, {name: b, port: 53, protocol: UDP}, {name: c, port: 80}"
    )

    (found,) = topology(
        service(f"{{type: NodePort, ports: [{ports}]}}")
    ).cluster.services

    assert [port.node_port for port in found.ports] == [30000, 30000, 30001]


@pytest.mark.parametrize(
    "ports",
    [
        "{name: a, port: 53, protocol: UDP}, {name: b, port: 53, nodePort: 30000}",
        "{name: a, port: 53, nodePort: 30000}, {name: b, port: 53, protocol: UDP}",
    ],
)
def test_a_ports_udp_follows_the_node_port_that_its_tcp_insists_on(ports: str) -> None:
    spec = f"{{type: NodePort, ports: [{ports}, {{name: c, port: 80}}]}}"

    (found,) = topology(service(spec)).cluster.services

    assert [port.node_port for port in found.ports] == [30000, 30000, 30001]


def test_a_service_for_which_no_node_port_is_left_is_an_error() -> None:
    ports = ", ".join(
        f"{{name: p{number}, port: {number + 1}}}" for number in range(2769)
    )

    assert problems(service(f"{{type: NodePort, ports: [{ports}]}}")) == [
        "Service shop/web: spec.ports[2768].nodePort: no port of the nodes is left"
    ]
