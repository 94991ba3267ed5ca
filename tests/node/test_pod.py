"""A pod looks as the CNI plugin leaves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testbed.probe import LiveCluster, Pod


@pytest.fixture
def pod(cluster: LiveCluster) -> Pod:
    return cluster.pods_on("oc-04.test")[0]


def test_a_pods_mac_is_made_of_its_address(pod: Pod) -> None:
    assert pod.mac == "0a:58:0a:83:01:f1"


def test_a_pods_interface_has_the_mtu_of_the_cluster(pod: Pod) -> None:
    assert "mtu 1450" in pod.run("ip", "link", "show", "dev", "eth0")


@pytest.mark.parametrize(
    "line",
    [
        "default via 10.131.0.1 dev eth0",
        "10.131.0.0/23 dev eth0 proto kernel scope link src 10.131.1.241",
        "10.128.0.0/14 dev eth0",
        "224.0.0.0/4 dev eth0",
    ],
)
def test_a_pod_has_the_routes_of_the_cni_plugin(pod: Pod, line: str) -> None:
    routes = pod.run("ip", "route", "show")

    assert line in [route.strip() for route in routes.splitlines()]


def test_a_pod_asks_its_node_for_names(pod: Pod) -> None:
    first, search, *_ = pod.run("cat", "/etc/resolv.conf").splitlines()

    assert first == "nameserver 172.16.1.25"
    assert search.split()[1] == f"{pod.pod.namespace}.svc.cluster.local"


def test_the_port_on_br0_names_its_pod(pod: Pod) -> None:
    found = pod.node.run(
        "ovs-vsctl",
        "--bare",
        "--columns=external_ids,ofport",
        "find",
        "interface",
        f"external_ids:ip={pod.ip}",
    )

    identifiers, ofport = found.split("\n")[:2]
    assert "sandbox=" in identifiers
    assert ofport == str(pod.pod.ofport)


def test_nothing_but_lo_and_eth0_is_in_a_pod(pod: Pod) -> None:
    links = pod.run("ip", "-brief", "link").splitlines()

    assert [link.split()[0].partition("@")[0] for link in links] == ["lo", "eth0"]
