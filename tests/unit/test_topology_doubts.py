"""What 3.11 takes otherwise than it was meant: a warning that names the object."""

from __future__ import annotations

import pytest

from testbed.model import Plugin
from testbed.topology import loads

NETWORK = """\
kind: ClusterNetwork
metadata: {{name: default}}
clusterNetworks: [{{CIDR: 10.128.0.0/14, hostSubnetLength: 9}}]
serviceNetwork: 172.30.0.0/16
pluginName: {}
---
kind: HostSubnet
metadata: {{name: n1}}
hostIP: 192.168.1.1
{}---
kind: HostSubnet
metadata: {{name: n2}}
hostIP: 192.168.1.2
---
kind: Pod
metadata: {{name: web, namespace: shop, labels: {{app: web}}}}
spec: {{nodeName: n1}}
---
"""
CHANGE = "pod.network.openshift.io/multitenant.change-network"
SUBNET, MULTITENANT, NETWORKPOLICY = Plugin
ALL_DENIED = "more than 3.11 supports: every pod of shop is denied all (BZ1768926)"


def warnings(
    *documents: str, plugin: Plugin = NETWORKPOLICY, node: str = ""
) -> list[str]:
    """The warnings of a cluster with these objects, without their places."""
    text = NETWORK.format(plugin, node) + "---\n".join(documents)
    return [line.split(": ", 1)[1] for line in loads(text, "c.yaml").warnings]


def policy(spec: str, name: str = "p") -> str:
    return (
        f"kind: NetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\n"
        f"spec: {spec}\n"
    )


def egress(
    rules: str = "{type: Deny, to: {cidrSelector: 0.0.0.0/0}}", **more: str
) -> str:
    name, namespace = more.get("name", "e"), more.get("namespace", "shop")
    return (
        f"kind: EgressNetworkPolicy\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{egress: [{rules}]}}\n"
    )


def namespace(name: str, more: str = "", change: str = "") -> str:
    annotations = f", annotations: {{{CHANGE}: '{change}'}}" if change else ""
    return f"kind: NetNamespace\nmetadata: {{name: {name}{annotations}}}\n{more}"


def quirk(name: str) -> str:
    return f"kind: Underlay\nquirks: {{{name}: false}}\n"


def test_a_policy_as_3_11_knows_it_is_not_doubted() -> None:
    spec = (
        "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}, "
        "{namespaceSelector: {}}], ports: [{port: 80}]}], policyTypes: [Ingress]}"
    )

    assert warnings(policy(spec), egress()) == []


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("{egress: [{}]}", "spec.egress: is ignored by 3.11"),
        (
            "{policyTypes: [Egress]}",
            (
                "spec.policyTypes: without Ingress it makes flows that Open vSwitch "
                "rejects: all policies of shop fail and deny (BZ1905761)"
            ),
        ),
        (
            "{podSelector: {matchLabels: {app: db}}}",
            "spec.podSelector: selects no pod",
        ),
        (
            "{ingress: [{ports: [{port: 80}, {port: http}]}]}",
            f"spec.ingress[0].ports[1]: a port by name (http) is {ALL_DENIED}",
        ),
        (
            "{ingress: [{ports: [{protocol: UDP}]}]}",
            f"spec.ingress[0].ports[0]: no number is {ALL_DENIED}",
        ),
        (
            "{ingress: [{}, {from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}",
            "spec.ingress[1].from[0]: ipBlock is unknown to 3.11: allows nobody",
        ),
        (
            "{ingress: [{from: [{podSelector: {}, namespaceSelector: {}}]}]}",
            (
                "spec.ingress[0].from[0]: "
                "podSelector with namespaceSelector: 3.11 allows nobody"
            ),
        ),
        (
            "{ingress: [{from: [{namespaceSelector: {matchLabels: {a: b}}}]}]}",
            "spec.ingress[0].from[0].namespaceSelector: selects no namespace",
        ),
        (
            "{ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]}",
            "spec.ingress[0].from[0].podSelector: selects no pod",
        ),
        ("{podselector: {}}", "spec.podselector: is unknown to 3.11, which drops it"),
        (
            "{ingress: [{ports: [{port: 80, endPort: 90}]}]}",
            "spec.ingress[0].ports[0].endPort: is unknown to 3.11, which drops it",
        ),
    ],
)
def test_a_policy_that_3_11_takes_otherwise_is_doubted(spec: str, told: str) -> None:
    assert warnings(policy(spec)) == [f"NetworkPolicy shop/p: {told}"]


@pytest.mark.parametrize(
    ("name", "spec", "told"),
    [
        (
            "egressOnlyPolicyBreaksNamespace",
            "{policyTypes: [Egress]}",
            ["spec.policyTypes: is not about ingress, so 3.11 does nothing about it"],
        ),
        (
            "unsupportedPortDeniesNamespace",
            "{ingress: [{ports: [{port: http}]}]}",
            [
                (
                    "spec.ingress[0].ports[0]: a port by name (http) is more than 3.11 "
                    "supports: allows nothing"
                )
            ],
        ),
        (
            "ipBlockIgnored",
            "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}",
            [],
        ),
        (
            "combinedSelectorsIgnored",
            "{ingress: [{from: [{podSelector: {}, namespaceSelector: {}}]}]}",
            [],
        ),
        (
            "combinedSelectorsIgnored",
            (
                "{ingress: [{from: [{podSelector: {matchLabels: {app: db}}, "
                "namespaceSelector: {}}]}]}"
            ),
            ["spec.ingress[0].from[0].podSelector: selects no pod"],
        ),
    ],
)
def test_a_quirk_that_is_off_is_not_warned_of(
    name: str, spec: str, told: list[str]
) -> None:
    assert warnings(policy(spec), quirk(name)) == [
        f"NetworkPolicy shop/p: {line}" for line in told
    ]


def test_a_selector_in_a_namespace_without_pods_is_doubted_unless_it_is_empty() -> None:
    narrow = policy("{podSelector: {matchLabels: {app: web}}}").replace("shop", "lab")
    empty = policy("{}", "q").replace("shop", "lab")

    assert warnings(narrow, empty) == [
        "NetworkPolicy lab/p: spec.podSelector: selects no pod"
    ]


@pytest.mark.parametrize("plugin", [SUBNET, MULTITENANT])
def test_policies_are_for_one_plugin(plugin: Plugin) -> None:
    assert warnings(policy("{policyTypes: [Egress]}"), plugin=plugin) == [
        f"NetworkPolicy shop/p: {plugin} enforces none"
    ]


def test_egress_policies_are_for_plugins_with_vnids() -> None:
    assert warnings(egress(), plugin=SUBNET) == [
        f"EgressNetworkPolicy shop/e: {SUBNET} enforces none"
    ]


def test_a_second_egress_policy_of_a_namespace_drops_all() -> None:
    together = "e and f together drop all that leaves shop"

    assert warnings(egress(), egress(name="f")) == [
        f"EgressNetworkPolicy shop/{name}: is not the only one: {together}"
        for name in "ef"
    ]


def test_an_egress_policy_without_rules_is_none() -> None:
    assert warnings(egress(), egress("", name="f")) == []

    found = warnings(egress(), egress("", name="f"), egress(name="g"))

    assert [line.split(":")[0] for line in found] == [
        f"EgressNetworkPolicy shop/{name}" for name in "eg"
    ]


def test_an_egress_policy_of_a_shared_vnid_drops_all_of_both() -> None:
    found = warnings(
        namespace("shop", "netid: 42\n"),
        namespace("lab", "netid: 42\n"),
        egress(),
        plugin=MULTITENANT,
    )

    assert found == [
        (
            "EgressNetworkPolicy shop/e: "
            "drops all that leaves shop and lab, which share VNID 42"
        )
    ]


def test_an_egress_policy_of_a_global_namespace_is_not_enforced() -> None:
    assert warnings(egress(namespace="default")) == [
        "EgressNetworkPolicy default/e: is not enforced in a global namespace"
    ]


def test_a_name_that_no_host_has_is_doubted() -> None:
    rules = "{type: Allow, to: {dnsName: a.test}}, {type: Deny, to: {dnsName: b.test}}"
    external = (
        "kind: Underlay\n"
        "externalHosts: [{name: a, ip: 198.51.100.1, dnsNames: [a.test]}]\n"
    )

    assert warnings(egress(rules), external) == [
        (
            "EgressNetworkPolicy shop/e: spec.egress[1].to.dnsName: "
            "no externalHosts of the Underlay has b.test among its dnsNames"
        )
    ]


def test_two_namespaces_with_one_vnid_are_doubted_where_policies_are_enforced() -> None:
    two = [namespace(name, "netid: 42\n") for name in "ab"]

    assert warnings(*two, plugin=MULTITENANT) == []
    assert warnings(*two) == [
        (
            "NetNamespace a: netid: "
            "is b's, too: policies of both bear on both, and see b's pods"
        )
    ]


@pytest.mark.parametrize(
    ("plugin", "name", "change", "told"),
    [
        (
            NETWORKPOLICY,
            "a",
            "global",
            f"{NETWORKPOLICY} does not renumber namespaces; refused",
        ),
        (SUBNET, "a", "isolate", f"{SUBNET} does not renumber namespaces; refused"),
        (
            MULTITENANT,
            "default",
            "isolate",
            "default cannot be isolated; refused",
        ),
        (MULTITENANT, "a", "join:b", "there is no NetNamespace 'b'; refused"),
        (
            MULTITENANT,
            "a",
            "shop",
            "'shop' is not global, isolate or join:NAME; refused",
        ),
    ],
)
def test_a_change_that_the_master_refuses_is_doubted(
    plugin: Plugin, name: str, change: str, told: str
) -> None:
    assert warnings(namespace(name, change=change), plugin=plugin) == [
        f"NetNamespace {name}: metadata.annotations.{CHANGE}: {told}"
    ]


@pytest.mark.parametrize("change", ["global", "isolate", "join:shop"])
def test_a_change_that_the_master_makes_is_not(change: str) -> None:
    assert warnings(namespace("a", change=change), plugin=MULTITENANT) == []


def test_egress_ips_are_for_plugins_with_vnids() -> None:
    ips = "egressIPs: [192.168.1.9]\n"

    assert warnings(namespace("a", ips), plugin=SUBNET, node=ips) == [
        f"HostSubnet n1: egressIPs[0]: {SUBNET} has no egress IPs",
        f"NetNamespace a: {SUBNET} has no egress IPs and no multicast",
    ]


@pytest.mark.parametrize(
    ("ip", "told"),
    [
        (
            "10.0.0.9",
            "10.0.0.9 is outside the node's network 192.168.1.0/24; it is not set up",
        ),
        ("192.168.1.1", "192.168.1.1 is the node's own; it is not set up"),
        ("192.168.1.2", "192.168.1.2 is n2's, too; both answer for it"),
        ("192.168.1.254", "192.168.1.254 is the gateway's, too; both answer for it"),
    ],
)
def test_an_egress_ip_that_a_node_cannot_have_is_doubted(ip: str, told: str) -> None:
    assert warnings(node=f"egressIPs: [{ip}]\n") == [
        f"HostSubnet n1: egressIPs[0]: {told}"
    ]


def test_an_egress_ip_that_no_node_has_is_doubted() -> None:
    ips = "egressIPs: [192.168.1.9, 192.168.1.10]\n"

    assert warnings(namespace("a", ips), node="egressIPs: [192.168.1.9]\n") == [
        "NetNamespace a: egressIPs[1]: no node has 192.168.1.10"
    ]


def test_of_several_egress_ips_none_is_chosen_from_a_range() -> None:
    ips = "egressIPs: [192.168.1.9, 192.168.2.9]\n"

    assert warnings(namespace("a", ips), node="egressCIDRs: [192.168.1.0/28]\n") == [
        (
            "NetNamespace a: egressIPs[0]: "
            "no node has 192.168.1.9; one of several is not chosen from egressCIDRs"
        ),
        "NetNamespace a: egressIPs[1]: no node has 192.168.2.9",
    ]


def test_an_egress_ip_that_two_namespaces_ask_for_is_doubted_in_both() -> None:
    ips = "egressIPs: [192.168.1.9]\n"

    assert warnings(namespace("a", ips), namespace("b", ips), node=ips) == [
        (
            f"NetNamespace {name}: egressIPs[0]: "
            f"192.168.1.9 is asked for by {other}, too: neither leaves the cluster"
        )
        for name, other in ("ab", "ba")
    ]


def test_two_egress_ips_of_a_namespace_on_one_node_are_doubted() -> None:
    ips = "egressIPs: [192.168.1.8, 192.168.1.9]\n"

    assert warnings(namespace("a", ips), node=ips) == [
        (
            f"NetNamespace a: egressIPs[{number}]: "
            f"n1 has 192.168.1.{other} for a, too: neither is used"
        )
        for number, other in enumerate((9, 8))
    ]


def test_an_egress_ip_that_a_namespace_names_twice_is_one() -> None:
    ips = "egressIPs: [192.168.1.9]\n"
    twice = "egressIPs: [192.168.1.9, 192.168.1.9]\n"

    assert warnings(namespace("a", twice), node=ips) == []


def test_an_egress_ip_of_two_nodes_is_doubted() -> None:
    ips = "egressIPs: [192.168.1.9]\n"
    other = f"kind: HostSubnet\nmetadata: {{name: n3}}\nhostIP: 192.168.1.3\n{ips}"

    assert warnings(other, namespace("a", ips), node=ips) == [
        (
            "NetNamespace a: egressIPs[0]: "
            "192.168.1.9 is claimed by n1 and n3, so by none"
        )
    ]


def test_an_egress_ip_that_only_a_dead_node_could_have_is_nobodys() -> None:
    dead = "kind: Underlay\nofflineNodes: [n1]\n"
    ips = "egressIPs: [192.168.1.9]\n"

    found = warnings(namespace("a", ips), dead, node="egressCIDRs: [192.168.1.0/28]\n")

    assert found == ["NetNamespace a: egressIPs[0]: no node has 192.168.1.9"]


def test_namespaces_that_share_a_vnid_do_not_contend_for_an_egress_ip() -> None:
    ips = "egressIPs: [192.168.1.9]\n"
    two = [namespace(name, f"{ips}netid: 42\n") for name in "ab"]

    assert warnings(*two, node=ips, plugin=MULTITENANT) == [
        ("NetNamespace a: egressIPs: count for nothing: VNID 42 leaves by those of b")
    ]


def test_a_shared_vnid_leaves_by_the_egress_ips_of_the_last() -> None:
    ips = "egressIPs: [192.168.1.9]\nnetid: 42\n"

    found = warnings(
        namespace("a", ips),
        namespace("b", "netid: 42\n"),
        node="egressIPs: [192.168.1.9]\n",
        plugin=MULTITENANT,
    )

    assert found == [
        ("NetNamespace a: egressIPs: count for nothing: VNID 42 leaves by those of b")
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            (
                "kind: Service\nmetadata: {name: s, namespace: shop}\n"
                "spec: {selector: {app: db}, ports: [{port: 80}]}\n"
            ),
            "Service shop/s: spec.selector: selects no pod",
        ),
        (
            (
                "kind: Service\nmetadata: {name: s, namespace: shop}\n"
                "spec: {ipFamily: IPv4, ports: [{port: 80, appProtocol: h2}]}\n"
            ),
            "Service shop/s: spec.ipFamily: is unknown to 3.11, which drops it",
        ),
        (
            "kind: NetNamespace\nmetadata: {name: a}\negressips: []\n",
            "NetNamespace a: egressips: is unknown to 3.11, which drops it",
        ),
    ],
)
def test_other_objects_are_doubted_too(text: str, told: str) -> None:
    assert told in warnings(text)


def test_what_3_11_has_in_a_service_is_known() -> None:
    text = (
        "kind: Service\nmetadata: {name: s, namespace: shop}\n"
        "spec: {type: LoadBalancer, ports: [{name: a, protocol: TCP, port: 80, "
        "targetPort: 80, nodePort: 30000}], "
        "externalIPs: [192.0.2.1], sessionAffinity: ClientIP, sessionAffinityConfig: "
        "{clientIP: {timeoutSeconds: 5}}, loadBalancerIP: 192.0.2.1, "
        "loadBalancerSourceRanges: [10.0.0.0/8], externalTrafficPolicy: Local, "
        "healthCheckNodePort: 31000, publishNotReadyAddresses: false}\n"
        "status: {loadBalancer: {}}\n"
    )

    assert warnings(text) == []
