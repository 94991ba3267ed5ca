"""Addresses and routes lead packets as in Linux, whichever text they are read from."""

from __future__ import annotations

import json
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import DumpError
from testbed.host.links import assign_egress_ips, node_links
from testbed.netfilter import Interface, NextHop, Route, Routes, RouteType, Scope
from testbed.topology import load

if TYPE_CHECKING:
    from testbed.model import Cluster

ADDRESSES = """\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
    inet 127.0.0.1/8 scope host lo
       valid_lft forever preferred_lft forever
    inet6 ::1/128 scope host
       valid_lft forever preferred_lft forever
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc pfifo_fast state UP
    link/ether 52:54:ac:10:01:0f brd ff:ff:ff:ff:ff:ff
    inet 172.16.1.15/24 brd 172.16.1.255 scope global noprefixroute dynamic eth0
       valid_lft 80000sec preferred_lft 80000sec
    inet 172.16.1.200/24 brd 172.16.1.255 scope global secondary eth0
3: docker0: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue state DOWN
    inet 172.17.0.1/16 scope global docker0
7: ppp0: <POINTOPOINT,UP,LOWER_UP> mtu 1400 qdisc pfifo_fast state UNKNOWN
    inet 10.9.0.1 peer 10.9.0.2/32 scope global ppp0
9: vethab@if8: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 master docker0 state UP
11: tun0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 qdisc noqueue state UNKNOWN
    inet 10.128.0.1/23 brd 10.128.1.255 scope global tun0
"""
ROUTES = """\
default via 172.16.1.253 dev eth0 proto dhcp metric 100
10.9.0.2 dev ppp0 proto kernel scope link src 10.9.0.1
10.128.0.0/14 dev tun0 scope link
172.16.1.0/24 dev eth0 proto kernel scope link src 172.16.1.15 metric 100
172.17.0.0/16 dev docker0 proto kernel scope link src 172.17.0.1 linkdown
172.30.0.0/16 dev tun0
192.0.2.0/24 via 172.16.1.8 dev eth0 metric 50
192.0.2.0/24 via 172.16.1.9 dev eth0
192.0.2.128/25 via 172.16.1.7 dev eth0 metric 900
unreachable 198.18.0.0/15
"""


@pytest.fixture
def routes() -> Routes:
    return Routes.parse(addresses=ADDRESSES, routes=ROUTES)


def way(routes: Routes, destination: str) -> str:
    route = routes.lookup(IPv4Address(destination))
    return "" if route is None else " ".join(map(str, route.hops))


@pytest.mark.parametrize(
    ("destination", "hops"),
    [
        ("10.129.4.5", "dev tun0"),
        ("172.30.0.1", "dev tun0"),
        ("8.8.8.8", "via 172.16.1.253 dev eth0"),
        ("172.16.1.77", "dev eth0"),
        ("172.17.0.5", "dev docker0"),
        ("192.0.2.200", "via 172.16.1.7 dev eth0"),
        ("192.0.2.1", "via 172.16.1.9 dev eth0"),
        ("10.9.0.2", "dev ppp0"),
        ("10.128.0.1", "dev tun0"),
    ],
)
def test_the_longest_prefix_wins_then_the_lowest_metric(
    routes: Routes, destination: str, hops: str
) -> None:
    assert way(routes, destination) == hops


def test_where_no_route_leads_there_is_no_way(routes: Routes) -> None:
    without_default = Routes(
        interfaces=routes.interfaces,
        routes=tuple(r for r in routes.routes if r.network.prefixlen),
    )

    assert without_default.lookup(IPv4Address("8.8.8.8")) is None


def test_of_equal_routes_the_first_counts() -> None:
    text = "192.0.2.0/24 via 10.0.0.1 dev a\n192.0.2.0/24 via 10.0.0.2 dev b\n"

    assert way(Routes.parse(addresses="", routes=text), "192.0.2.1") == (
        "via 10.0.0.1 dev a"
    )


def test_a_thrown_packet_is_led_by_the_next_table() -> None:
    text = "throw 192.0.2.0/24\n0.0.0.0/0 dev b table default\n"

    assert way(Routes.parse(addresses="", routes=text), "192.0.2.1") == "dev b"


@pytest.mark.parametrize(
    ("ip", "kind"),
    [
        ("172.16.1.15", RouteType.LOCAL),
        ("172.16.1.200", RouteType.LOCAL),
        ("127.0.0.9", RouteType.LOCAL),
        ("10.128.1.255", RouteType.BROADCAST),
        ("10.128.0.0", RouteType.BROADCAST),
        ("127.255.255.255", RouteType.BROADCAST),
        ("255.255.255.255", RouteType.BROADCAST),
        ("0.1.2.3", RouteType.BROADCAST),
        ("224.0.0.5", RouteType.MULTICAST),
        ("10.9.0.1", RouteType.LOCAL),
        ("10.9.0.2", RouteType.UNICAST),
        ("8.8.8.8", RouteType.UNICAST),
        ("198.18.0.1", RouteType.UNICAST),
    ],
)
def test_an_address_is_to_the_machine_what_its_addresses_make_it(
    routes: Routes, ip: str, kind: RouteType
) -> None:
    assert routes.address_type(IPv4Address(ip)) is kind


def test_an_address_is_local_on_one_interface(routes: Routes) -> None:
    ip = IPv4Address("172.16.1.15")

    assert routes.address_type(ip, "eth0") is RouteType.LOCAL
    assert routes.address_type(ip, "tun0") is RouteType.UNICAST


def test_the_local_addresses_are_those_of_all_interfaces(routes: Routes) -> None:
    assert {str(ip) for ip in routes.local_addresses} == {
        "127.0.0.1",
        "172.16.1.15",
        "172.16.1.200",
        "172.17.0.1",
        "10.9.0.1",
        "10.128.0.1",
    }


@pytest.mark.parametrize(
    ("destination", "source"),
    [
        ("10.129.4.5", "10.128.0.1"),
        ("172.30.0.1", "10.128.0.1"),
        ("8.8.8.8", "172.16.1.15"),
        ("172.16.1.15", "172.16.1.15"),
        ("127.0.0.9", "127.0.0.1"),
    ],
)
def test_a_machine_sends_from_the_address_of_the_way(
    routes: Routes, destination: str, source: str
) -> None:
    assert routes.source_for(IPv4Address(destination)) == IPv4Address(source)


def test_a_machine_calls_itself_by_the_address_that_is_called() -> None:
    text = "local 10.0.0.9 dev eth0 table local scope host\n"
    routes = Routes.parse(addresses=ADDRESSES, routes=text)

    assert routes.source_for(IPv4Address("10.0.0.9")) == IPv4Address("10.0.0.9")


@pytest.mark.parametrize("destination", ["198.18.0.1", "224.0.0.1"])
def test_a_machine_has_no_source_for_where_no_route_leads(destination: str) -> None:
    routes = Routes.parse(addresses=ADDRESSES, routes="unreachable 198.18.0.0/15\n")

    assert routes.source_for(IPv4Address(destination)) is None


def test_an_address_of_the_receivers_network_is_chosen_first() -> None:
    addresses = """\
1: lo: <LOOPBACK,UP> mtu 65536
    inet 127.0.0.1/8 scope host lo
2: eth0: <UP> mtu 1500
    inet 10.1.0.2/24 scope global secondary eth0
    inet 10.0.0.1/24 scope global eth0
    inet 10.1.0.1/24 scope global eth0
3: bare: <UP> mtu 1500
"""
    routes = Routes.parse(addresses=addresses, routes="")

    def chosen(interface: str, toward: str) -> str:
        return str(routes.select_address(interface, IPv4Address(toward)))

    assert chosen("eth0", "10.1.0.9") == "10.1.0.1"
    assert chosen("eth0", "10.7.0.9") == "10.0.0.1"
    assert chosen("bare", "10.1.0.9") == "10.0.0.1"
    assert chosen("lo", "127.0.0.1") == "10.0.0.1"
    assert routes.first_address("bare") is None


def test_a_port_makes_its_master_a_bridge(routes: Routes) -> None:
    assert routes.is_bridge("docker0")
    assert not routes.is_bridge("eth0")


def test_a_routes_ways_each_have_their_weight() -> None:
    text = (
        "default proto static metric 100 \n"
        "\tnexthop via 10.0.0.1 dev a weight 3 \n"
        "\tnexthop via 10.0.0.2 dev b weight 1 dead linkdown \n"
    )

    (route,) = Routes.parse(addresses="", routes=text).routes

    assert route.hops == (
        NextHop(interface="a", gateway=IPv4Address("10.0.0.1"), weight=3),
    )


@pytest.mark.parametrize(
    "line",
    [
        "fe80::/64 dev eth0 proto kernel metric 256 pref medium",
        "default via fe80::1 dev eth0 proto ra metric 1024",
        "default dev eth0 metric 1024 pref medium",
        "local ::1 dev lo table local proto kernel metric 0",
        "unreachable ::/96 dev lo metric 1024 error -113",
        "192.0.2.0/24 tos 0x10 via 10.0.0.1 dev a",
    ],
)
def test_what_no_plain_ipv4_packet_takes_is_passed_over(line: str) -> None:
    assert Routes.parse(addresses="", routes=f"{line}\n").routes == ()


def test_an_ipv4_route_may_go_by_a_gateway_of_ipv6() -> None:
    text = "10.0.0.0/8 via inet6 fe80::1 dev a\n"

    assert way(Routes.parse(addresses="", routes=text), "10.1.2.3") == "dev a"


def test_a_dead_route_leads_nowhere() -> None:
    text = "default via 10.0.0.1 dev a dead linkdown\n"

    assert (
        Routes.parse(addresses="", routes=text).lookup(IPv4Address("8.8.8.8")) is None
    )


def test_a_routes_text_says_where_it_leads(routes: Routes) -> None:
    shown = [str(route) for route in routes.routes]

    assert "default via 172.16.1.253 dev eth0 metric 100" in shown
    assert "10.9.0.2 dev ppp0 scope link src 10.9.0.1" in shown
    assert "unreachable 198.18.0.0/15" in shown


def test_json_says_the_same_as_text() -> None:
    addresses = json.dumps(
        [
            {
                "ifname": "eth0",
                "flags": ["UP"],
                "addr_info": [
                    {
                        "family": "inet",
                        "local": "172.16.1.200",
                        "prefixlen": 24,
                        "broadcast": "172.16.1.255",
                        "scope": "global",
                        "secondary": True,
                    },
                    {"family": "inet6", "local": "fe80::1", "prefixlen": 64},
                ],
            },
            {},
            {
                "ifname": "ppp0",
                "addr_info": [
                    {
                        "family": "inet",
                        "local": "10.9.0.1",
                        "address": "10.9.0.2",
                        "prefixlen": 32,
                        "scope": "global",
                    }
                ],
            },
            {"ifname": "vethab", "master": "docker0", "addr_info": []},
        ]
    )
    routes = json.dumps(
        [
            {
                "dst": "default",
                "gateway": "172.16.1.253",
                "dev": "eth0",
                "protocol": "dhcp",
                "metric": 100,
                "flags": [],
            },
            {
                "type": "local",
                "dst": "172.16.1.15",
                "dev": "eth0",
                "table": "local",
                "scope": "host",
                "prefsrc": "172.16.1.15",
                "flags": [],
            },
            {"dst": "fe80::/64", "dev": "eth0", "metric": 256, "pref": "medium"},
            {"type": "blackhole", "dst": "192.0.2.0/24", "table": 254, "flags": []},
        ]
    )
    text = """\
default via 172.16.1.253 dev eth0 proto dhcp metric 100
local 172.16.1.15 dev eth0 table local scope host src 172.16.1.15
blackhole 192.0.2.0/24
"""
    shown = """\
2: eth0: <UP> mtu 1500
    inet 172.16.1.200/24 brd 172.16.1.255 scope global secondary eth0
    inet6 fe80::1/64 scope link
3: ppp0: <UP> mtu 1500
    inet 10.9.0.1 peer 10.9.0.2/32 scope global ppp0
4: vethab@if9: <UP> mtu 1500 master docker0
"""

    read = Routes.parse(addresses=addresses, routes=routes)

    assert read == Routes.parse(addresses=shown, routes=text)


def test_a_debug_scripts_headline_is_passed_over(routes: Routes) -> None:
    read = Routes.parse(
        addresses=f"> ip addr show\n\n{ADDRESSES}",
        routes=f"> ip route show\n\n{ROUTES}",
    )

    assert read == routes


def test_only_without_a_table_local_it_follows_from_the_addresses() -> None:
    text = "local 10.0.0.9 dev eth0 table local scope host\n"
    routes = Routes.parse(addresses=ADDRESSES, routes=ROUTES + text)

    assert routes.address_type(IPv4Address("10.0.0.9")) is RouteType.LOCAL
    assert routes.address_type(IPv4Address("172.16.1.15")) is RouteType.UNICAST


@pytest.mark.parametrize(
    ("addresses", "routes", "said"),
    [
        ("bash: ip: command not found", "", "ip address:1: this is no interface"),
        ("    inet 10.0.0.1/8 eth0", "", "ip address:1: this is no interface"),
        (
            "2: eth0: <UP>\n    inet 10.0.0.1/99 eth0",
            "",
            "ip address:1: cannot read this",
        ),
        ('[{"ifname": }]', "", "ip address:1: "),
        ('[{"address": "10.0.0.1"}]', "", "ip address: entry 1: cannot read this"),
        ("", "bash: ip: command not found", "ip route:1: bash: ip:"),
        ("", "default dev a\nlocal", "ip route:2: local"),
        ("", "10.0.0.0/33 dev a", "ip route:1: 10.0.0.0/33 dev a: cannot read this"),
        ("", "default via 10.0.0 dev a", "ip route:1: default via 10.0.0"),
        ("", "default dev a metric ten", "ip route:1: default dev a metric ten"),
        ("", '[{"dst": 7}]', "ip route: entry 1: cannot read this"),
    ],
)
def test_a_text_that_is_something_else_is_refused_with_its_line(
    addresses: str, routes: str, said: str
) -> None:
    with pytest.raises(DumpError) as raised:
        Routes.parse(addresses=addresses, routes=routes)

    assert str(raised.value).startswith(said)


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return load(Path(__file__).parents[2] / "topologies" / "multitenant.yaml").cluster


def test_a_computed_node_has_the_network_of_the_live_one(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    egress_ip = IPv4Address("172.16.1.200")

    routes = Routes.from_batch(
        node_links(cluster, node) + assign_egress_ips(cluster, [egress_ip])
    )

    main = [str(route) for route in routes.routes if route.table == "main"]
    assert main == [
        f"{cluster.underlay.subnet} dev eth0 scope link src {node.host_ip} metric 100",
        f"default via {cluster.underlay.gateway} dev eth0 metric 100",
        "172.17.0.0/16 dev docker0 scope link src 172.17.0.1",
        *(f"{cidr} dev tun0 scope link" for cidr in cluster.cidrs),
        f"{cluster.network.service_network} dev tun0",
    ]
    eth0 = next(item for item in routes.interfaces if item.name == "eth0")
    assert [(address.ip, address.is_secondary) for address in eth0.addresses] == [
        (node.host_ip, False),
        (egress_ip, True),
    ]
    assert routes.source_for(IPv4Address("8.8.8.8")) == node.host_ip
    assert routes.is_bridge("docker0")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("link set lo up\naddr flush dev eth0\n", 2),
        ("route add nonsense dev tun0\n", 1),
        ("route del 10.0.0.0/8 dev tun0\n", 1),
        ("route add 10.0.0.0/8 dev a\nroute add 10.0.0.0/8 dev b\n", 2),
        ("addr add 10.0.0.1/24\n", 1),
        ("route add fe80::/64 dev a\n", 1),
    ],
)
def test_a_batch_that_ip_would_refuse_is_refused_with_its_line(
    text: str, line: int
) -> None:
    with pytest.raises(DumpError, match=f"ip -batch:{line}: "):
        Routes.from_batch(text)


def test_a_batch_replaces_and_deletes_routes() -> None:
    routes = Routes.from_batch(
        "# a comment\n"
        "addr add 10.0.0.1/24 brd + dev a\n"
        "route replace default via 10.0.0.8 dev a metric 5\n"
        "route replace default via 10.0.0.9 dev a metric 5\n"
        "route add 10.7.0.0/16 dev a\n"
        "route del 10.0.0.0/24 dev a\n"
    )

    main = tuple(route for route in routes.routes if route.table == "main")
    hops = (NextHop(interface="a"),)
    assert main == (
        Route(
            network=IPv4Network("0.0.0.0/0"),
            hops=(NextHop(interface="a", gateway=IPv4Address("10.0.0.9")),),
            metric=5,
        ),
        Route(network=IPv4Network("10.7.0.0/16"), hops=hops, scope=Scope.LINK),
    )
    assert routes.interfaces[0] == Interface(name="lo")


ROUTE_WORDS = sorted({*ROUTES.split(), "nexthop", "via", "fe80::1", "10.0.0.0/8", ":"})


@given(words=st.lists(st.sampled_from(ROUTE_WORDS) | st.text(max_size=5), max_size=8))
def test_any_line_is_read_or_refused(words: list[str]) -> None:
    line = " ".join(words)

    for addresses, routes in ((line, ""), ("", line)):
        with suppress(DumpError):
            Routes.parse(addresses=addresses, routes=routes)
    with suppress(DumpError):
        Routes.from_batch(f"route add {line}")
    with suppress(DumpError):
        Routes.from_batch(f"addr add {line}")
