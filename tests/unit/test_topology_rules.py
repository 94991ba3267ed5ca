"""What no topology may say, and where each problem is told.

A rule's wording may change; its line, object and field may not.
"""

from __future__ import annotations

import pytest

from testbed.errors import TopologyError
from testbed.topology import loads

BASE = """\
kind: ClusterNetwork
apiVersion: network.openshift.io/v1
metadata: {name: default}
clusterNetworks:
- CIDR: 10.128.0.0/14
  hostSubnetLength: 9
serviceNetwork: 172.30.0.0/16
pluginName: redhat/openshift-ovs-subnet
vxlanPort: 4789
---
kind: Underlay
apiVersion: testbed/v1
subnet: 172.16.1.0/24
gateway: 172.16.1.253
externalNetwork: 198.51.100.0/24
externalGateway: 198.51.100.254
externalHosts: [{name: external, ip: 198.51.100.1}]
rogues: [{name: rogue, ip: 172.16.1.66}]
mtu: 1450
---
kind: HostSubnet
metadata: {name: one.test, uid: u-1}
hostIP: 172.16.1.15
subnet: 10.128.0.0/23
---
kind: HostSubnet
metadata: {name: two.test, uid: u-2}
hostIP: 172.16.1.16
subnet: 10.129.0.0/23
---
kind: Pod
metadata: {namespace: shop, name: web, annotations: {testbed/ofport: "5"}}
spec: {nodeName: one.test}
status: {podIP: 10.128.0.9}
---
kind: Pod
metadata: {namespace: shop, name: db, annotations: {testbed/ofport: "6"}}
spec: {nodeName: one.test}
status: {podIP: 10.128.0.10}
---
kind: Service
metadata: {namespace: shop, name: web}
spec:
  clusterIP: 172.30.0.8
  ports: [{port: 80, targetPort: 8080, protocol: TCP}]
---
kind: Service
metadata: {namespace: shop, name: db}
spec:
  clusterIP: 172.30.0.9
  ports: [{port: 5432}]
---
kind: Endpoints
metadata: {namespace: shop, name: db}
subsets: [{addresses: [{ip: 10.128.0.10}], ports: [{port: 5432}]}]
---
kind: NetNamespace
metadata: {name: shop}
netid: 4711
"""

CN = "ClusterNetwork default"
ONE, TWO = "HostSubnet one.test", "HostSubnet two.test"
WEB, DB = "Pod shop/web", "Pod shop/db"


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(TopologyError) as caught:
        loads(text, "f")
    return caught.value.problems


def changed(*changes: tuple[str, str]) -> str:
    text = BASE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def test_the_file_that_every_rule_here_breaks_is_itself_sound() -> None:
    assert loads(BASE, "f").warnings == ()


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("openshift-ovs-subnet", "openshift-ovs-multitenant", f"8: {CN}: pluginName"),
        ("openshift-ovs-subnet", "openshift-ovs-networkpolicy", f"8: {CN}: pluginName"),
        ("redhat/openshift-ovs-subnet", "calico", f"8: {CN}: pluginName"),
        ("10.128.0.0/14", "10.128.0.1/14", f"5: {CN}: clusterNetworks[0].CIDR"),
        ("Length: 9", "Length: 19", f"6: {CN}: clusterNetworks[0].hostSubnetLength"),
        ("Length: 9", 'Length: "9"', f"6: {CN}: clusterNetworks[0].hostSubnetLength"),
        ("serviceNetwork: 172.30.0.0/16\n", "", f"1: {CN}: serviceNetwork"),
        ("172.30.0.0/16", "10.130.0.0/16", f"7: {CN}: serviceNetwork"),
        ("172.30.0.0/16", "172.17.0.0/16", f"7: {CN}: serviceNetwork"),
        ("vxlanPort: 4789", "vxlanPort: 65536", f"9: {CN}: vxlanPort"),
        ("vxlanPort: 4789", "vxlanPort: true", f"9: {CN}: vxlanPort"),
        ("mtu: 1450", "mtu: 575", "19: Underlay: mtu"),
        ("mtu: 1450", "mtu: 65486", "19: Underlay: mtu"),
        ("172.16.1.253", "172.16.2.253", "14: Underlay: gateway"),
        ("198.51.100.254", "198.51.100.255", "16: Underlay: externalGateway"),
        ("198.51.100.1}", "198.51.100.254}", "17: Underlay: externalHosts[0].ip"),
        ("172.16.1.66", "172.16.9.66", "18: Underlay: rogues[0].ip"),
        ("u-1", "1e5", f"22: {ONE}: metadata.uid"),
        ("172.16.1.15", "10.131.0.5", f"23: {ONE}: hostIP"),
        ("172.16.1.15", "172.30.0.5", f"23: {ONE}: hostIP"),
        ("172.16.1.15", "172.16.2.15", f"23: {ONE}: hostIP"),
        ("172.16.1.15", "172.16.1.253", f"23: {ONE}: hostIP"),
        ("172.16.1.16", "172.16.1.15", f"28: {TWO}: hostIP"),
        ("10.129.0.0/23", "10.200.0.0/23", f"29: {TWO}: subnet"),
        ("10.129.0.0/23", "10.129.0.0/24", f"29: {TWO}: subnet"),
        ("10.129.0.0/23", "10.128.0.0/23", f"29: {TWO}: subnet"),
        ("hostIP: 172.16.1.16\n", "", f"26: {TWO}: hostIP"),
        ("{nodeName: one.test}", "{nodeName: six.test}", f"33: {WEB}: spec.nodeName"),
        ("{nodeName: one.test}", "{}", f"33: {WEB}: spec.nodeName"),
        ("10.128.0.9", "10.129.0.9", f"34: {WEB}: status.podIP"),
        ("10.128.0.9", "10.128.0.0", f"34: {WEB}: status.podIP"),
        ("10.128.0.9", "10.128.0.1", f"34: {WEB}: status.podIP"),
        ("10.128.0.9", "10.128.1.255", f"34: {WEB}: status.podIP"),
        (
            "10.128.0.10}\n---\nkind: S",
            "10.128.0.9}\n---\nkind: S",
            f"39: {DB}: status",
        ),
        ('"6"', '"5"', f"37: {DB}: metadata.annotations.testbed/ofport"),
        ('"5"', '"2"', f"32: {WEB}: metadata.annotations.testbed/ofport"),
        ('"5"', '"65280"', f"32: {WEB}: metadata.annotations.testbed/ofport"),
        ("name: db, ann", "name: web, ann", "36: Pod shop/web"),
        ("name: web, ann", "name: 123, ann", "32: Pod: metadata.name"),
        ("name: web, ann", "name: on, ann", "32: Pod: metadata.name"),
        ("172.30.0.8", "10.1.1.1", "44: Service shop/web: spec.clusterIP"),
        ("172.30.0.9", "172.30.0.8", "50: Service shop/db: spec.clusterIP"),
        ("port: 80,", "port: 0,", "45: Service shop/web: spec.ports[0].port"),
        ("port: 80,", 'port: "80",', "45: Service shop/web: spec.ports[0].port"),
        ("8080", "65536", "45: Service shop/web: spec.ports[0].targetPort"),
        ("TCP", "tcp", "45: Service shop/web: spec.ports[0].protocol"),
        ("{ip: 10.128.0.10}", "{ip: '::1'}", "55: Endpoints shop/db: subsets[0]"),
        ("netid: 4711", "netid: 9", "59: NetNamespace shop: netid"),
        ("netid: 4711", "netid: 16777216", "59: NetNamespace shop: netid"),
        ("vxlanPort: 4789", "vxlanPort: 4789\nvxlanPort: 1", "10: the key"),
        ("{name: default}", "&a {name: default}", "3: "),
        ("{name: default}", "!!map {name: default}", "3: "),
        ("netid: 4711", "netid: 4711\n- x", "60: broken YAML"),
        (
            "apiVersion: testbed/v1",
            "apiVersion: testbed/v2",
            "12: Underlay: apiVersion",
        ),
    ],
)
def test_each_rule_is_one_problem_at_its_line_and_field(
    old: str, new: str, where: str
) -> None:
    (problem,) = problems(changed((old, new)))

    assert problem.startswith(f"f:{where}")


@pytest.mark.parametrize(
    "cidr", ["172.16.0.0/14", "198.51.0.0/16", "172.30.0.0/15", "172.17.0.0/16"]
)
def test_a_cluster_network_over_another_range_is_an_error(cidr: str) -> None:
    found = problems(changed(("10.128.0.0/14", cidr)))

    assert any("overlaps" in problem for problem in found)


@pytest.mark.parametrize("kind", ["ClusterNetwork", "HostSubnet"])
def test_a_cluster_needs_its_network_and_a_node(kind: str) -> None:
    documents = [d for d in BASE.split("---\n") if not d.startswith(f"kind: {kind}")]

    found = problems("---\n".join(documents))

    assert [p for p in found if f": {kind}: " in p] == list(found)
    assert found[0].startswith(f"f:1: {kind}: ")


def test_a_second_cluster_network_is_an_error() -> None:
    first = BASE.split("---\n", maxsplit=1)[0]

    found = problems(f"{BASE}---\n{first.replace('default', 'other')}")

    assert any(p.startswith("f:61: ClusterNetwork other") for p in found)


def test_a_document_that_is_no_mapping_is_an_error() -> None:
    (problem,) = problems(f"{BASE}---\n- a\n")

    assert problem.startswith("f:61: ")


def test_all_problems_come_at_once_and_in_the_order_of_the_file() -> None:
    text = changed(
        ("netid: 4711", "netid: 9"),
        ("10.128.0.9", "10.129.0.9"),
        ("mtu: 1450", "mtu: 1"),
        ("port: 80,", "port: 0,"),
    )

    lines = [int(problem.split(":")[1]) for problem in problems(text)]

    assert lines == [19, 34, 45, 59]


def test_a_broken_node_is_not_blamed_on_its_pods() -> None:
    (problem,) = problems(changed(("172.16.1.15", "nowhere")))

    assert problem.startswith(f"f:23: {ONE}: hostIP")


def test_kinds_that_are_not_read_get_one_warning_each() -> None:
    extra = "---\nkind: Route\n---\nkind: Route\n---\nkind: NetworkPolicy\n"

    warnings = loads(BASE + extra, "f").warnings

    assert [warning.split(": ")[1] for warning in warnings] == [
        "Route",
        "NetworkPolicy",
    ]
    assert "openshift-ovs-subnet enforces none" in warnings[1]


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Failed"])
def test_a_pod_that_does_not_run_is_passed_over_with_a_warning(phase: str) -> None:
    text = changed(("status: {podIP: 10.128.0.9}", f"status: {{phase: {phase}}}"))

    topology = loads(text, "f")

    assert [pod.key for pod in topology.cluster.pods] == ["shop/db"]
    assert [w.split(": ")[1] for w in topology.warnings] == [WEB]
