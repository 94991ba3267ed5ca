"""What the master hands out: VNIDs, ghosts' subnets, egress IPs."""

from __future__ import annotations

import pytest

from testbed.errors import TopologyError
from testbed.model import Cluster, Plugin
from testbed.topology import loads

NETWORK = """\
kind: ClusterNetwork
metadata: {{name: default}}
clusterNetworks: [{{CIDR: 10.128.0.0/14, hostSubnetLength: 9}}]
serviceNetwork: 172.30.0.0/16
pluginName: {}
---
"""
MULTICAST = "netnamespace.network.openshift.io/multicast-enabled"
CHANGE = "pod.network.openshift.io/multitenant.change-network"
ASSIGN = "pod.network.openshift.io/assign-subnet"
FIXED = "pod.network.openshift.io/fixed-vnid-host"
RANGE = "192.168.1.96/28"


def cluster(*documents: str, plugin: Plugin = Plugin.MULTITENANT) -> Cluster:
    nodes = () if any("HostSubnet" in text for text in documents) else (host("n1"),)
    text = NETWORK.format(plugin) + "---\n".join((*nodes, *documents))
    return loads(text, "c.yaml").cluster


def host(name: str, more: str = "", annotations: str = "") -> str:
    number = int(name[1:])
    return (
        "kind: HostSubnet\n"
        f"metadata: {{name: {name}, annotations: {{{annotations}}}}}\n"
        f"hostIP: 192.168.1.{number}\n{more}"
    )


def namespace(name: str, more: str = "", annotations: str = "") -> str:
    return (
        f"kind: NetNamespace\nmetadata: {{name: {name}, annotations: "
        f"{{{annotations}}}}}\n{more}"
    )


def changed(name: str, netid: int, change: str) -> str:
    return namespace(name, f"netid: {netid}\n", f"{CHANGE}: '{change}'")


def netids(found: Cluster) -> dict[str, int]:
    return {item.name: item.netid for item in found.net_namespaces}


def egress_ips(found: Cluster) -> dict[str, list[int]]:
    """The last octets of each node's egress IPs."""
    return {
        node.name: [int(ip) & 0xFF for ip in node.egress_ips]
        for node in found.host_subnets
    }


def wanting(name: str, *octets: int) -> str:
    ips = ", ".join(f"192.168.1.{octet}" for octet in octets)
    return namespace(name, f"egressIPs: [{ips}]\n")


def ranged(name: str, *octets: int, cidr: str = RANGE) -> str:
    ips = ", ".join(f"192.168.1.{octet}" for octet in octets)
    return host(name, f"egressIPs: [{ips}]\negressCIDRs: [{cidr}]\n")


def test_default_is_global_and_the_others_have_the_lowest_vnid_that_is_free() -> None:
    names = ["kind: Namespace\nmetadata: {name: " + name + "}\n" for name in "ab"]
    default = "kind: Namespace\nmetadata: {name: default}\n"

    found = cluster(namespace("c", "netid: 10\n"), default, *names)

    assert netids(found) == {"c": 10, "default": 0, "a": 11, "b": 12}


@pytest.mark.parametrize("value", ["true", "'True'", "'yes'", "''"])
def test_multicast_is_on_where_the_annotation_says_true_and_nothing_else(
    value: str,
) -> None:
    if value == "true":
        value = "'true'"
    (found,) = cluster(namespace("a", "", f"{MULTICAST}: {value}")).net_namespaces

    assert found.multicast_enabled is (value == "'true'")


def test_a_namespace_that_joins_has_the_others_vnid() -> None:
    found = cluster(changed("a", 20, "join:b"), namespace("b", "netid: 30\n"))

    assert netids(found) == {"a": 30, "b": 30}


def test_a_namespace_may_be_made_global() -> None:
    assert netids(cluster(changed("a", 20, "global"))) == {"a": 0}


def test_a_namespace_that_shared_its_vnid_is_isolated_by_a_new_one() -> None:
    found = cluster(changed("a", 10, "isolate"), namespace("b", "netid: 10\n"))

    assert netids(found) == {"a": 11, "b": 10}


def test_a_namespace_that_is_alone_keeps_its_vnid_when_isolated() -> None:
    assert netids(cluster(changed("a", 20, "isolate"))) == {"a": 20}


def test_a_global_namespace_is_isolated_by_a_new_vnid() -> None:
    assert netids(cluster(changed("a", 0, "isolate"))) == {"a": 10}

    found = cluster(changed("a", 0, "isolate"), namespace("default", "netid: 0\n"))

    assert netids(found) == {"a": 10, "default": 0}


@pytest.mark.parametrize(
    "change", ["join:nowhere", "b", "isolated", "join:", "join", "link:b"]
)
def test_a_change_that_the_master_refuses_changes_nothing(change: str) -> None:
    found = cluster(changed("a", 20, change), namespace("b", "netid: 30\n"))

    assert netids(found) == {"a": 20, "b": 30}


def test_default_cannot_be_isolated() -> None:
    found = cluster(changed("default", 0, "isolate"), namespace("b", "netid: 0\n"))

    assert netids(found) == {"default": 0, "b": 0}


@pytest.mark.parametrize("plugin", [Plugin.SUBNET, Plugin.NETWORKPOLICY])
def test_only_multitenant_renumbers(plugin: Plugin) -> None:
    assert netids(cluster(changed("a", 20, "global"), plugin=plugin)) == {"a": 20}


@pytest.mark.parametrize(
    ("annotations", "fixed_vnid"),
    [
        (f"{ASSIGN}: 'true'", None),
        (f"{ASSIGN}: 'false'", None),
        (f"{FIXED}: '0'", 0),
        (f"{ASSIGN}: 'true', {FIXED}: '42'", 42),
    ],
)
def test_a_subnet_assigned_by_hand_is_a_ghosts(
    annotations: str, fixed_vnid: int | None
) -> None:
    found = cluster(host("n1"), host("n2", "", annotations))

    (ghost,) = found.ghosts
    assert (ghost.name, ghost.fixed_vnid) == ("n2", fixed_vnid)
    assert str(ghost.subnet) == "10.129.0.0/23"
    assert [node.name for node in found.nodes] == ["n1"]


def test_no_pod_runs_on_a_ghost() -> None:
    pod = "kind: Pod\nmetadata: {name: a}\nspec: {nodeName: n2}\n"

    with pytest.raises(TopologyError) as caught:
        cluster(host("n1"), host("n2", "", f"{ASSIGN}: 'true'"), pod)

    assert caught.value.problems == (
        (
            "c.yaml:17: Pod default/a: spec.nodeName: "
            "n2 is no node: its HostSubnet was assigned by hand"
        ),
    )


@pytest.mark.parametrize("vnid", ["'16777216'", "'-1'", "'a'", "5"])
def test_a_ghosts_vnid_is_one(vnid: str) -> None:
    with pytest.raises(TopologyError, match='must be "0" to "16777215", in quotes'):
        cluster(host("n2", "", f"{FIXED}: {vnid}"))


def test_an_egress_ip_goes_to_the_node_with_the_range() -> None:
    found = cluster(ranged("n1", cidr="10.9.0.0/16"), ranged("n2"), wanting("a", 100))

    assert egress_ips(found) == {"n1": [], "n2": [100]}


def test_egress_ips_go_to_whoever_has_fewest() -> None:
    found = cluster(
        ranged("n1"), ranged("n2"), *(wanting(name, ord(name)) for name in "abcd")
    )

    assert egress_ips(found) == {"n1": [97, 99], "n2": [98, 100]}


def test_egress_ips_that_one_node_can_have_go_first() -> None:
    found = cluster(
        ranged("n1"),
        ranged("n2", cidr="192.168.1.96/29"),
        wanting("a", 97),
        wanting("b", 105),
    )

    assert egress_ips(found) == {"n1": [105], "n2": [97]}


def test_an_egress_ip_stays_where_it_is() -> None:
    found = cluster(
        ranged("n1"), ranged("n2", 97, 98), wanting("a", 97), wanting("b", 98)
    )

    assert egress_ips(found) == {"n1": [], "n2": [97, 98]}


def test_an_egress_ip_leaves_a_node_that_is_offline() -> None:
    offline = "kind: Underlay\nofflineNodes: [n1]\n"

    found = cluster(ranged("n1", 97), ranged("n2"), wanting("a", 97), offline)

    assert egress_ips(found) == {"n1": [], "n2": [97]}


def test_an_egress_ip_leaves_a_node_whose_range_it_is_not_in() -> None:
    found = cluster(
        ranged("n1", 97, cidr="10.9.0.0/16"), ranged("n2"), wanting("a", 97)
    )

    assert egress_ips(found) == {"n1": [], "n2": [97]}


def test_an_egress_ip_that_nobody_asks_for_is_taken_back() -> None:
    assert egress_ips(cluster(ranged("n1", 97))) == {"n1": []}


def test_an_egress_ip_that_two_nodes_have_is_left_to_one() -> None:
    found = cluster(ranged("n1", 97), ranged("n2", 97), wanting("a", 97))

    assert egress_ips(found) == {"n1": [97], "n2": []}


def test_an_egress_ip_given_by_hand_is_taken_from_the_others() -> None:
    by_hand = host("n1", "egressIPs: [192.168.1.97]\n")

    found = cluster(by_hand, ranged("n2", 97), wanting("a", 97))

    assert egress_ips(found) == {"n1": [97], "n2": []}


def test_an_egress_ip_given_by_hand_is_given_to_nobody_else() -> None:
    by_hand = host("n1", "egressIPs: [192.168.1.97]\n")

    found = cluster(by_hand, ranged("n2"), wanting("a", 97))

    assert egress_ips(found) == {"n1": [97], "n2": []}


def test_an_egress_ip_that_two_namespaces_ask_for_is_given_to_nobody() -> None:
    found = cluster(ranged("n1"), wanting("a", 97), wanting("b", 97))

    assert egress_ips(found) == {"n1": []}


def test_namespaces_that_share_a_vnid_ask_as_one() -> None:
    joined = [wanting(name, 97) + "netid: 42\n" for name in "ab"]

    assert egress_ips(cluster(ranged("n1"), *joined)) == {"n1": [97]}


def test_of_several_egress_ips_of_a_namespace_the_master_chooses_none() -> None:
    assert egress_ips(cluster(ranged("n1"), ranged("n2"), wanting("a", 97, 98))) == {
        "n1": [],
        "n2": [],
    }


def test_a_node_has_an_egress_ip_once() -> None:
    twice = host("n1", "egressIPs: [192.168.1.97, 192.168.1.97]\n")

    assert egress_ips(cluster(twice)) == {"n1": [97]}
