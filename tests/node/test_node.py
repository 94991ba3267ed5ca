"""A running node looks as the live one did: links, routes, iptables, bridge, flows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.pipeline import node_flows

if TYPE_CHECKING:
    from testbed.probe import LiveCluster, Node


@pytest.fixture
def oc_04(cluster: LiveCluster) -> Node:
    return cluster.node("oc-04.test")


@pytest.mark.parametrize(
    "line",
    [
        "default via 172.16.1.253 dev eth0 proto dhcp metric 100",
        "10.128.0.0/14 dev tun0 scope link",
        "172.16.1.0/24 dev eth0 proto kernel scope link src 172.16.1.25 metric 100",
        "172.17.0.0/16 dev docker0 proto kernel scope link src 172.17.0.1",
        "172.30.0.0/16 dev tun0",
    ],
)
def test_a_node_has_the_routes_of_the_live_one(oc_04: Node, line: str) -> None:
    routes = oc_04.run("ip", "route", "show")

    assert line in [route.strip() for route in routes.splitlines()]


def test_the_route_to_the_nodes_own_subnet_is_gone(oc_04: Node) -> None:
    assert "10.131.0.0/23" not in oc_04.run("ip", "route", "show")


@pytest.mark.parametrize(
    "line",
    [
        (
            "-A FORWARD -i tun0 ! -o tun0 -m comment --comment "
            '"administrator overrides" -j OPENSHIFT-ADMIN-OUTPUT-RULES'
        ),
        (
            '-A OPENSHIFT-FIREWALL-ALLOW -i tun0 -m comment --comment "from SDN to '
            'localhost" -j ACCEPT'
        ),
        (
            '-A POSTROUTING -s 127.0.0.0/8 -o tun0 -m comment --comment "SNAT for '
            'localhost access to hostports" -j MASQUERADE'
        ),
        (
            "-A OPENSHIFT-MASQUERADE -s 10.128.0.0/14 -m comment --comment "
            '"masquerade pod-to-service and pod-to-external traffic" -j MASQUERADE'
        ),
    ],
)
def test_a_node_has_the_iptables_rules_of_the_live_one(oc_04: Node, line: str) -> None:
    assert line in oc_04.run("iptables-save").splitlines()


def test_tun0_has_the_gateways_address_and_the_pods_mtu(oc_04: Node) -> None:
    shown = oc_04.run("ip", "address", "show", "dev", "tun0")

    assert "mtu 1450" in shown
    assert "inet 10.131.0.1/23" in shown


def test_a_node_forwards(oc_04: Node) -> None:
    assert oc_04.run("cat", "/proc/sys/net/ipv4/ip_forward").strip() == "1"


@pytest.mark.parametrize(
    "line",
    [
        "Bridge br0",
        "fail_mode: secure",
        "Port vxlan0",
        "type: vxlan",
        'options: {dst_port="4789", key=flow, remote_ip=flow}',
        "Port tun0",
        "type: internal",
    ],
)
def test_ovs_vsctl_shows_the_bridge_of_the_live_node(oc_04: Node, line: str) -> None:
    shown = oc_04.run("ovs-vsctl", "show")

    assert line in [shown_line.strip() for shown_line in shown.splitlines()]


def test_fragments_are_matched_by_their_own_headers(oc_04: Node) -> None:
    shown = oc_04.run("ovs-ofctl", "-O", "OpenFlow13", "show", "br0")

    assert "frags=nx-match" in shown


def test_every_node_holds_exactly_the_flows_of_the_pipeline(
    cluster: LiveCluster,
) -> None:
    for node in cluster.nodes:
        objects = cluster.objects

        dumped = {dumped.flow for dumped in node.switch.dump_flows()}

        assert dumped == set(node_flows(objects, objects.node(node.name)))


def test_a_nodes_dnsmasq_answers_on_its_own_address(oc_04: Node) -> None:
    assert oc_04.run("getent", "ahostsv4", "oc-01.test").startswith("172.16.1.15")
