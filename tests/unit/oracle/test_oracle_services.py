"""Where services and host ports lead, from where, and what the endpoint sees."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

import pytest

from testbed.model import (
    EgressNetworkPolicy,
    EgressRule,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    HostPort,
    LabelSelector,
    NetworkPolicy,
    Plugin,
    Protocol,
    Service,
    ServicePort,
)

if TYPE_CHECKING:
    from tests.unit.oracle.conftest import Asker

CLUSTER_IP = "172.30.0.10"
NO_ENDPOINTS = "Service shop/front has no endpoints"
EIP = IPv4Address("172.16.1.101")


def serve(
    asker: Asker,
    *endpoints: str,
    namespace: str = "shop",
    node_port: int | None = 30080,
    **fields: Any,  # noqa: ANN401 - any field of a Service
) -> Asker:
    """A service front: TCP 80 to its endpoints' 8080, and nothing for UDP 53."""
    service = Service(
        namespace=namespace,
        name="front",
        cluster_ip=fields.pop("cluster_ip", IPv4Address(CLUSTER_IP)),
        ports=(
            ServicePort(
                name="http",
                protocol=Protocol.TCP,
                port=80,
                target_port=8080,
                node_port=node_port,
            ),
            ServicePort(name="dns", protocol=Protocol.UDP, port=53, target_port=53),
        ),
        **fields,
    )
    subset = EndpointSubset(
        addresses=tuple(asker.address(item) for item in endpoints),
        ports=(EndpointPort(name="http", protocol=Protocol.TCP, port=8080),),
    )
    found = Endpoints(
        namespace=namespace, name="front", subsets=(subset,) if endpoints else ()
    )
    return asker.having(services=(service,), endpoints=(found,))


@pytest.mark.parametrize(
    ("plugin", "sender", "endpoint", "seen"),
    [
        ("sub", "shop/web", "shop/db", "10.131.0.1 0 10.131.0.16"),
        ("mt", "shop/web", "shop/db", "10.131.0.1 0 10.131.0.16"),
        ("np", "shop/web", "shop/db", "10.131.1.241 4711 10.131.0.16"),
        ("sub", "shop/web", "bank/vault", "10.131.0.1 0 10.129.0.7"),
        ("mt", "shop/web", "bank/vault", "10.131.0.1 0 10.129.0.7"),
        ("np", "shop/web", "bank/vault", "10.131.1.241 4711 10.129.0.7"),
        ("sub", "shop/web", "shop/web", "10.131.0.1 0 10.131.1.241"),
        ("mt", "shop/web", "shop/web", "10.131.0.1 0 10.131.1.241"),
        ("np", "shop/web", "shop/web", "10.131.0.1 0 10.131.1.241"),
        ("sub", "shop/web", "oc-04", "10.131.1.241 None 172.16.1.25"),
        ("np", "shop/web", "oc-04", "10.131.1.241 None 172.16.1.25"),
        ("mt", "shop/web", "oc-02", "172.16.1.25 None 172.16.1.16"),
        ("np", "shop/web", "oc-02", "172.16.1.25 None 172.16.1.16"),
        ("mt", "shop/web", "www", "172.16.1.25 None 198.51.100.10"),
        ("np", "shop/web", "www", "172.16.1.25 None 198.51.100.10"),
        ("mt", "default/registry", "bank/vault", "10.130.0.1 0 10.129.0.7"),
        ("np", "oc-04", "bank/vault", "10.131.0.1 0 10.129.0.7"),
        ("mt", "oc-04", "www", "172.16.1.25 None 198.51.100.10"),
        ("np", "default/router", "bank/vault", "10.128.0.1 0 10.129.0.7"),
        ("mt", "www", "bank/vault", "198.51.100.10 0 10.129.0.7"),
        ("np", "www", "bank/vault", "198.51.100.10 0 10.129.0.7"),
    ],
)
def test_a_cluster_address_leads_to_the_endpoint(
    request: pytest.FixtureRequest, plugin: str, sender: str, endpoint: str, seen: str
) -> None:
    asker = serve(request.getfixturevalue(plugin), endpoint)

    (found,) = asker.seen(sender, CLUSTER_IP)
    assert found == f"{endpoint} {seen}:8080"


def test_one_of_several_endpoints_receives(sub: Asker) -> None:
    answer = serve(sub, "shop/db", "shop/cache")("shop/web", CLUSTER_IP)

    assert len(answer.deliveries) == 2
    assert not answer.everyone
    assert answer.may_be_lost == ()


def test_some_endpoints_may_be_out_of_reach(np: Asker) -> None:
    deny = NetworkPolicy(namespace="bank", name="deny", pod_selector=LabelSelector())
    asker = serve(np, "bank/vault", "shop/db").having(network_policies=(deny,))

    answer = asker("shop/web", CLUSTER_IP)

    assert asker.seen("shop/web", CLUSTER_IP) == [
        "shop/db 10.131.1.241 4711 10.131.0.16:8080"
    ]
    assert answer.may_be_lost == ("NetworkPolicy bank/deny",)
    assert serve(asker, "bank/vault").verdict("shop/web", CLUSTER_IP) == (
        "dropped",
        "NetworkPolicy bank/deny",
    )


def test_ovs_multitenant_asks_whose_the_service_is_not_the_endpoint(mt: Asker) -> None:
    asker = serve(mt, "bank/vault")

    assert asker.verdict("shop/web", CLUSTER_IP) == ("delivered", "same VNID")
    assert asker.verdict("bank/vault", CLUSTER_IP) == ("dropped", "different VNID")
    assert asker.verdict("default/registry", CLUSTER_IP)[0] == "delivered"
    shared = serve(mt, "bank/vault", namespace="default")
    assert shared.verdict("shop/web", CLUSTER_IP) == ("delivered", "global namespace")


@pytest.mark.parametrize("plugin", Plugin)
@pytest.mark.parametrize("sender", ["shop/web", "default/registry", "oc-04", "www"])
@pytest.mark.parametrize(
    ("to", "what", "reason"),
    [
        (CLUSTER_IP, "tcp/81", "Service shop/front has no port TCP/81"),
        (CLUSTER_IP, "udp/80", "Service shop/front has no port UDP/80"),
        (CLUSTER_IP, "icmp", "Service shop/front answers no ICMP"),
        ("172.30.0.99", "tcp/80", "no service has this address"),
    ],
)
def test_only_a_services_ports_answer(  # noqa: PLR0913, PLR0917 - a table of five
    town: Asker, plugin: Plugin, sender: str, to: str, what: str, reason: str
) -> None:
    asker = serve(town.under(plugin), "shop/db")

    assert asker.verdict(sender, to, what) == ("dropped", reason)


@pytest.mark.parametrize("plugin", Plugin)
@pytest.mark.parametrize(
    ("sender", "to", "outcome"),
    [
        ("shop/web", CLUSTER_IP, "dropped"),
        ("www", CLUSTER_IP, "dropped"),
        ("oc-04", CLUSTER_IP, "rejected"),
        ("www", "oc-02", "rejected"),
        ("shop/web", "oc-04", "rejected"),
        ("oc-04", "oc-04", "rejected"),
    ],
)
def test_without_endpoints_only_nodes_answer(
    town: Asker, plugin: Plugin, sender: str, to: str, outcome: str
) -> None:
    what = "tcp/80" if to == CLUSTER_IP else "tcp/30080"
    asker = serve(town.under(plugin))

    assert asker.verdict(sender, to, what) == (outcome, NO_ENDPOINTS)


def test_endpoints_answer_for_the_port_of_their_name(sub: Asker) -> None:
    asker = serve(sub, "shop/db")

    assert asker.verdict("oc-04", CLUSTER_IP, "udp/53") == ("rejected", NO_ENDPOINTS)


def test_a_headless_service_has_no_ports_anywhere(sub: Asker) -> None:
    asker = serve(sub, "shop/db", cluster_ip=None)

    assert asker.seen("www", "oc-02", "tcp/30080") == [
        "oc-02 198.51.100.10 None 172.16.1.16:30080"
    ]


@pytest.mark.parametrize("plugin", Plugin)
@pytest.mark.parametrize(
    ("sender", "to", "source"),
    [
        ("www", "oc-02", "10.129.0.1"),
        ("oc-04", "oc-02", "10.129.0.1"),
        ("oc-02", "oc-02", "10.129.0.1"),
        ("oc-02", "127.0.0.1", "10.129.0.1"),
        ("shop/web", "oc-02", "10.129.0.1"),
        ("shop/web", "oc-04", "10.131.0.1"),
        ("shop/web", "10.131.0.1", "10.131.0.1"),
        ("shop/web", "10.129.0.1", "10.129.0.1"),
    ],
)
def test_a_node_port_is_open_on_every_address_of_every_node(
    town: Asker, plugin: Plugin, sender: str, to: str, source: str
) -> None:
    asker = serve(town.under(plugin), "shop/cache")

    assert asker.seen(sender, to, "tcp/30080") == [
        f"shop/cache {source} 0 10.128.0.9:8080"
    ]


def test_a_node_port_is_for_its_protocol(sub: Asker) -> None:
    asker = serve(sub, "shop/cache")

    assert asker.seen("www", "oc-02", "udp/30080") == [
        "oc-02 198.51.100.10 None 172.16.1.16:30080"
    ]


def test_a_node_port_enters_with_vnid_0(np: Asker) -> None:
    deny = NetworkPolicy(namespace="shop", name="deny", pod_selector=LabelSelector())
    asker = serve(np, "shop/cache").having(network_policies=(deny,))

    assert asker.verdict("www", "oc-02", "tcp/30080") == (
        "dropped",
        "NetworkPolicy shop/deny",
    )
    # Masqueraded by the endpoint's own node, anybody passes for it.
    assert asker.verdict("www", "oc-01", "tcp/30080") == (
        "delivered",
        "the pod's own node",
    )


def test_egress_policy_guards_node_ports_from_pods(mt: Asker) -> None:
    everything = EgressRule(allow=False, cidr=IPv4Network("0.0.0.0/0"))
    policy = EgressNetworkPolicy(namespace="shop", name="none", egress=(everything,))
    asker = serve(mt, "shop/cache").having(egress_network_policies=(policy,))

    assert asker.verdict("shop/web", "oc-04", "tcp/30080") == (
        "dropped",
        "EgressNetworkPolicy shop/none rule 1",
    )
    assert asker("shop/web", "10.131.0.1", "tcp/30080").outcome == "delivered"
    assert asker("shop/web", CLUSTER_IP).outcome == "delivered"


def test_external_traffic_policy_local_keeps_to_the_node_and_shows_the_client(
    sub: Asker,
) -> None:
    asker = serve(sub, "shop/cache", "shop/db", local_only=True)
    lacking = ("dropped", "Service shop/front has no endpoints on oc-02.test")

    assert asker.seen("www", "oc-01", "tcp/30080") == [
        "shop/cache 198.51.100.10 0 10.128.0.9:8080"
    ]
    assert asker.verdict("www", "oc-02", "tcp/30080") == lacking
    assert asker.verdict("oc-02", "oc-02", "tcp/30080") == lacking
    assert asker.seen("oc-01", "oc-01", "tcp/30080") == [
        "shop/cache 172.16.1.15 0 10.128.0.9:8080"
    ]
    assert asker.seen("oc-01", "127.0.0.1", "tcp/30080") == [
        "shop/cache 10.128.0.1 0 10.128.0.9:8080"
    ]
    assert len(asker("www", CLUSTER_IP).deliveries) == 2


def test_external_traffic_policy_local_finds_endpoints_that_are_the_node(
    sub: Asker,
) -> None:
    asker = serve(sub, "oc-02", local_only=True)

    assert asker.seen("www", "oc-02", "tcp/30080") == [
        "oc-02 198.51.100.10 None 172.16.1.16:8080"
    ]
    assert asker("www", "oc-01", "tcp/30080").outcome == "dropped"


def test_an_egress_ip_shows_at_a_local_endpoint_that_sees_clients(mt: Asker) -> None:
    asker = serve(mt, "shop/db", local_only=True)
    asker = asker.with_namespace("shop", egress_ips=(EIP,))
    asker = asker.with_node("oc-04", egress_ips=(EIP,))

    assert asker.seen("shop/web", "oc-04", "tcp/30080") == [
        f"shop/db {EIP} 0 10.131.0.16:8080"
    ]
    everywhere = serve(asker, "shop/db")
    assert everywhere.seen("shop/web", "oc-04", "tcp/30080") == [
        "shop/db 10.131.0.1 0 10.131.0.16:8080"
    ]


XIP = "172.16.1.150"


@pytest.mark.parametrize("plugin", Plugin)
def test_an_external_ip_leads_to_the_endpoint_for_all_but_the_nodes(
    town: Asker, plugin: Plugin
) -> None:
    asker = serve(town.under(plugin), "shop/cache", external_ips=(IPv4Address(XIP),))

    assert asker.seen("shop/web", XIP) == ["shop/cache 10.131.0.1 0 10.128.0.9:8080"]
    assert sorted(asker.seen("www", XIP)) == [
        f"shop/cache 10.{subnet}.0.1 0 10.128.0.9:8080" for subnet in range(128, 132)
    ]
    assert asker.verdict("oc-04", XIP) == ("dropped", "no machine has this address")
    assert asker.verdict("shop/web", XIP, "tcp/81")[0] == "dropped"


def test_an_external_ip_may_be_a_nodes(sub: Asker) -> None:
    asker = serve(sub, "shop/cache", external_ips=(IPv4Address("172.16.1.16"),))
    none = serve(sub, external_ips=(IPv4Address("172.16.1.16"),))

    for sender in ("www", "oc-02", "oc-04"):
        assert asker.seen(sender, "oc-02") == [
            "shop/cache 10.129.0.1 0 10.128.0.9:8080"
        ]
    assert none.verdict("www", "oc-02") == ("rejected", NO_ENDPOINTS)


def test_an_external_ip_without_endpoints_is_lost(sub: Asker) -> None:
    asker = serve(sub, external_ips=(IPv4Address(XIP),))

    assert asker.verdict("shop/web", XIP) == ("dropped", NO_ENDPOINTS)


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_services_with_one_external_ip_the_one_with_endpoints_answers(
    sub: Asker, order: int
) -> None:
    """The other has rules that refuse only what is not translated."""
    asker = serve(sub, "shop/cache", external_ips=(IPv4Address("172.16.1.16"),))
    (front,) = asker.cluster.services
    dead = replace(front, name="dead", cluster_ip=IPv4Address("172.30.0.99"))
    both = asker.having(services=(dead, front)[::order])

    assert both.seen("www", "oc-02") == ["shop/cache 10.129.0.1 0 10.128.0.9:8080"]


def balanced(asker: Asker, *endpoints: str, **fields: Any) -> Asker:  # noqa: ANN401
    return serve(
        asker, *endpoints, load_balancer_ips=(IPv4Address("203.0.113.5"),), **fields
    )


def test_a_load_balancer_leads_to_the_endpoint_by_any_node(sub: Asker) -> None:
    asker = balanced(sub, "shop/cache")

    assert len(asker("www", "203.0.113.5").deliveries) == 4
    for sender in ("oc-04", "shop/web"):
        assert asker.seen(sender, "203.0.113.5") == [
            "shop/cache 10.131.0.1 0 10.128.0.9:8080"
        ]


@pytest.mark.parametrize(
    ("sender", "outcome"),
    [("www", "delivered"), ("rogue", "dropped"), ("oc-04", "dropped")],
)
def test_a_load_balancer_admits_its_source_ranges(
    sub: Asker, sender: str, outcome: str
) -> None:
    ranges = (IPv4Network("198.51.100.0/24"),)
    asker = balanced(sub, "shop/cache", source_ranges=ranges)

    assert asker(sender, "203.0.113.5").outcome == outcome
    if outcome == "dropped":
        assert asker.verdict(sender, "203.0.113.5")[1] == (
            "Service shop/front loadBalancerSourceRanges"
        )
    assert asker(sender, CLUSTER_IP).outcome == "delivered"


def test_a_load_balancer_keeps_to_nodes_with_endpoints(sub: Asker) -> None:
    asker = balanced(sub, "shop/cache", local_only=True)

    assert asker.seen("www", "203.0.113.5") == [
        "shop/cache 198.51.100.10 0 10.128.0.9:8080"
    ]
    assert asker("www", "203.0.113.5").may_be_lost == ()
    assert asker.verdict("oc-04", "203.0.113.5") == (
        "dropped",
        "Service shop/front has no endpoints on oc-04.test",
    )


def test_a_load_balancer_without_endpoints_rejects_nobody(sub: Asker) -> None:
    for sender in ("www", "oc-04", "shop/web"):
        assert balanced(sub).verdict(sender, "203.0.113.5") == ("dropped", NO_ENDPOINTS)


def test_a_service_that_leads_in_circles_ends(sub: Asker) -> None:
    asker = serve(sub, "oc-01", "oc-02", node_port=8080)

    answer = asker("www", "oc-01", "tcp/8080")

    assert {item.source for item in answer.deliveries} >= {IPv4Address("198.51.100.10")}
    assert answer.may_be_lost == ("a service that leads to itself",)


def denied(asker: Asker, *rules: EgressRule, namespace: str = "shop") -> Asker:
    policy = EgressNetworkPolicy(namespace=namespace, name="default", egress=rules)
    others = asker.cluster.egress_network_policies
    return asker.having(egress_network_policies=(*others, policy))


NOT_WWW = EgressRule(allow=False, cidr=IPv4Network("198.51.100.10/32"))
HIDDEN = "Service shop/front has no endpoints that EgressNetworkPolicy admits"


def test_a_denied_endpoint_hides_all_of_them(mt: Asker) -> None:
    asker = denied(serve(mt, "shop/db", "www"), NOT_WWW)

    assert asker.verdict("shop/web", CLUSTER_IP) == ("dropped", HIDDEN)
    assert asker.verdict("oc-04", CLUSTER_IP) == ("rejected", HIDDEN)


def test_other_endpoints_are_not_hidden(mt: Asker) -> None:
    for endpoint in ("shop/db", "api"):
        asker = denied(serve(mt, endpoint), NOT_WWW)
        assert asker("shop/web", CLUSTER_IP).outcome == "delivered"
    of_bank = denied(serve(mt, "www"), NOT_WWW, namespace="bank")
    assert of_bank("shop/web", CLUSTER_IP).outcome == "delivered"


def test_with_two_policies_all_endpoints_outside_are_hidden(mt: Asker) -> None:
    allow = EgressRule(allow=True, cidr=IPv4Network("0.0.0.0/0"))
    asker = denied(denied(serve(mt, "api"), allow), allow)

    assert asker.verdict("shop/web", CLUSTER_IP) == ("dropped", HIDDEN)
    inside = denied(denied(serve(mt, "shop/db"), allow), allow)
    assert inside("shop/web", CLUSTER_IP).outcome == "delivered"


def test_global_namespaces_hide_nothing(mt: Asker) -> None:
    asker = denied(serve(mt, "www", namespace="default"), NOT_WWW, namespace="default")

    assert asker("shop/web", CLUSTER_IP).outcome == "delivered"


def test_a_name_hides_its_last_address_only(mt: Asker) -> None:
    rule = EgressRule(allow=False, dns_name="www.example.com")
    first, last = denied(serve(mt, "www"), rule), denied(serve(mt, "api"), rule)

    assert first("shop/web", CLUSTER_IP).outcome == "delivered"
    assert last.verdict("shop/web", CLUSTER_IP) == ("dropped", HIDDEN)
    fixed = first.without("dns_endpoints_aliased")
    assert fixed.verdict("shop/web", CLUSTER_IP) == ("dropped", HIDDEN)


def with_host_port(asker: Asker) -> Asker:
    port = HostPort(host_port=9000, container_port=90, protocol=Protocol.TCP)
    return asker.having(
        pods=tuple(
            replace(pod, host_ports=(port,)) if pod.key == "shop/db" else pod
            for pod in asker.cluster.pods
        )
    )


@pytest.mark.parametrize(
    ("plugin", "sender", "to", "seen"),
    [
        ("sub", "www", "oc-04", "198.51.100.10 0"),
        ("np", "www", "oc-04", "198.51.100.10 0"),
        ("sub", "oc-04", "oc-04", "172.16.1.25 0"),
        ("sub", "oc-04", "127.0.0.1", "10.131.0.1 0"),
        ("sub", "oc-02", "oc-04", "172.16.1.16 0"),
        ("mt", "shop/web", "oc-04", "10.131.0.1 0"),
        ("np", "shop/web", "oc-04", "10.131.1.241 4711"),
        ("np", "shop/web", "10.131.0.1", "10.131.1.241 4711"),
        ("np", "shop/db", "oc-04", "10.131.0.1 0"),
        ("mt", "bank/vault", "10.131.0.1", "10.131.0.1 0"),
        ("np", "bank/vault", "10.131.0.1", "10.129.0.7 0"),
        ("np", "bank/vault", "oc-04", "172.16.1.16 0"),
    ],
)
def test_a_host_port_leads_to_its_pod(
    request: pytest.FixtureRequest, plugin: str, sender: str, to: str, seen: str
) -> None:
    asker = with_host_port(request.getfixturevalue(plugin))

    assert asker.seen(sender, to, "tcp/9000") == [f"shop/db {seen} 10.131.0.16:90"]


def test_a_host_port_is_open_on_its_pods_node_only(sub: Asker) -> None:
    asker = with_host_port(sub)

    assert asker.seen("www", "oc-02", "tcp/9000") == [
        "oc-02 198.51.100.10 None 172.16.1.16:9000"
    ]
    assert asker.seen("www", "oc-04", "udp/9000") == [
        "oc-04 198.51.100.10 None 172.16.1.25:9000"
    ]


def test_a_service_comes_before_a_host_port(sub: Asker) -> None:
    asker = serve(with_host_port(sub), "shop/cache", node_port=9000)

    assert asker.seen("www", "oc-04", "tcp/9000") == [
        "shop/cache 10.131.0.1 0 10.128.0.9:8080"
    ]
