"""What a file leaves open is filled in as the real controllers would."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import pytest

from testbed.errors import TopologyError
from testbed.model import ClusterNetworkEntry, NetNamespace
from testbed.topology import loads

if TYPE_CHECKING:
    from testbed.model import Cluster

NETWORK = """\
kind: ClusterNetwork
metadata: {name: default}
clusterNetworks: [{CIDR: 10.128.0.0/14, hostSubnetLength: 9}]
serviceNetwork: 172.30.0.0/16
pluginName: redhat/openshift-ovs-subnet
"""
SMALL_NETWORK = NETWORK.replace("10.128.0.0/14", "10.128.0.0/22")


def cluster(*documents: str, network: str = NETWORK) -> Cluster:
    topology = loads("---\n".join((network, *documents)), "c.yaml")
    assert topology.warnings == ()
    return topology.cluster


def problems(*documents: str) -> tuple[str, ...]:
    with pytest.raises(TopologyError) as caught:
        loads("---\n".join(documents), "c.yaml")
    return caught.value.problems


def node(number: int, more: str = "") -> str:
    return (
        f"kind: HostSubnet\nmetadata: {{name: n{number}}}\n"
        f"hostIP: 192.168.1.{number}\n{more}"
    )


def pod(name: str, *, spec: str = "", annotations: str = "", status: str = "") -> str:
    return (
        f"kind: Pod\nmetadata: {{name: {name}, annotations: {{{annotations}}}}}\n"
        f"spec: {{nodeName: n1{spec}}}\nstatus: {{{status}}}\n"
    )


def test_nodes_get_the_next_subnets_around_those_that_are_insisted_on() -> None:
    documents = [
        node(1),
        node(2),
        node(3, "subnet: 10.129.0.0/23\n"),
        node(4),
        node(5),
    ]

    nodes = cluster(*documents).host_subnets

    assert [str(n.subnet) for n in nodes] == [
        "10.128.0.0/23",
        "10.130.0.0/23",
        "10.129.0.0/23",
        "10.131.0.0/23",
        "10.128.2.0/23",
    ]


def test_a_second_cluster_network_serves_when_the_first_is_full() -> None:
    second = "{CIDR: 10.2.0.0/16, hostSubnetLength: 8}"
    network = SMALL_NETWORK.replace("9}]", f"9}}, {second}]")

    nodes = cluster(node(1), node(2), node(3), network=network).host_subnets

    assert [str(n.subnet) for n in nodes] == [
        "10.128.0.0/23",
        "10.128.2.0/23",
        "10.2.0.0/24",
    ]


def test_a_node_for_whom_no_subnet_is_left_is_an_error() -> None:
    assert problems(SMALL_NETWORK, node(1), node(2), node(3), pod("a")) == (
        (
            "c.yaml:15: HostSubnet n3: subnet: "
            "no subnet is left for this node in clusterNetworks"
        ),
    )


def test_the_fields_of_before_3_7_are_understood() -> None:
    old = NETWORK.replace(
        "clusterNetworks: [{CIDR: 10.128.0.0/14, hostSubnetLength: 9}]",
        "network: 10.1.0.0/16\nhostsubnetlength: 8",
    )

    found = cluster(node(1), network=old)

    assert found.network.cluster_networks == (
        ClusterNetworkEntry(cidr=IPv4Network("10.1.0.0/16"), host_subnet_length=8),
    )
    assert found.node("n1").subnet == IPv4Network("10.1.0.0/24")


def test_the_new_ranges_win_over_the_old_fields() -> None:
    found = cluster(node(1), network=NETWORK + "network: 10.1.0.0/16\n")

    assert found.cidrs == (IPv4Network("10.128.0.0/14"),)


def test_vxlan_uses_its_own_port_unless_told_otherwise() -> None:
    assert cluster(node(1)).network.vxlan_port == 4789
    other = cluster(node(1), network=NETWORK + "vxlanPort: 4790\n")
    assert other.network.vxlan_port == 4790


def test_null_fields_are_as_good_as_missing() -> None:
    with_nulls = cluster(
        node(1, "subnet: null\nhost: ~\n"),
        pod("a", spec=", hostNetwork: null, containers: ", status="podIP: , phase: ~"),
        network=NETWORK + "vxlanPort: null\nnetwork:\n",
    )

    assert with_nulls == cluster(node(1), pod("a"))


def test_pods_get_addresses_from_the_third_of_the_subnet_on() -> None:
    documents = [pod("a"), pod("b", status="podIP: 10.128.0.3"), pod("c"), pod("d")]

    pods = cluster(node(1), *documents).pods

    assert [str(p.ip) for p in pods] == [
        f"10.128.0.{number}" for number in (2, 3, 4, 5)
    ]


def test_ofports_start_at_3_and_leave_out_those_insisted_on() -> None:
    insisted = [
        pod("a"),
        pod("b", annotations="testbed/ofport: '4'"),
        pod("c"),
        pod("d", annotations="testbed/ofport: '3'"),
        pod("e"),
    ]

    pods = cluster(node(1), *insisted).pods

    assert [p.ofport for p in pods] == [5, 4, 6, 3, 7]


def test_ofports_are_counted_on_each_node() -> None:
    elsewhere = pod("b").replace("nodeName: n1", "nodeName: n2")

    pods = cluster(node(1), node(2), pod("a"), elsewhere, pod("c")).pods

    assert [(p.node, p.ofport) for p in pods] == [("n1", 3), ("n2", 3), ("n1", 4)]


def test_a_pod_for_whom_no_address_is_left_is_an_error() -> None:
    tiny = NETWORK.replace(
        "10.128.0.0/14, hostSubnetLength: 9", "10.128.0.0/30, hostSubnetLength: 2"
    )

    assert problems(tiny, node(1), pod("a"), pod("b")) == (
        "c.yaml:19: Pod default/b: status.podIP: no address is left in 10.128.0.0/30",
    )


@pytest.mark.parametrize("status", ["", "podIP: 192.168.1.1"])
def test_a_host_network_pod_has_its_nodes_address_and_no_ofport(status: str) -> None:
    host_pod = pod("a", spec=", hostNetwork: true", status=status)

    (on_host, other) = cluster(node(1), host_pod, pod("b")).pods

    assert on_host.host_network
    assert (on_host.ip, on_host.ofport) == (IPv4Address("192.168.1.1"), None)
    assert (other.ip, other.ofport) == (IPv4Address("10.128.0.2"), 3)


def test_namespaces_get_vnids_from_10_on_and_default_has_none() -> None:
    documents = [
        "kind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n",
        "kind: Project\nmetadata: {name: lab}\n",
        "kind: NetNamespace\nmetadata: {name: kube-system}\nnetid: 11\n",
        "kind: NetNamespace\nmetadata: {name: open}\n",
        pod("a"),
    ]

    found = cluster(node(1), *documents)

    assert found.net_namespaces == (
        NetNamespace(name="kube-system", netid=11),
        NetNamespace(name="open", netid=10),
        NetNamespace(name="shop", netid=12),
        NetNamespace(name="lab", netid=13),
        NetNamespace(name="default", netid=0),
    )
    assert [n.name for n in found.namespaces] == ["shop", "lab", "default"]
    assert found.namespaces[0].labels == {"team": "a"}


def test_default_keeps_the_vnid_that_it_insists_on() -> None:
    document = "kind: NetNamespace\nmetadata: {name: default}\nnetid: 77\n"

    assert cluster(node(1), document).net_namespaces == (
        NetNamespace(name="default", netid=77),
    )


def test_a_uid_is_the_files_or_made_from_the_name() -> None:
    named = node(2).replace("name: n2", "name: n2, uid: 4f1c4b0e")

    first, second = cluster(node(1), named).host_subnets
    again, *_ = cluster(node(1)).host_subnets

    assert first.uid == again.uid
    assert len(first.uid) == 36
    assert second.uid == "4f1c4b0e"
