"""The underlay that is chosen where a file leaves it open."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from testbed.errors import TopologyError
from testbed.model import Underlay, UnderlayHost
from testbed.topology import loads

NETWORK = """\
kind: ClusterNetwork
metadata: {name: default}
clusterNetworks: [{CIDR: 10.128.0.0/14, hostSubnetLength: 9}]
serviceNetwork: 172.30.0.0/16
pluginName: redhat/openshift-ovs-subnet
"""


def text(*nodes: str, more: str = "", network: str = NETWORK) -> str:
    """Nodes with these addresses, and fields of the Underlay."""
    documents = [
        f"kind: HostSubnet\nmetadata: {{name: n{number}}}\nhostIP: {ip}\n"
        for number, ip in enumerate(nodes)
    ]
    return "---\n".join((f"kind: Underlay\n{more}", network, *documents))


def underlay(*nodes: str, more: str = "", network: str = NETWORK) -> Underlay:
    return loads(text(*nodes, more=more, network=network), "c.yaml").cluster.underlay


def problems(*nodes: str, more: str = "") -> tuple[str, ...]:
    with pytest.raises(TopologyError) as caught:
        loads(text(*nodes, more=more), "c.yaml")
    return caught.value.problems


def rogues(*last_octets: int) -> str:
    return "rogues:\n" + "".join(
        f"- {{name: r{octet}, ip: 192.168.1.{octet}}}\n" for octet in last_octets
    )


def test_an_underlay_fits_around_the_nodes() -> None:
    assert underlay("192.168.1.1", "192.168.1.2") == Underlay(
        subnet=IPv4Network("192.168.1.0/24"),
        gateway=IPv4Address("192.168.1.254"),
        external_network=IPv4Network("198.51.100.0/24"),
        external_gateway=IPv4Address("198.51.100.254"),
        external_hosts=(UnderlayHost(name="external", ip=IPv4Address("198.51.100.1")),),
        rogues=(),
        mtu=1450,
    )


def test_a_file_without_an_underlay_gets_the_same() -> None:
    everything = text("192.168.1.1")

    without = everything.partition("---\n")[2]

    assert loads(without, "c.yaml").cluster == loads(everything, "c.yaml").cluster


def test_the_gateway_is_the_last_address_that_nobody_has() -> None:
    found = underlay("192.168.1.1", more=rogues(252, 254))

    assert found.gateway == IPv4Address("192.168.1.253")


@pytest.mark.parametrize(
    ("other", "subnet"),
    [
        ("192.168.0.7", "192.168.0.0/23"),
        ("192.168.1.255", "192.168.0.0/22"),
        ("192.169.0.1", "192.168.0.0/15"),
    ],
)
def test_an_underlay_is_as_wide_as_the_nodes_need(other: str, subnet: str) -> None:
    assert underlay("192.168.1.1", other).subnet == IPv4Network(subnet)


def test_an_underlay_is_wider_where_every_address_is_taken() -> None:
    found = underlay("192.168.1.1", more=rogues(*range(2, 255)))

    assert found.subnet == IPv4Network("192.168.0.0/23")
    assert found.gateway == IPv4Address("192.168.1.0")


def test_an_external_network_is_none_that_is_taken() -> None:
    services = "serviceNetwork: 198.51.100.0/24"
    network = NETWORK.replace("serviceNetwork: 172.30.0.0/16", services)

    found = underlay("192.168.1.1", network=network)

    assert found.external_network == IPv4Network("203.0.113.0/24")


def test_an_underlay_without_external_hosts_may_say_so() -> None:
    assert underlay("192.168.1.1", more="externalHosts: []\n").external_hosts == ()


def test_an_external_host_leaves_its_address_to_a_gateway_that_insists_on_it() -> None:
    found = underlay("192.168.1.1", more="externalGateway: 198.51.100.1\n")

    assert [str(host.ip) for host in found.external_hosts] == ["198.51.100.2"]


@pytest.mark.parametrize("far", ["9.0.0.12", "172.16.1.1"])
def test_no_underlay_is_made_up_over_the_clusters_own_ranges(far: str) -> None:
    assert problems("172.18.1.1", far) == (
        (
            f"c.yaml:1: Underlay: subnet: is missing, and every network from {far} to "
            "172.18.1.1 overlaps the cluster's own"
        ),
    )


def test_an_address_in_a_wrong_range_does_not_widen_the_underlay() -> None:
    assert problems("192.168.1.1", "10.128.0.5") == (
        (
            "c.yaml:15: HostSubnet n1: hostIP: "
            "10.128.0.5 is inside the cluster's own 10.128.0.0/14"
        ),
    )


def test_when_every_address_is_wrong_the_underlay_is_not() -> None:
    assert problems("10.128.0.5") == (
        (
            "c.yaml:11: HostSubnet n0: hostIP: "
            "10.128.0.5 is inside the cluster's own 10.128.0.0/14"
        ),
    )


def test_no_other_underlay_is_made_up_for_a_broken_one() -> None:
    assert problems("172.18.1.1", "172.16.1.1", more="mtu: large\n") == (
        "c.yaml:2: Underlay: mtu: must be a whole number, not 'large'",
    )


def test_a_full_underlay_has_no_room_for_a_gateway() -> None:
    full = "subnet: 192.168.1.8/29\n" + rogues(10, 11, 12, 13, 14)

    assert problems("192.168.1.9", more=full) == (
        (
            "c.yaml:1: Underlay: gateway: is missing, and no address is left in "
            "192.168.1.8/29"
        ),
    )
