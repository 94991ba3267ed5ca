"""NetworkPolicy and EgressNetworkPolicy: what is taken, and what it means."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from testbed.errors import TopologyError
from testbed.model import (
    EgressRule,
    IngressRule,
    IPBlock,
    LabelRequirement,
    LabelSelector,
    NetworkPolicy,
    Operator,
    PolicyPeer,
    PolicyPort,
)
from testbed.topology import loads

NETWORK = """\
kind: ClusterNetwork
metadata: {name: default}
clusterNetworks: [{CIDR: 10.128.0.0/14, hostSubnetLength: 9}]
serviceNetwork: 172.30.0.0/16
pluginName: redhat/openshift-ovs-networkpolicy
---
kind: HostSubnet
metadata: {name: n1}
hostIP: 192.168.1.1
---
"""
EVERYTHING = LabelSelector()
ALLOW_ALL = "{type: Allow, to: {cidrSelector: 0.0.0.0/0}}"


def text(spec: str, kind: str = "NetworkPolicy") -> str:
    return f"{NETWORK}kind: {kind}\nmetadata: {{name: p, namespace: shop}}\n{spec}\n"


def policy(spec: str) -> NetworkPolicy:
    (found,) = loads(text(f"spec: {spec}"), "c.yaml").cluster.network_policies
    return found


def rules(egress: str) -> tuple[EgressRule, ...]:
    spec = text(f"spec: {{egress: {egress}}}", "EgressNetworkPolicy")
    (found,) = loads(spec, "c.yaml").cluster.egress_network_policies
    return found.egress


def problem(spec: str, kind: str = "NetworkPolicy") -> str:
    """The only problem of a policy, without the place and the object."""
    with pytest.raises(TopologyError) as caught:
        loads(text(f"spec: {spec}", kind), "c.yaml")
    (told,) = caught.value.problems
    where = f"c.yaml:13: {kind} shop/p: "
    assert told.startswith(where)
    return told.removeprefix(where)


def test_a_policy_without_anything_lets_nobody_in() -> None:
    empty = NetworkPolicy(namespace="shop", name="p", pod_selector=EVERYTHING)

    assert policy("{}") == empty
    assert loads(text(""), "c.yaml").cluster.network_policies == (empty,)


def test_a_rule_has_its_peers_and_its_ports() -> None:
    found = policy(
        "{podSelector: {matchLabels: {app: web}}, ingress: [{from: "
        "[{podSelector: {}}, {namespaceSelector: {matchExpressions: "
        "[{key: team, operator: In, values: [a, b]}]}}, "
        "{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}], "
        "ports: [{port: 80}, {port: dns, protocol: UDP}, {}]}]}"
    )

    teams = LabelRequirement(key="team", operator=Operator.IN, values=("a", "b"))
    block = IPBlock(
        cidr=IPv4Network("10.0.0.0/8"), excepts=(IPv4Network("10.1.0.0/16"),)
    )
    assert found.pod_selector == LabelSelector(match_labels=(("app", "web"),))
    assert found.ingress == (
        IngressRule(
            peers=(
                PolicyPeer(pod_selector=EVERYTHING),
                PolicyPeer(
                    namespace_selector=LabelSelector(match_expressions=(teams,))
                ),
                PolicyPeer(ip_block=block),
            ),
            ports=(
                PolicyPort(protocol="TCP", port=80),
                PolicyPort(protocol="UDP", port="dns"),
                PolicyPort(protocol="TCP"),
            ),
        ),
    )


@pytest.mark.parametrize(
    ("types", "affects"),
    [
        ("", True),
        ("policyTypes: []", True),
        ("policyTypes: [Ingress]", True),
        ("policyTypes: [Egress, Ingress]", True),
        ("policyTypes: [Egress]", False),
        ("egress: [{}]", True),
    ],
)
def test_a_policy_is_about_ingress_unless_its_types_say_otherwise(
    types: str,
    affects: bool,  # noqa: FBT001 - of a table
) -> None:
    assert policy(f"{{{types}}}").affects_ingress is affects


def test_a_block_may_be_named_by_any_of_its_addresses() -> None:
    found = policy("{ingress: [{from: [{ipBlock: {cidr: 10.1.2.3/8}}]}]}")

    assert found.ingress[0].peers[0].ip_block == IPBlock(cidr=IPv4Network("10.0.0.0/8"))


def test_a_policy_makes_its_namespace() -> None:
    cluster = loads(text("spec: {}"), "c.yaml").cluster

    assert [item.name for item in cluster.namespaces] == ["shop"]
    assert [item.name for item in cluster.net_namespaces] == ["shop"]


@pytest.mark.parametrize("version", ["networking.k8s.io/v1", "extensions/v1beta1"])
def test_a_policy_is_of_either_group(version: str) -> None:
    spec = text(f"apiVersion: {version}\nspec: {{}}")

    assert loads(spec, "c.yaml").cluster.network_policies


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (
            "from: [{}]",
            "from[0]: must have a podSelector, a namespaceSelector or an ipBlock",
        ),
        ("from: [null]", "from[0]: must be a mapping, not null"),
        (
            "from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]",
            "from[0]: ipBlock excludes podSelector and namespaceSelector",
        ),
        (
            "from: [{namespaceSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]",
            "from[0]: ipBlock excludes podSelector and namespaceSelector",
        ),
        ("from: [{ipBlock: {}}]", "from[0].ipBlock.cidr: is missing"),
        (
            "from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]",
            "from[0].ipBlock.except: 11.0.0.0/16 is no part of cidr 10.0.0.0/8",
        ),
        (
            "from: [{ipBlock: {cidr: 'fd00::/8'}}]",
            (
                "from[0].ipBlock.cidr: must be an IPv4 network such as 10.128.0.0/14, "
                "not 'fd00::/8'"
            ),
        ),
        (
            "ports: [{port: 0}]",
            "ports[0].port: must be 1 to 65535 or the name of a container's port, no",
        ),
        (
            "ports: [{port: 65536}]",
            (
                "ports[0].port: must be 1 to 65535 or the name of a container's port, "
                "not 65536"
            ),
        ),
        (
            "ports: [{port: '80'}]",
            (
                "ports[0].port: must be 1 to 65535 or the name of a container's port, "
                "not '80'"
            ),
        ),
        (
            "ports: [{port: a-port-of-16-let}]",
            (
                "ports[0].port: must be 1 to 65535 or the name of a container's port, "
                "not 'a-port-of-16-let'"
            ),
        ),
        (
            "ports: [{port: a--b}]",
            (
                "ports[0].port: must be 1 to 65535 or the name of a container's port, "
                "not 'a--b'"
            ),
        ),
        (
            "ports: [{port: 80, protocol: SCTP}]",
            "ports[0].protocol: must be TCP or UDP, not 'SCTP'",
        ),
    ],
)
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_what_is_no_peer_or_port_is_refused_in_either_direction(
    rule: str, told: str, direction: str
) -> None:
    if direction == "egress":
        rule, told = rule.replace("from:", "to:"), told.replace("from[", "to[")

    found = problem(f"{{{direction}: [{{{rule}}}]}}")

    assert found.startswith(f"spec.{direction}[0].{told}")


@pytest.mark.parametrize(
    ("selector", "told"),
    [
        (
            "matchExpressions: [{key: a, operator: In}]",
            "matchExpressions[0]: operator In needs values",
        ),
        (
            "matchExpressions: [{key: a, operator: NotIn, values: []}]",
            "matchExpressions[0]: operator NotIn needs values",
        ),
        (
            "matchExpressions: [{key: a, operator: Exists, values: [b]}]",
            "matchExpressions[0]: operator Exists takes no values",
        ),
        (
            "matchExpressions: [{key: a, operator: Gt, values: ['1']}]",
            (
                "matchExpressions[0].operator: "
                "must be In or NotIn or Exists or DoesNotExist, not 'Gt'"
            ),
        ),
        ("matchExpressions: [{operator: Exists}]", "matchExpressions[0].key: is missi"),
        (
            "matchExpressions: [{key: 'a b', operator: Exists}]",
            (
                "matchExpressions[0].key: "
                "must be a label's key, such as app or example.com/app"
            ),
        ),
        (
            "matchLabels: {a/b/c: d}",
            "matchLabels.a/b/c: must be a label's key, such as app or example.com/app",
        ),
        ("matchLabels: {a: b c}", "matchLabels.a: must be at most 63 letters, digits,"),
        (f"matchLabels: {{a: {64 * 'b'}}}", "matchLabels.a: must be at most 63 letter"),
    ],
)
def test_a_selector_that_is_none_is_refused(selector: str, told: str) -> None:
    found = problem(f"{{podSelector: {{{selector}}}}}")

    assert found.startswith(f"spec.podSelector.{told}")


@pytest.mark.parametrize("key", ["a", "A_b.c", "example.com/a", 63 * "a"])
@pytest.mark.parametrize("value", ["''", "b", "B_c.d", 63 * "b"])
def test_a_label_is_what_the_api_calls_one(key: str, value: str) -> None:
    found = policy(f"{{podSelector: {{matchLabels: {{{key}: {value}}}}}}}")

    assert found.pod_selector.match_labels == ((key, value.strip("'")),)


@pytest.mark.parametrize(
    ("types", "told"),
    [
        ("[Ingres]", "policyTypes[0]: must be Ingress or Egress, not 'Ingres'"),
        (
            "[Ingress, Egress, Egress]",
            "policyTypes: has 3 types; there are Ingress and Egress",
        ),
    ],
)
def test_there_are_two_types_of_policy(types: str, told: str) -> None:
    assert problem(f"{{policyTypes: {types}}}") == f"spec.{told}"


def test_the_rules_of_an_egress_policy_stay_in_their_order() -> None:
    assert rules(
        "[{type: Allow, to: {dnsName: www.example.com}}, "
        "{type: Allow, to: {cidrSelector: 192.0.2.1/32}}, "
        "{type: Deny, to: {cidrSelector: 0.0.0.0/0}}]"
    ) == (
        EgressRule(allow=True, dns_name="www.example.com"),
        EgressRule(allow=True, cidr=IPv4Network("192.0.2.1/32")),
        EgressRule(allow=False, cidr=IPv4Network("0.0.0.0/0")),
    )


def test_an_egress_policy_may_have_fifty_rules() -> None:
    assert len(rules(f"[{', '.join([ALLOW_ALL] * 50)}]")) == 50


def test_an_egress_policy_with_more_rules_is_refused() -> None:
    spec = f"{{egress: [{', '.join([ALLOW_ALL] * 51)}]}}"

    assert problem(spec, "EgressNetworkPolicy") == (
        "spec.egress: has 51 rules; at most 50 are allowed"
    )


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("type: Deny", "to: is missing"),
        ("to: {dnsName: a}", "type: is missing"),
        ("type: deny, to: {dnsName: a}", "type: must be Allow or Deny, not 'deny'"),
        ("type: Deny, to: {}", "to: must have a cidrSelector or a dnsName"),
        (
            "type: Deny, to: {cidrSelector: 10.0.0.0/8, dnsName: a}",
            "to: must not have both a cidrSelector and a dnsName",
        ),
        (
            "type: Deny, to: {cidrSelector: 10.0.0.1/8}",
            "to.cidrSelector: 10.0.0.1/8 has host bits set; its network is 10.0.0.0/8",
        ),
        (
            "type: Deny, to: {cidrSelector: 10.0.0.1}",
            "to.cidrSelector: must be an IPv4 network such as 10.128.0.0/14, not ",
        ),
        (
            "type: Deny, to: {dnsName: WWW.example.com}",
            "to.dnsName: must be a DNS name such as www.example.com, not 'WWW.exam",
        ),
        (
            "type: Deny, to: {dnsName: www.example.com.}",
            "to.dnsName: must be a DNS name such as www.example.com, not 'www.exam",
        ),
        (
            "type: Deny, to: {dnsName: '*.example.com'}",
            "to.dnsName: must be a DNS name such as www.example.com, not '*.exampl",
        ),
        (
            "type: Deny, to: {dnsName: a..b}",
            "to.dnsName: must be a DNS name such as www.example.com, not 'a..b'",
        ),
        (
            f"type: Deny, to: {{dnsName: {254 * 'a'}}}",
            "to.dnsName: must be a DNS name such as www.example.com, not 'aaaaa",
        ),
    ],
)
def test_a_rule_that_is_none_is_refused(rule: str, told: str) -> None:
    found = problem(f"{{egress: [{{{rule}}}]}}", "EgressNetworkPolicy")

    assert found.startswith(f"spec.egress[0].{told}")
