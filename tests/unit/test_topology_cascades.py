"""One mistake is not held against what depends on it; several are told at once."""

from __future__ import annotations

import pytest

from testbed.errors import TopologyError
from testbed.topology import loads
from testbed.topology.shipped import shipped

FOUR_NODES = shipped("four-node.yaml").read_text()


def problems(*changes: tuple[str, str]) -> tuple[str, ...]:
    """The problems of four-node.yaml with all of these changes."""
    text = FOUR_NODES
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(TopologyError) as caught:
        loads(text, "c.yaml")
    return caught.value.problems


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("subnet: 10.129.0.0/23", "subnet: 10.129.0.1/23", "51: HostSubnet oc-02"),
        ("hostIP: 172.16.1.16", "hostIP: nowhere", "50: HostSubnet oc-02.test: hostIP"),
        ("  hostIP: 172.16.1.16\n", "", "44: HostSubnet oc-02.test: hostIP: is missi"),
        ("    name: oc-02.test\n", "", "46: HostSubnet: metadata.name: is missing"),
        ("    name: oc-02.test\n", "    name: 2\n", "47: HostSubnet: metadata.name: "),
        ("serviceNetwork: 172.30.0.0/16", "serviceNetwork: no", "15: ClusterNetwork"),
        ("- CIDR: 10.128.0.0/14", "- CIDR: 10.128.0.0/33", "10: ClusterNetwork def"),
        ("pluginName: redhat", "pluginName: blue", "14: ClusterNetwork default: plug"),
        ("subnet: 172.16.1.0/24", "subnet: 172.16.1.1/24", "21: Underlay: subnet: "),
        ("gateway: 172.16.1.253", "gateway: none", "22: Underlay: gateway: must be "),
        ("kind: Underlay", "kindness: Underlay", "19: kind: is missing"),
        ("kind: HostSubnet", "kind:", "37: kind: is missing"),
        ("kind: HostSubnet", "kind: [HostSubnet]", "37: kind: must be a string, not"),
        ("kind: ClusterNetwork", "kind:", "6: kind: is missing"),
        ("podIP: 10.128.0.4", "podIP: 10.128.0.400", "168: Pod default/docker-regis"),
    ],
)
def test_what_is_broken_is_told_and_nothing_that_needs_it(
    old: str, new: str, problem: str
) -> None:
    (told,) = problems((old, new))

    assert told.startswith(f"c.yaml:{problem}")


def test_a_forgotten_separator_does_not_make_the_object_behind_it_missing() -> None:
    found = problems(("vxlanPort: 4789\n---\n", "vxlanPort: 4789\n"))

    assert [problem.split(": ")[1] for problem in found] == [
        "the key 'apiVersion' is given twice; first in line 5",
        "the key 'kind' is given twice; first in line 6",
    ]


@pytest.mark.parametrize("kind", ["ClusterNetwork", "HostSubnet"])
def test_without_a_network_or_a_node_only_that_is_told(kind: str) -> None:
    documents = FOUR_NODES.split("---\n")
    others = [text for text in documents if f"kind: {kind}\n" not in text]

    with pytest.raises(TopologyError) as caught:
        loads("---\n".join(others), "c.yaml")

    assert caught.value.problems == (
        f"c.yaml:1: {kind}: is missing; a cluster needs one",
    )


def test_an_address_that_is_wrong_is_not_the_daemon_sets_fault() -> None:
    (problem,) = problems(("hostIP: 172.16.1.16", "hostIP: 172.16.9.16"))

    assert problem.startswith("c.yaml:50: HostSubnet oc-02.test: hostIP: ")


def test_a_host_network_pod_has_its_nodes_address() -> None:
    (problem,) = problems(
        ("podIP: 172.16.1.16\n", "podIP: 10.129.0.77\n"),
    )

    assert problem.endswith(
        ": Pod openshift-sdn/ovs-ff8ld: status.podIP: must be 172.16.1.16, the address "
        "of its node, since hostNetwork is true, not 10.129.0.77"
    )


def test_a_pod_on_a_node_that_is_not_there_is_an_error() -> None:
    (problem,) = problems(("nodeName: oc-03.test", "nodeName: oc-05.test"))

    assert problem.endswith(
        ": Pod shop/web-1-vh3rj: spec.nodeName: "
        "must be the name of a HostSubnet, not 'oc-05.test'"
    )


def test_a_running_pod_without_a_node_is_an_error() -> None:
    (problem,) = problems(("    nodeName: oc-03.test\n", ""))

    assert problem.endswith(
        ": Pod shop/web-1-vh3rj: spec.nodeName: is missing; a running pod has a node"
    )


def test_all_mistakes_of_a_file_are_told_in_the_order_of_its_lines() -> None:
    found = problems(
        ("podIP: 10.129.0.9", "podIP: 10.130.0.9"),
        ("nodeName: oc-03.test", "nodeName: oc-05.test"),
        ("port: 443", "port: 70443"),
        ("netid: 7340219", "netid: 7"),
        ("hostIP: 172.16.1.22", "hostIP: 172.16.1.15"),
        ("subnet: 10.131.0.0/23", "subnet: 10.131.0.5/23"),
        ("ip: 172.16.1.66", "ip: 172.16.1.16"),
    )

    assert [problem.split(": ")[1:3] for problem in found] == [
        ["Underlay", "rogues[0].ip"],
        ["HostSubnet oc-03.test", "hostIP"],
        ["HostSubnet oc-04.test", "subnet"],
        ["NetNamespace kube-service-catalog", "netid"],
        ["Service kube-service-catalog/apiserver", "spec.ports[0].port"],
        ["Pod shop/web-1-k9s5c", "status.podIP"],
        ["Pod shop/web-1-vh3rj", "spec.nodeName"],
    ]
    lines = [int(problem.split(":")[1]) for problem in found]
    assert lines == sorted(lines)
