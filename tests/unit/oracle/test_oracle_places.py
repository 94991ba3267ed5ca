"""Where packets go by their address alone: pods, nodes, ghosts, the outside, ARP."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from testbed.model import Plugin

if TYPE_CHECKING:
    from tests.unit.oracle.conftest import Asker

NOBODY = "no pod has this address"
NO_SUBNET = "no node has this subnet"
NO_MACHINE = "no machine has this address"


@pytest.mark.parametrize("plugin", Plugin)
@pytest.mark.parametrize("sender", ["shop/web", "oc-04", "oc-01", "www", "rogue", "f5"])
@pytest.mark.parametrize(
    ("to", "reason"), [("10.131.0.99", NOBODY), ("10.130.2.1", NO_SUBNET)]
)
def test_an_address_without_owner_is_never_reached(
    town: Asker, plugin: Plugin, sender: str, to: str, reason: str
) -> None:
    assert town.under(plugin).verdict(sender, to) == ("dropped", reason)


@pytest.mark.parametrize(
    ("sender", "to", "seen"),
    [
        ("shop/web", "shop/db", "shop/db 10.131.1.241 0 10.131.0.16:80"),
        ("shop/web", "bank/vault", "bank/vault 10.131.1.241 0 10.129.0.7:80"),
        ("oc-04", "shop/web", "shop/web 10.131.0.1 0 10.131.1.241:80"),
        ("oc-04", "bank/vault", "bank/vault 10.131.0.1 0 10.129.0.7:80"),
        ("default/router", "shop/web", "shop/web 10.128.0.1 0 10.131.1.241:80"),
        ("www", "shop/web", "shop/web 198.51.100.10 0 10.131.1.241:80"),
        ("rogue", "shop/web", "shop/web 172.16.1.66 0 10.131.1.241:80"),
        ("f5", "shop/web", "shop/web 10.128.4.1 7 10.131.1.241:80"),
        ("shop/web", "10.128.4.9", "f5 10.131.1.241 7 10.128.4.9:80"),
        ("www", "10.128.4.9", "f5 198.51.100.10 7 10.128.4.9:80"),
        ("shop/web", "10.131.0.1", "oc-04 10.131.1.241 None 10.131.0.1:80"),
        ("shop/web", "10.129.0.1", "oc-02 10.131.1.241 None 10.129.0.1:80"),
        ("oc-04", "10.129.0.1", "oc-02 10.131.0.1 None 10.129.0.1:80"),
        ("oc-04", "10.131.0.1", "oc-04 172.16.1.25 None 10.131.0.1:80"),
        ("oc-04", "oc-04", "oc-04 172.16.1.25 None 172.16.1.25:80"),
        ("oc-04", "oc-02", "oc-02 172.16.1.25 None 172.16.1.16:80"),
        ("oc-04", "www", "www 172.16.1.25 None 198.51.100.10:80"),
        ("oc-04", "f5", "f5 172.16.1.25 None 172.16.1.200:80"),
        ("shop/web", "oc-04", "oc-04 10.131.1.241 None 172.16.1.25:80"),
        ("shop/web", "oc-02", "oc-02 172.16.1.25 None 172.16.1.16:80"),
        ("shop/web", "www", "www 172.16.1.25 None 198.51.100.10:80"),
        ("shop/web", "rogue", "rogue 172.16.1.25 None 172.16.1.66:80"),
        ("shop/web", "f5", "f5 172.16.1.25 None 172.16.1.200:80"),
        ("shop/web", "172.17.0.1", "oc-04 10.131.1.241 None 172.17.0.1:80"),
        ("www", "oc-02", "oc-02 198.51.100.10 None 172.16.1.16:80"),
        ("www", "10.129.0.1", "oc-02 198.51.100.10 None 10.129.0.1:80"),
        ("www", "api", "api 198.51.100.10 None 198.51.100.20:80"),
        ("f5", "oc-02", "oc-02 172.16.1.200 None 172.16.1.16:80"),
        ("shop/web", "shop/web", "shop/web 10.131.1.241 None 10.131.1.241:80"),
        ("shop/web", "127.0.0.1", "shop/web 10.131.1.241 None 127.0.0.1:80"),
    ],
)
def test_under_ovs_subnet_every_address_is_reached(
    sub: Asker, sender: str, to: str, seen: str
) -> None:
    assert sub.seen(sender, to) == [seen]


def test_a_ghost_without_fixed_vnid_sees_the_senders(mt: Asker) -> None:
    asker = mt.with_node("f5", fixed_vnid=None)

    assert asker.seen("shop/web", "10.128.4.9") == [
        "f5 10.131.1.241 4711 10.128.4.9:80"
    ]
    assert asker.seen("f5", "shop/web") == ["shop/web 10.128.4.1 0 10.131.1.241:80"]


@pytest.mark.parametrize("to", ["203.0.113.9", "172.17.0.9", "172.16.1.99"])
@pytest.mark.parametrize("sender", ["shop/web", "oc-04", "www"])
def test_an_outside_address_that_nobody_has_is_lost(
    sub: Asker, sender: str, to: str
) -> None:
    assert sub.verdict(sender, to) == ("dropped", NO_MACHINE)


@pytest.mark.parametrize("to", ["www", "oc-04", "oc-02"])
def test_pods_may_not_send_vxlan(sub: Asker, to: str) -> None:
    assert sub.verdict("shop/web", to, "udp/4789") == (
        "dropped",
        "pods may not send VXLAN",
    )


def test_the_vxlan_port_is_the_clusters(sub: Asker) -> None:
    network = replace(sub.cluster.network, vxlan_port=4790)
    asker = sub.having(network=network)

    assert asker("shop/web", "www", "udp/4789").outcome == "delivered"
    assert asker("shop/web", "www", "udp/4790").outcome == "dropped"


def test_pods_may_use_the_vxlan_port_among_themselves(sub: Asker) -> None:
    assert sub("shop/web", "shop/db", "udp/4789").outcome == "delivered"


@pytest.mark.parametrize(
    ("sender", "to"), [("rogue", "oc-04"), ("www", "oc-04"), ("shop/web", "10.131.0.1")]
)
def test_vxlan_is_taken_from_host_subnets_only(
    sub: Asker, sender: str, to: str
) -> None:
    assert sub.verdict(sender, to, "udp/4789") == (
        "dropped",
        "VXLAN from an address that no HostSubnet has",
    )
    assert sub("oc-02", "oc-04", "udp/4789").outcome == "delivered"
    assert sub("f5", "oc-04", "udp/4789").outcome == "delivered"
    assert sub(sender, to, "tcp/4789").outcome == "delivered"


@pytest.mark.parametrize("plugin", Plugin)
@pytest.mark.parametrize(
    ("sender", "to", "receiver"),
    [
        ("shop/web", "10.131.0.1", "oc-04"),
        ("shop/web", "10.129.0.1", "oc-02"),
        ("shop/web", "bank/teller", "bank/teller"),
        ("shop/web", "bank/vault", "bank/vault"),
        ("shop/web", "10.128.4.9", "f5"),
        ("oc-04", "bank/teller", "bank/teller"),
        ("oc-04", "bank/vault", "bank/vault"),
        ("oc-04", "10.129.0.1", "oc-02"),
        ("oc-04", "oc-02", "oc-02"),
        ("f5", "bank/vault", "bank/vault"),
        ("f5", "oc-02", "oc-02"),
        ("rogue", "oc-02", "oc-02"),
        ("rogue", "10.129.0.1", "oc-02"),
        ("www", "api", "api"),
    ],
)
def test_arp_finds_who_has_the_address_whatever_the_tenant(
    town: Asker, plugin: Plugin, sender: str, to: str, receiver: str
) -> None:
    (seen,) = town.under(plugin).seen(sender, to, "arp")

    assert seen.split()[0] == receiver


@pytest.mark.parametrize(
    ("sender", "to", "reason"),
    [
        ("shop/web", "10.131.0.99", NOBODY),
        ("shop/web", "10.130.2.1", NO_SUBNET),
        ("shop/web", "oc-04", "ARP does not leave the cluster network"),
        ("shop/web", "172.30.0.1", "ARP does not leave the cluster network"),
        ("shop/web", "shop/web", "nobody else has the sender's address"),
        ("oc-04", "172.30.0.1", "ARP does not leave the cluster network"),
        ("oc-04", "10.131.0.1", "nobody else has the sender's address"),
        ("oc-04", "www", "no machine on the sender's wire has this address"),
        ("rogue", "shop/web", "no machine on the sender's wire has this address"),
        ("www", "oc-04", "no machine on the sender's wire has this address"),
        ("www", "10.129.0.1", "no machine on the sender's wire has this address"),
        ("www", "www", "nobody else has the sender's address"),
    ],
)
def test_arp_ends_where_the_wire_ends(
    mt: Asker, sender: str, to: str, reason: str
) -> None:
    assert mt.verdict(sender, to, "arp") == ("dropped", reason)


def test_an_arp_request_carries_its_senders_vnid(mt: Asker) -> None:
    assert mt.seen("shop/web", "bank/vault", "arp") == [
        "bank/vault 10.131.1.241 4711 10.129.0.7:None"
    ]
    assert mt.seen("shop/web", "10.128.4.9", "arp") == [
        "f5 10.131.1.241 7 10.128.4.9:None"
    ]


def test_ovs_subnet_delivers_no_multicast(sub: Asker) -> None:
    asker = sub.with_namespace("shop", multicast_enabled=True)

    assert asker.verdict("shop/web", "239.0.0.1", "udp/5000") == (
        "dropped",
        "ovs-subnet delivers no multicast",
    )


@pytest.mark.parametrize("plugin", [Plugin.MULTITENANT, Plugin.NETWORKPOLICY])
def test_multicast_reaches_every_other_pod_of_the_vnid(
    town: Asker, plugin: Plugin
) -> None:
    asker = town.under(plugin).with_namespace("shop", multicast_enabled=True)

    assert asker("shop/web", "239.0.0.1", "udp/5000").everyone
    assert asker.seen("shop/web", "239.0.0.1", "udp/5000") == [
        "shop/db 10.131.1.241 4711 239.0.0.1:5000",
        "shop/cache 10.131.1.241 4711 239.0.0.1:5000",
        "f5 10.131.1.241 4711 239.0.0.1:5000",
    ]


def test_multicast_must_be_enabled(mt: Asker) -> None:
    assert mt.verdict("shop/web", "239.0.0.1", "udp/5000") == (
        "dropped",
        "NetNamespace shop has not enabled multicast",
    )


def test_one_namespace_of_a_vnid_disables_multicast_for_all(mt: Asker) -> None:
    asker = mt.with_namespace("shop", multicast_enabled=True)
    joined = asker.with_namespace("bank", netid=4711)

    assert joined("shop/web", "239.0.0.1", "udp/5000").outcome == "dropped"


def test_multicast_of_a_lonely_pod_reaches_nobody(mt: Asker) -> None:
    asker = mt.with_namespace("default", multicast_enabled=True).having(
        host_subnets=mt.cluster.nodes
    )

    assert asker.verdict("default/registry", "239.0.0.1", "udp/5000") == (
        "dropped",
        "no other pod has VNID 0",
    )


@pytest.mark.parametrize(
    ("sender", "reason"),
    [
        ("oc-04", "multicast of nodes is kept from pods"),
        ("www", "multicast does not enter the cluster"),
        ("f5", "multicast does not enter the cluster"),
    ],
)
def test_multicast_of_others_does_not_reach_pods(
    mt: Asker, sender: str, reason: str
) -> None:
    asker = mt.with_namespace("default", multicast_enabled=True)

    assert asker.verdict(sender, "239.0.0.1", "udp/5000") == ("dropped", reason)


@pytest.mark.parametrize(
    ("sender", "to", "verdict"),
    [
        ("shop/web", "shop/db", ("delivered", "same VNID")),
        ("shop/web", "shop/cache", ("delivered", "same VNID")),
        ("shop/web", "bank/teller", ("dropped", "different VNID")),
        ("shop/web", "bank/vault", ("dropped", "different VNID")),
        ("shop/web", "default/registry", ("delivered", "global namespace")),
        ("default/registry", "bank/vault", ("delivered", "global namespace")),
        ("oc-04", "bank/teller", ("delivered", "the pod's own node")),
        ("oc-04", "bank/vault", ("delivered", "global namespace")),
        ("www", "bank/vault", ("delivered", "global namespace")),
        ("f5", "bank/vault", ("dropped", "different VNID")),
        ("shop/web", "10.129.0.1", ("delivered", "nothing filters what is for a node")),
    ],
)
def test_ovs_multitenant_isolates_by_vnid(
    mt: Asker, sender: str, to: str, verdict: tuple[str, str]
) -> None:
    assert mt.verdict(sender, to) == verdict


def test_joined_namespaces_may_talk(mt: Asker) -> None:
    joined = mt.with_namespace("bank", netid=4711)

    assert joined.verdict("shop/web", "bank/vault") == ("delivered", "same VNID")


def test_a_pod_on_another_node_with_the_same_address_range_is_found(sub: Asker) -> None:
    moved = replace(sub.cluster.pod("shop/db"), ip=IPv4Address("10.131.0.17"))
    pods = [pod for pod in sub.cluster.pods if pod.key != "shop/db"]
    asker = sub.having(pods=(*pods, moved))

    assert asker.verdict("shop/web", "10.131.0.16") == ("dropped", NOBODY)
    assert asker("shop/web", "10.131.0.17").outcome == "delivered"
