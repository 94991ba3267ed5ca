"""How pods leave the cluster: EgressNetworkPolicy and egress IPs."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import pytest

from testbed.model import EgressNetworkPolicy, EgressRule, Plugin

if TYPE_CHECKING:
    from tests.unit.oracle.conftest import Asker

BOTH = (Plugin.MULTITENANT, Plugin.NETWORKPOLICY)
EIP, EIP2 = IPv4Address("172.16.1.101"), IPv4Address("172.16.1.102")
NONE_USABLE = ("dropped", "egress IPs of shop: none can be used")


def allow(target: str) -> EgressRule:
    return rule(target, allowed=True)


def deny(target: str) -> EgressRule:
    return rule(target, allowed=False)


def rule(target: str, *, allowed: bool) -> EgressRule:
    if target[0].isdigit():
        return EgressRule(allow=allowed, cidr=IPv4Network(target))
    return EgressRule(allow=allowed, dns_name=target)


def filtered(asker: Asker, *rules: EgressRule, namespace: str = "shop") -> Asker:
    """One more EgressNetworkPolicy."""
    policy = EgressNetworkPolicy(namespace=namespace, name="default", egress=rules)
    others = asker.cluster.egress_network_policies
    return asker.having(egress_network_policies=(*others, policy))


@pytest.mark.parametrize("plugin", BOTH)
@pytest.mark.parametrize(
    ("rules", "verdict"),
    [
        ((), ("delivered", "no EgressNetworkPolicy")),
        (
            (deny("198.51.100.0/24"),),
            ("dropped", "EgressNetworkPolicy shop/default rule 1"),
        ),
        (
            (allow("198.51.100.10/32"), deny("0.0.0.0/0")),
            ("delivered", "EgressNetworkPolicy shop/default rule 1"),
        ),
        (
            (deny("0.0.0.0/0"), allow("198.51.100.10/32")),
            ("dropped", "EgressNetworkPolicy shop/default rule 1"),
        ),
        (
            (allow("203.0.113.0/24"), deny("0.0.0.0/32")),
            ("dropped", "EgressNetworkPolicy shop/default rule 2"),
        ),
        (
            (deny("203.0.113.0/24"),),
            (
                "delivered",
                "EgressNetworkPolicy shop/default has no rule for the address",
            ),
        ),
        (
            (deny("www.example.com"),),
            ("dropped", "EgressNetworkPolicy shop/default rule 1"),
        ),
        (
            (allow("www.example.com"), deny("0.0.0.0/0")),
            ("delivered", "EgressNetworkPolicy shop/default rule 1"),
        ),
        (
            (allow("api.example.com"), deny("0.0.0.0/0")),
            ("dropped", "EgressNetworkPolicy shop/default rule 2"),
        ),
        (
            (deny("gone.example.com"),),
            (
                "delivered",
                "EgressNetworkPolicy shop/default has no rule for the address",
            ),
        ),
    ],
)
def test_the_first_rule_for_the_address_decides(
    town: Asker, plugin: Plugin, rules: tuple[EgressRule, ...], verdict: tuple[str, str]
) -> None:
    assert filtered(town.under(plugin), *rules).verdict("shop/web", "www") == verdict


def test_ovs_subnet_has_no_egress_policy(sub: Asker) -> None:
    asker = filtered(sub, deny("0.0.0.0/0"))

    assert asker.verdict("shop/web", "www") == (
        "delivered",
        "ovs-subnet filters nothing",
    )


@pytest.mark.parametrize("to", ["oc-04", "oc-02", "172.17.0.1", "f5"])
def test_nodes_are_outside_the_cluster_network(mt: Asker, to: str) -> None:
    assert filtered(mt, deny("0.0.0.0/0"))("shop/web", to).outcome == "dropped"


@pytest.mark.parametrize("to", ["shop/db", "shop/cache", "10.131.0.1", "10.129.0.1"])
def test_egress_policy_is_not_about_the_cluster_network(mt: Asker, to: str) -> None:
    assert filtered(mt, deny("0.0.0.0/0"))("shop/web", to).outcome == "delivered"


def test_nodes_and_other_namespaces_are_not_filtered(mt: Asker) -> None:
    asker = filtered(mt, deny("0.0.0.0/0"))

    assert asker("oc-04", "www").outcome == "delivered"
    assert asker("bank/vault", "www").outcome == "delivered"


@pytest.mark.parametrize("what", ["tcp/53", "udp/53"])
def test_dns_of_the_own_node_is_never_filtered(mt: Asker, what: str) -> None:
    asker = filtered(mt, deny("0.0.0.0/0"))

    assert asker.verdict("shop/web", "oc-04", what) == (
        "delivered",
        "DNS to the pod's own node",
    )
    assert asker("shop/web", "oc-02", what).outcome == "dropped"
    assert asker("shop/web", "oc-04", "icmp").outcome == "dropped"


def test_two_policies_let_nothing_out(mt: Asker) -> None:
    asker = filtered(filtered(mt, allow("0.0.0.0/0")), allow("0.0.0.0/0"))

    assert asker.verdict("shop/web", "www") == (
        "dropped",
        "namespace shop has more than one EgressNetworkPolicy",
    )


def test_a_policy_without_rules_does_not_count(mt: Asker) -> None:
    asker = filtered(filtered(mt, allow("0.0.0.0/0")))

    assert asker("shop/web", "www").outcome == "delivered"


def test_on_a_shared_vnid_a_policy_lets_nothing_out(mt: Asker) -> None:
    asker = filtered(mt, allow("0.0.0.0/0")).with_namespace("bank", netid=4711)

    for sender in ("shop/web", "bank/vault"):
        assert asker.verdict(sender, "www") == (
            "dropped",
            "EgressNetworkPolicy shop/default: namespaces share VNID 4711",
        )


def test_a_global_namespace_is_not_held_to_its_policy(mt: Asker) -> None:
    asker = filtered(mt, deny("0.0.0.0/0"), namespace="default")

    assert asker.verdict("default/registry", "www") == (
        "delivered",
        "EgressNetworkPolicy does not hold for global namespaces",
    )


def with_egress(
    asker: Asker, wanted: tuple[IPv4Address, ...], **offered: tuple[IPv4Address, ...]
) -> Asker:
    """Shop wants addresses; nodes, as ``oc_02``, offer some."""
    asker = asker.with_namespace("shop", egress_ips=wanted)
    for node, ips in offered.items():
        asker = asker.with_node(node.replace("_", "-"), egress_ips=ips)
    return asker


@pytest.mark.parametrize("plugin", BOTH)
@pytest.mark.parametrize("node", ["oc_04", "oc_02"])
def test_a_namespace_leaves_by_its_egress_ip(
    town: Asker, plugin: Plugin, node: str
) -> None:
    asker = with_egress(town.under(plugin), (EIP,), **{node: (EIP,)})

    assert asker.verdict("shop/web", "www") == (
        "delivered",
        f"egress IP {EIP} of shop",
    )
    assert asker.seen("shop/web", "www") == [f"www {EIP} None 198.51.100.10:80"]
    assert asker.seen("bank/teller", "www") == ["www 172.16.1.25 None 198.51.100.10:80"]


def test_ovs_subnet_has_no_egress_ips(sub: Asker) -> None:
    asker = with_egress(sub, (EIP,), oc_02=(EIP,))

    assert asker.seen("shop/web", "www") == ["www 172.16.1.25 None 198.51.100.10:80"]
    assert asker.verdict("www", str(EIP)) == ("dropped", "no machine has this address")


@pytest.mark.parametrize("ip", ["198.51.100.99", "172.16.1.16"])
def test_an_address_that_its_node_cannot_have_is_replaced_by_the_nodes(
    mt: Asker, ip: str
) -> None:
    eip = IPv4Address(ip)
    asker = with_egress(mt, (eip,), oc_02=(eip,))

    assert asker.seen("shop/web", "www") == ["www 172.16.1.16 None 198.51.100.10:80"]
    assert asker("www", "oc-02").outcome == "delivered"


def test_an_egress_ip_that_no_node_offers_drops(mt: Asker) -> None:
    assert with_egress(mt, (EIP,)).verdict("shop/web", "www") == NONE_USABLE


def test_an_egress_ip_that_two_nodes_offer_drops(mt: Asker) -> None:
    asker = with_egress(mt, (EIP,), oc_01=(EIP,), oc_02=(EIP,))

    assert asker.verdict("shop/web", "www") == NONE_USABLE


def test_two_egress_ips_on_one_node_are_both_void(mt: Asker) -> None:
    asker = with_egress(mt, (EIP, EIP2), oc_02=(EIP, EIP2))

    assert asker.verdict("shop/web", "www") == NONE_USABLE


def test_an_egress_ip_that_two_namespaces_want_spoils_the_rest(mt: Asker) -> None:
    asker = with_egress(mt, (EIP, EIP2), oc_01=(EIP,), oc_02=(EIP2,))
    asker = asker.with_namespace("bank", egress_ips=(EIP2,))

    assert asker.verdict("shop/web", "www") == NONE_USABLE
    assert asker("bank/vault", "www").outcome == "dropped"


def test_the_first_usable_egress_ip_is_used(mt: Asker) -> None:
    asker = with_egress(mt, (EIP, EIP2), oc_01=(EIP2,), oc_02=(EIP,))
    assert asker.seen("shop/web", "www") == [f"www {EIP} None 198.51.100.10:80"]

    lacking = with_egress(mt, (EIP, EIP2), oc_01=(EIP2,))
    assert lacking.seen("shop/web", "www") == [f"www {EIP2} None 198.51.100.10:80"]


def test_a_dead_node_is_avoided_where_there_is_another_address(mt: Asker) -> None:
    dead = frozenset({"oc-02.test"})
    two = with_egress(mt, (EIP, EIP2), oc_01=(EIP2,), oc_02=(EIP,))
    one = with_egress(mt, (EIP,), oc_02=(EIP,))

    assert two.having(offline_nodes=dead).seen("shop/web", "www") == [
        f"www {EIP2} None 198.51.100.10:80"
    ]
    assert one.having(offline_nodes=dead).seen("shop/web", "www") == [
        f"www {EIP} None 198.51.100.10:80"
    ]
    all_dead = two.having(offline_nodes=dead | {"oc-01.test"})
    assert all_dead.verdict("shop/web", "www") == NONE_USABLE


def test_of_namespaces_that_share_a_vnid_the_last_ones_wishes_count(mt: Asker) -> None:
    asker = with_egress(mt, (EIP,), oc_01=(EIP2,), oc_02=(EIP,))
    asker = asker.with_namespace("bank", netid=4711, egress_ips=(EIP2,))

    for sender in ("shop/web", "bank/vault"):
        assert asker.seen(sender, "www") == [f"www {EIP2} None 198.51.100.10:80"]


def test_egress_policy_is_enforced_where_the_egress_ip_is(mt: Asker) -> None:
    asker = filtered(with_egress(mt, (EIP,), oc_02=(EIP,)), deny("198.51.100.0/24"))

    assert asker.verdict("shop/web", "www") == (
        "dropped",
        "EgressNetworkPolicy shop/default rule 1",
    )


def test_dns_takes_no_egress_ip(mt: Asker) -> None:
    asker = with_egress(mt, (EIP,), oc_02=(EIP,))
    asker = filtered(asker, deny("0.0.0.0/0"))

    assert asker.seen("shop/web", "oc-04", "udp/53") == [
        "oc-04 10.131.1.241 None 172.16.1.25:53"
    ]
    assert with_egress(mt, (EIP,)).verdict("shop/web", "oc-04", "udp/53")[0] == (
        "delivered"
    )


def test_dns_to_the_node_of_the_egress_ip_gets_lost(mt: Asker) -> None:
    """Its flow does not make it a frame for that node, whose kernel ignores it."""
    asker = with_egress(mt, (EIP,), oc_02=(EIP,))

    assert asker.verdict("shop/web", "oc-02", "udp/53") == (
        "dropped",
        "DNS to the node of the egress IP bears another node's MAC",
    )


def test_the_own_node_too_is_reached_from_the_egress_ip(mt: Asker) -> None:
    asker = with_egress(mt, (EIP,), oc_02=(EIP,))

    assert asker.seen("shop/web", "oc-04") == [f"oc-04 {EIP} None 172.16.1.25:80"]
    assert asker.seen("shop/web", "oc-02") == ["oc-02 10.131.1.241 None 172.16.1.16:80"]


@pytest.mark.parametrize("sender", ["www", "rogue", "oc-01", "oc-02", "bank/teller"])
def test_an_egress_ip_takes_no_new_connections(mt: Asker, sender: str) -> None:
    asker = with_egress(mt, (EIP,), oc_02=(EIP,))

    assert asker.verdict(sender, str(EIP)) == (
        "rejected",
        f"egress IP {EIP} of shop takes no new connections",
    )


def test_an_egress_ip_is_open_to_pods_of_its_node(mt: Asker) -> None:
    asker = with_egress(mt, (EIP,), oc_02=(EIP,))

    assert asker("bank/vault", str(EIP)).outcome == "delivered"
    assert asker("shop/web", str(EIP)).outcome == "delivered"
