"""What NetworkPolicies let through, as 3.11 reads them; each misreading on and off."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pytest

from testbed.model import (
    IngressRule,
    IPBlock,
    LabelRequirement,
    LabelSelector,
    NetworkPolicy,
    Operator,
    PolicyPeer,
    PolicyPort,
)

if TYPE_CHECKING:
    from tests.unit.oracle.conftest import Asker

ALL = LabelSelector()
WEB = LabelSelector(match_labels=(("app", "web"),))
DB = LabelSelector(match_labels=(("app", "db"),))
VAULT = LabelSelector(match_labels=(("app", "vault"),))
MONEY = LabelSelector(match_labels=(("kind", "money"),))
TRADE = LabelSelector(match_labels=(("kind", "trade"),))
SYSTEM = LabelSelector(match_labels=(("kind", "system"),))


def policy(
    name: str,
    *rules: IngressRule,
    selects: LabelSelector = ALL,
    namespace: str = "shop",
    ingress: bool = True,
) -> NetworkPolicy:
    return NetworkPolicy(
        namespace=namespace,
        name=name,
        pod_selector=selects,
        ingress=rules,
        affects_ingress=ingress,
    )


def peers(*items: PolicyPeer) -> IngressRule:
    return IngressRule(peers=items)


def ports(*items: PolicyPort) -> IngressRule:
    return IngressRule(ports=items)


DENY = policy("deny")
EGRESS_ONLY = policy("egress", ingress=False)


def test_without_policies_everybody_may(np: Asker) -> None:
    assert np.verdict("bank/vault", "shop/web") == (
        "delivered",
        "no NetworkPolicy selects the pod",
    )
    assert np.seen("bank/vault", "shop/web") == [
        "shop/web 10.129.0.7 4712 10.131.1.241:80"
    ]


@pytest.mark.parametrize(
    "sender", ["shop/db", "shop/cache", "bank/vault", "oc-01", "www", "f5"]
)
def test_a_policy_without_rules_denies_all(np: Asker, sender: str) -> None:
    asker = np.having(network_policies=(DENY,))

    assert asker.verdict(sender, "shop/web") == ("dropped", "NetworkPolicy shop/deny")


def test_the_own_node_is_never_denied(np: Asker) -> None:
    asker = np.having(network_policies=(DENY,))

    assert asker.verdict("oc-04", "shop/web") == ("delivered", "the pod's own node")


def test_a_policy_is_about_its_own_namespace(np: Asker) -> None:
    asker = np.having(network_policies=(DENY,))

    assert asker("shop/web", "bank/vault").outcome == "delivered"


def test_other_plugins_ignore_policies(sub: Asker, mt: Asker) -> None:
    for asker in (sub, mt):
        denied = asker.having(network_policies=(DENY,))
        assert denied("shop/web", "shop/db").outcome == "delivered"


def test_arp_and_multicast_are_not_filtered(np: Asker) -> None:
    asker = np.having(network_policies=(DENY,))
    asker = asker.with_namespace("shop", multicast_enabled=True)

    assert asker("bank/vault", "shop/web", "arp").outcome == "delivered"
    assert asker("shop/db", "239.0.0.1", "udp/5").outcome == "delivered"


def test_only_selected_pods_are_isolated(np: Asker) -> None:
    asker = np.having(network_policies=(policy("db", selects=DB),))

    assert asker.verdict("shop/web", "shop/db") == ("dropped", "NetworkPolicy shop/db")
    assert asker("shop/db", "shop/web").outcome == "delivered"


@pytest.mark.parametrize(
    ("rule", "sender", "outcome"),
    [
        (IngressRule(), "www", "delivered"),
        (IngressRule(), "bank/vault", "delivered"),
        (peers(PolicyPeer(pod_selector=ALL)), "shop/cache", "delivered"),
        (peers(PolicyPeer(pod_selector=ALL)), "bank/vault", "dropped"),
        (peers(PolicyPeer(pod_selector=ALL)), "oc-01", "dropped"),
        (peers(PolicyPeer(pod_selector=WEB)), "shop/web", "delivered"),
        (peers(PolicyPeer(pod_selector=WEB)), "shop/cache", "dropped"),
        (peers(PolicyPeer(pod_selector=WEB)), "bank/teller", "dropped"),
        (peers(PolicyPeer(namespace_selector=ALL)), "bank/vault", "delivered"),
        (peers(PolicyPeer(namespace_selector=ALL)), "www", "delivered"),
        (peers(PolicyPeer(namespace_selector=ALL)), "f5", "delivered"),
        (peers(PolicyPeer(namespace_selector=MONEY)), "bank/vault", "delivered"),
        (peers(PolicyPeer(namespace_selector=MONEY)), "shop/web", "dropped"),
        (peers(PolicyPeer(namespace_selector=MONEY)), "oc-01", "dropped"),
        (peers(PolicyPeer(namespace_selector=SYSTEM)), "oc-01", "delivered"),
        (peers(PolicyPeer(namespace_selector=SYSTEM)), "default/router", "delivered"),
        (peers(PolicyPeer(namespace_selector=SYSTEM)), "www", "delivered"),
        (peers(PolicyPeer(namespace_selector=SYSTEM)), "default/registry", "delivered"),
        (peers(PolicyPeer(namespace_selector=SYSTEM)), "f5", "dropped"),
        (ports(PolicyPort(port=80)), "bank/vault", "delivered"),
        (ports(PolicyPort(port=81)), "bank/vault", "dropped"),
        (ports(PolicyPort(port=81), PolicyPort(port=80)), "www", "delivered"),
        (ports(PolicyPort(protocol="UDP", port=80)), "bank/vault", "dropped"),
    ],
)
def test_a_rule_says_from_whom_and_to_which_port(
    np: Asker, rule: IngressRule, sender: str, outcome: str
) -> None:
    asker = np.having(network_policies=(policy("rule", rule, selects=DB),))

    assert asker(sender, "shop/db").outcome == outcome


def test_a_rule_with_ports_admits_no_icmp(np: Asker) -> None:
    with_port = policy("port", ports(PolicyPort(port=80)))
    any_port = policy("any", peers(PolicyPeer(pod_selector=ALL)))

    assert np.having(network_policies=(with_port,))(
        "shop/db", "shop/web", "icmp"
    ).outcome == ("dropped")
    assert np.having(network_policies=(with_port, any_port)).verdict(
        "shop/db", "shop/web", "icmp"
    ) == ("delivered", "NetworkPolicy shop/any rule 1")


def test_the_rule_that_allows_is_named_and_all_policies_are_listed(np: Asker) -> None:
    allow = policy(
        "allow",
        peers(PolicyPeer(namespace_selector=MONEY)),
        ports(PolicyPort(protocol="UDP", port=80), PolicyPort(port=80)),
    )

    answer = np.having(network_policies=(DENY, allow))("shop/cache", "shop/web")

    assert answer.decided_by == "NetworkPolicy shop/allow rule 2"
    assert answer.considered == ("NetworkPolicy shop/deny", "NetworkPolicy shop/allow")


def test_selectors_may_have_expressions(np: Asker) -> None:
    not_web = LabelSelector(
        match_expressions=(
            LabelRequirement(key="app", operator=Operator.NOT_IN, values=("web",)),
        )
    )
    asker = np.having(network_policies=(policy("rest", selects=not_web),))

    assert asker("shop/cache", "shop/web").outcome == "delivered"
    assert asker("shop/web", "shop/cache").outcome == "dropped"


def test_in_namespace_default_pod_selector_all_means_nodes_and_outside_too(
    np: Asker,
) -> None:
    own = policy(
        "own", peers(PolicyPeer(pod_selector=ALL)), namespace="default", selects=ALL
    )
    asker = np.having(network_policies=(own,))

    assert asker("www", "default/registry").outcome == "delivered"
    assert asker("oc-01", "default/registry").outcome == "delivered"
    assert asker("shop/web", "default/registry").outcome == "dropped"


QUIRK = "egress_only_policy_breaks_namespace"


def test_an_egress_only_policy_denies_all_its_namespace(np: Asker) -> None:
    allow = policy("allow", IngressRule(), selects=WEB)
    asker = np.having(network_policies=(allow, EGRESS_ONLY))
    denied = ("dropped", "NetworkPolicy shop/egress breaks its namespace")

    assert asker.verdict("shop/db", "shop/web") == denied
    assert asker.verdict("shop/web", "shop/db") == denied
    assert asker("shop/web", "bank/vault").outcome == "delivered"
    assert asker("oc-04", "shop/web").outcome == "delivered"


def test_an_egress_only_policy_is_harmless_beside_one_that_selects_all(
    np: Asker,
) -> None:
    allow = policy("allow", ports(PolicyPort(port=80)))
    asker = np.having(network_policies=(allow, EGRESS_ONLY))

    assert asker("shop/db", "shop/web").outcome == "delivered"
    assert asker.verdict("shop/db", "shop/web", "tcp/81") == (
        "dropped",
        "NetworkPolicy shop/allow",
    )


def test_without_the_quirk_an_egress_only_policy_has_no_effect(np: Asker) -> None:
    asker = np.having(network_policies=(EGRESS_ONLY,)).without(QUIRK)

    assert asker.verdict("shop/db", "shop/web") == (
        "delivered",
        "no NetworkPolicy selects the pod",
    )


@pytest.mark.parametrize(
    "port",
    [
        PolicyPort(port="http"),
        PolicyPort(port=None),
        PolicyPort(protocol="SCTP", port=80),
    ],
)
def test_one_unsupported_port_denies_the_namespace(np: Asker, port: PolicyPort) -> None:
    odd = policy("odd", ports(PolicyPort(port=80)), ports(port), selects=DB)
    asker = np.having(network_policies=(odd,))

    assert asker.verdict("shop/cache", "shop/web") == (
        "dropped",
        "NetworkPolicy shop/odd",
    )
    assert asker("shop/cache", "shop/db").outcome == "dropped"

    fixed = asker.without("unsupported_port_denies_namespace")
    assert fixed("shop/cache", "shop/web").outcome == "delivered"
    assert fixed("shop/cache", "shop/db").outcome == "delivered"
    assert fixed("shop/cache", "shop/db", "tcp/443").outcome == "dropped"


def test_what_others_allow_survives_an_unsupported_port(np: Asker) -> None:
    odd = policy("odd", ports(PolicyPort(port="http")), selects=DB)
    allow = policy("allow", IngressRule(), selects=WEB)
    asker = np.having(network_policies=(odd, allow, EGRESS_ONLY))

    assert asker("bank/vault", "shop/web").outcome == "delivered"
    assert asker.verdict("bank/vault", "shop/cache") == (
        "dropped",
        "NetworkPolicy shop/odd",
    )


def test_a_lone_unsupported_port_does_not_come_to_mean_all_ports(np: Asker) -> None:
    odd = policy("odd", ports(PolicyPort(port="http")))
    asker = np.having(network_policies=(odd,))
    fixed = asker.without("unsupported_port_denies_namespace")

    assert fixed("shop/cache", "shop/web").outcome == "dropped"


@pytest.mark.parametrize(
    ("sender", "pods", "namespaces", "fixed"),
    [
        ("bank/vault", VAULT, MONEY, "delivered"),
        ("bank/teller", VAULT, MONEY, "dropped"),
        ("bank/vault", VAULT, TRADE, "dropped"),
        ("bank/vault", ALL, ALL, "delivered"),
        ("oc-01", ALL, ALL, "dropped"),
    ],
)
def test_combined_selectors_allow_nobody(
    np: Asker, sender: str, pods: LabelSelector, namespaces: LabelSelector, fixed: str
) -> None:
    both = PolicyPeer(pod_selector=pods, namespace_selector=namespaces)
    asker = np.having(network_policies=(policy("both", peers(both)),))

    assert asker(sender, "shop/web").outcome == "dropped"
    assert asker.without("combined_selectors_ignored")(sender, "shop/web").outcome == (
        fixed
    )


@pytest.mark.parametrize(
    ("sender", "fixed"),
    [("www", "delivered"), ("api", "dropped"), ("shop/cache", "dropped")],
)
def test_ip_blocks_allow_nobody(np: Asker, sender: str, fixed: str) -> None:
    block = IPBlock(
        cidr=IPv4Network("198.51.100.0/24"), excepts=(IPv4Network("198.51.100.20/32"),)
    )
    rule = peers(PolicyPeer(ip_block=block))
    asker = np.having(network_policies=(policy("block", rule),))

    assert asker(sender, "shop/web").outcome == "dropped"
    assert asker.without("ip_block_ignored")(sender, "shop/web").outcome == fixed


def test_a_peer_that_is_ignored_leaves_the_others_of_its_rule(np: Asker) -> None:
    rule = peers(
        PolicyPeer(ip_block=IPBlock(cidr=IPv4Network("0.0.0.0/0"))),
        PolicyPeer(namespace_selector=MONEY),
    )
    asker = np.having(network_policies=(policy("two", rule),))

    assert asker("bank/vault", "shop/web").outcome == "delivered"
    assert asker("www", "shop/web").outcome == "dropped"


def joined(np: Asker, *policies: NetworkPolicy) -> Asker:
    """Bank comes after shop, so that it is the one that the plugin knows."""
    return np.with_namespace("bank", netid=4711).having(network_policies=policies)


def test_of_a_shared_vnid_all_policies_that_select_all_hold_for_all(np: Asker) -> None:
    for namespace in ("shop", "bank"):
        asker = joined(np, policy("deny", namespace=namespace))
        denied = ("dropped", f"NetworkPolicy {namespace}/deny")
        assert asker.verdict("default/registry", "shop/web") == denied
        assert asker.verdict("default/registry", "bank/vault") == denied


def test_of_a_shared_vnid_pods_of_the_first_namespace_are_not_selected(
    np: Asker,
) -> None:
    asker = joined(np, policy("web", selects=WEB))

    assert asker("default/registry", "shop/web").outcome == "delivered"
    assert asker.verdict("default/registry", "bank/teller") == (
        "dropped",
        "NetworkPolicy shop/web",
    )


def test_of_a_shared_vnid_pods_of_the_first_namespace_are_no_peers(np: Asker) -> None:
    rule = peers(PolicyPeer(pod_selector=WEB))
    asker = joined(np, policy("from-web", rule))

    assert asker("shop/web", "shop/db").outcome == "dropped"
    assert asker("bank/teller", "shop/db").outcome == "delivered"


def test_of_a_shared_vnid_only_the_last_namespaces_labels_are_seen(np: Asker) -> None:
    for selector, outcome in ((MONEY, "delivered"), (TRADE, "dropped")):
        rule = peers(PolicyPeer(namespace_selector=selector))
        asker = joined(np, policy("from", rule, namespace="default"))
        assert asker("shop/web", "default/registry").outcome == outcome
