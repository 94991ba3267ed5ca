"""Which way kube-proxy leads from a service to its endpoints.

The whole text of every rule is in ``golden/services.iptables``.
"""

from __future__ import annotations

import math
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import pytest

from testbed.host.iptables import node_rules
from testbed.host.rules import chain_name
from testbed.model import (
    EgressNetworkPolicy,
    EgressRule,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    Plugin,
    Protocol,
    Service,
    ServicePort,
)

if TYPE_CHECKING:
    from testbed.model import Cluster

LOCAL, ALSO_LOCAL, REMOTE = "10.131.1.241", "10.131.0.16", "10.130.0.9"
NODE = "172.16.1.25"
CLUSTER_IP = IPv4Address("172.30.0.10")
LOAD_BALANCER = IPv4Address("203.0.113.11")

WEB = Service(
    namespace="shop",
    name="web",
    cluster_ip=CLUSTER_IP,
    ports=(
        ServicePort(
            name="http",
            protocol=Protocol.TCP,
            port=80,
            target_port=8080,
            node_port=30080,
        ),
    ),
)
HASH = chain_name("", "shop/web:http", "tcp")
SVC, XLB, FW = f"KUBE-SVC-{HASH}", f"KUBE-XLB-{HASH}", f"KUBE-FW-{HASH}"


def endpoint_chain(ip: str) -> str:
    return chain_name("KUBE-SEP-", "shop/web:http", "tcp", f"{ip}:8080")


class Rules:
    """One node's rules, by table and chain."""

    def __init__(self, cluster: Cluster, node: str = "oc-04") -> None:
        text = node_rules(cluster, cluster.node(node))
        self.tables: dict[str, dict[str, list[str]]] = {}
        for line in text.splitlines():
            word, _, rest = line.partition(" ")
            if word[0] == "*":
                chains = self.tables.setdefault(word[1:], {})
            elif word[0] == ":":
                chains[word[1:]] = []
            elif word == "-A":
                chain, _, rule = rest.partition(" ")
                chains[chain].append(rule)

    def nat(self, chain: str) -> list[str]:
        return self.tables["nat"][chain]

    def rejected(self, chain: str) -> list[str]:
        return self.tables["filter"][chain]

    def targets(self, chain: str) -> list[str]:
        return [rule.split("-j ")[1] for rule in self.nat(chain)]


def cluster_with(
    cluster: Cluster, service: Service, *ips: str, port: str = "http"
) -> Cluster:
    """A cluster with one service and these addresses behind it."""
    endpoints = Endpoints(
        namespace=service.namespace,
        name=service.name,
        subsets=(
            EndpointSubset(
                addresses=tuple(map(IPv4Address, ips)),
                ports=(EndpointPort(name=port, protocol=Protocol.TCP, port=8080),),
            ),
        ),
    )
    return replace(cluster, services=(service,), endpoints=(endpoints,))


def test_chains_are_named_as_kubernetes_names_them() -> None:
    service = chain_name("KUBE-SVC-", "ns1/svc1:p80", "tcp")
    endpoint = chain_name("KUBE-SEP-", "ns1/svc1:p80", "tcp", "10.180.0.1:80")

    assert service == "KUBE-SVC-XPGD46QRK7WJZT7O"
    assert endpoint == "KUBE-SEP-SXIVWICOYRO3J4NJ"


def test_the_api_servers_service_has_the_chain_of_every_cluster(
    four_nodes: Cluster,
) -> None:
    api = replace(
        WEB,
        namespace="default",
        name="kubernetes",
        ports=(replace(WEB.ports[0], name="https"),),
    )

    rules = Rules(cluster_with(four_nodes, api, "172.16.1.15", port="https"))

    assert "KUBE-SVC-NPX46M4PTMTKRN6Y" in rules.targets("KUBE-SERVICES")


def test_a_nameless_port_leaves_its_colon_behind(four_nodes: Cluster) -> None:
    nameless = replace(WEB, ports=(replace(WEB.ports[0], name=""),))

    rules = Rules(cluster_with(four_nodes, nameless, LOCAL, port=""))

    assert '"shop/web: cluster IP"' in rules.nat("KUBE-SERVICES")[0]
    assert chain_name("KUBE-SVC-", "shop/web:", "tcp") in rules.tables["nat"]


def test_the_cluster_address_leads_to_an_endpoint(four_nodes: Cluster) -> None:
    rules = Rules(cluster_with(four_nodes, WEB, LOCAL))

    first, *_ = rules.nat("KUBE-SERVICES")
    assert first.startswith(f"-d {CLUSTER_IP}/32 -p tcp ")
    assert first.endswith(f"-m tcp --dport 80 -j {SVC}")
    assert rules.targets(SVC) == [endpoint_chain(LOCAL)]
    assert rules.targets(endpoint_chain(LOCAL)) == [
        "KUBE-MARK-MASQ",
        f"DNAT --to-destination {LOCAL}:8080",
    ]


def test_an_endpoint_that_calls_its_own_service_is_masqueraded(
    four_nodes: Cluster,
) -> None:
    rules = Rules(cluster_with(four_nodes, WEB, LOCAL, REMOTE))

    for ip in (LOCAL, REMOTE):
        first, *_ = rules.nat(endpoint_chain(ip))
        assert first.startswith(f"-s {ip}/32 ")
        assert first.endswith("-j KUBE-MARK-MASQ")


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_every_endpoint_gets_its_share(four_nodes: Cluster, count: int) -> None:
    ips = [f"10.130.0.{number}" for number in range(1, count + 1)]

    balancing = Rules(cluster_with(four_nodes, WEB, *ips)).nat(SVC)

    left, shares = 1.0, []
    for rule in balancing:
        _, given, rest = rule.partition("--probability ")
        chance = float(rest.split()[0]) if given else 1.0
        shares.append(left * chance)
        left *= 1 - chance
    assert len(shares) == count
    assert left == 0
    assert all(math.isclose(share, 1 / count, rel_tol=1e-3) for share in shares)


def test_probabilities_have_five_digits(four_nodes: Cluster) -> None:
    first, second, last = Rules(
        cluster_with(four_nodes, WEB, LOCAL, ALSO_LOCAL, REMOTE)
    ).nat(SVC)

    assert "-m statistic --mode random --probability 0.33333 " in first
    assert "-m statistic --mode random --probability 0.50000 " in second
    assert "statistic" not in last


def test_a_client_with_affinity_is_led_back_before_any_lot_is_drawn(
    four_nodes: Cluster,
) -> None:
    sticky = replace(WEB, affinity_timeout=600)

    rules = Rules(cluster_with(four_nodes, sticky, LOCAL, REMOTE)).nat(SVC)

    assert ["--rcheck --seconds 600 --reap" in rule for rule in rules] == [
        True,
        True,
        False,
        False,
    ]


def test_an_endpoint_with_affinity_remembers_its_clients(four_nodes: Cluster) -> None:
    sticky = replace(WEB, affinity_timeout=600)
    chain = endpoint_chain(LOCAL)

    rules = Rules(cluster_with(four_nodes, sticky, LOCAL))

    assert f"-m recent --set --name {chain} " in rules.nat(chain)[1]
    assert f"--name {chain} " in rules.nat(SVC)[0]


def test_a_udp_service_is_matched_as_udp(four_nodes: Cluster) -> None:
    udp = replace(WEB, ports=(replace(WEB.ports[0], protocol=Protocol.UDP),))

    first, *_ = Rules(cluster_with(four_nodes, udp, LOCAL)).nat("KUBE-SERVICES")

    assert " -p udp " in first
    assert " -m udp --dport 80 " in first


def test_endpoints_belong_to_the_port_of_their_name(four_nodes: Cluster) -> None:
    rules = Rules(cluster_with(four_nodes, WEB, LOCAL, port="metrics"))

    assert SVC not in rules.tables["nat"]


@pytest.mark.parametrize("ips", [(), None])
def test_a_service_without_endpoints_rejects(
    four_nodes: Cluster, ips: tuple[str, ...] | None
) -> None:
    cluster = cluster_with(four_nodes, WEB)
    if ips is None:
        cluster = replace(cluster, endpoints=())

    rules = Rules(cluster)

    (inside,) = rules.rejected("KUBE-SERVICES")
    (outside,) = rules.rejected("KUBE-EXTERNAL-SERVICES")
    assert inside.startswith(f"-d {CLUSTER_IP}/32 -p tcp ")
    assert "-m addrtype --dst-type LOCAL -m tcp --dport 30080 " in outside
    assert all("-j REJECT" in rule for rule in (inside, outside))
    assert len(rules.nat("KUBE-SERVICES")) == 1


def test_a_service_with_endpoints_rejects_nothing(four_nodes: Cluster) -> None:
    rules = Rules(cluster_with(four_nodes, WEB, LOCAL))

    assert rules.rejected("KUBE-SERVICES") == []
    assert rules.rejected("KUBE-EXTERNAL-SERVICES") == []


def test_a_service_whose_endpoints_are_hidden_rejects(four_nodes: Cluster) -> None:
    cluster = replace(
        cluster_with(four_nodes, WEB, LOCAL, "198.51.100.7"),
        network=replace(four_nodes.network, plugin=Plugin.NETWORKPOLICY),
        egress_network_policies=(
            EgressNetworkPolicy(
                namespace="shop",
                name="closed",
                egress=(EgressRule(allow=False, cidr=IPv4Network("0.0.0.0/0")),),
            ),
        ),
    )

    rules = Rules(cluster)

    assert SVC not in rules.tables["nat"]
    assert len(rules.rejected("KUBE-SERVICES")) == 1


def test_a_headless_service_has_no_rules(four_nodes: Cluster) -> None:
    headless = replace(WEB, cluster_ip=None)

    text = node_rules(
        cluster_with(four_nodes, headless, LOCAL), four_nodes.node("oc-04")
    )

    assert "shop/web" not in text


def test_the_jump_to_nodeports_is_the_last_of_all(four_nodes: Cluster) -> None:
    rules = Rules(cluster_with(four_nodes, WEB, LOCAL))

    assert rules.targets("KUBE-SERVICES")[-1] == "KUBE-NODEPORTS"
    assert "-m addrtype --dst-type LOCAL" in rules.nat("KUBE-SERVICES")[-1]


def test_a_node_port_is_masqueraded_and_leads_to_any_endpoint(
    four_nodes: Cluster,
) -> None:
    rules = Rules(cluster_with(four_nodes, WEB, LOCAL, REMOTE))

    assert rules.targets("KUBE-NODEPORTS") == ["KUBE-MARK-MASQ", SVC]
    assert all("--dport 30080 " in rule for rule in rules.nat("KUBE-NODEPORTS"))


def test_a_local_node_port_keeps_the_senders_address(four_nodes: Cluster) -> None:
    local = replace(WEB, local_only=True)

    rules = Rules(cluster_with(four_nodes, local, LOCAL, REMOTE))

    loopback, jump = rules.nat("KUBE-NODEPORTS")
    assert loopback.startswith("-s 127.0.0.0/8 ")
    assert loopback.endswith("-j KUBE-MARK-MASQ")
    assert jump.endswith(f"-j {XLB}")


def test_a_local_node_port_leads_to_the_nodes_own_endpoints(
    four_nodes: Cluster,
) -> None:
    local = replace(WEB, local_only=True)

    rules = Rules(cluster_with(four_nodes, local, LOCAL, REMOTE, NODE))

    assert rules.targets(XLB) == [endpoint_chain(LOCAL), endpoint_chain(NODE)]
    assert "--probability 0.50000" in rules.nat(XLB)[0]
    assert '"Balancing rule 1 for shop/web:http"' in rules.nat(XLB)[1]


def test_the_cluster_address_of_a_local_service_leads_anywhere(
    four_nodes: Cluster,
) -> None:
    local = replace(WEB, local_only=True)

    rules = Rules(cluster_with(four_nodes, local, LOCAL, REMOTE))

    assert rules.targets(SVC) == [endpoint_chain(LOCAL), endpoint_chain(REMOTE)]


def test_a_node_without_endpoints_of_its_own_drops(four_nodes: Cluster) -> None:
    local = replace(WEB, local_only=True)

    rules = Rules(cluster_with(four_nodes, local, LOCAL), node="oc-01")

    assert rules.targets(XLB) == ["KUBE-MARK-DROP"]
    assert '"shop/web:http has no local endpoints"' in rules.nat(XLB)[0]


def test_affinity_among_local_endpoints_knows_those_only(four_nodes: Cluster) -> None:
    local = replace(WEB, local_only=True, affinity_timeout=600)

    rules = Rules(cluster_with(four_nodes, local, LOCAL, REMOTE))

    assert rules.targets(XLB) == [endpoint_chain(LOCAL)] * 2


def test_an_external_ip_is_masqueraded_and_open_from_outside_the_node(
    four_nodes: Cluster,
) -> None:
    external = replace(WEB, external_ips=(IPv4Address("203.0.113.10"),))

    rules = Rules(cluster_with(four_nodes, external, LOCAL))

    marking, from_outside, to_itself = rules.nat("KUBE-SERVICES")[1:4]
    assert marking.endswith("--dport 80 -j KUBE-MARK-MASQ")
    assert from_outside.endswith(
        f"-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j {SVC}"
    )
    assert to_itself.endswith(f"-m addrtype --dst-type LOCAL -j {SVC}")


def test_an_external_ip_without_endpoints_rejects(four_nodes: Cluster) -> None:
    external = replace(WEB, external_ips=(IPv4Address("203.0.113.10"),))

    first, *_ = Rules(cluster_with(four_nodes, external)).rejected(
        "KUBE-EXTERNAL-SERVICES"
    )

    assert first.startswith("-d 203.0.113.10/32 -p tcp ")


def test_everybody_may_use_a_load_balancer_without_ranges(four_nodes: Cluster) -> None:
    balanced = replace(WEB, load_balancer_ips=(LOAD_BALANCER,))

    rules = Rules(cluster_with(four_nodes, balanced, LOCAL))

    assert FW in rules.targets("KUBE-SERVICES")
    assert rules.targets(FW) == ["KUBE-MARK-MASQ", SVC, "KUBE-MARK-DROP"]


def test_only_the_ranges_of_a_load_balancer_may_use_it(four_nodes: Cluster) -> None:
    balanced = replace(
        WEB,
        load_balancer_ips=(LOAD_BALANCER,),
        source_ranges=(IPv4Network("198.51.100.0/24"), IPv4Network("192.0.2.0/24")),
    )

    _, first, second, last = Rules(cluster_with(four_nodes, balanced, LOCAL)).nat(FW)

    assert first.startswith("-s 198.51.100.0/24 ")
    assert second.startswith("-s 192.0.2.0/24 ")
    assert last.endswith("-j KUBE-MARK-DROP")


def test_a_node_in_the_ranges_may_send_from_the_load_balancers_address(
    four_nodes: Cluster,
) -> None:
    balanced = replace(
        WEB,
        load_balancer_ips=(LOAD_BALANCER,),
        source_ranges=(IPv4Network(f"{NODE}/32"),),
    )
    cluster = cluster_with(four_nodes, balanced, LOCAL)

    assert f"-s {LOAD_BALANCER}/32 " in "\n".join(Rules(cluster).nat(FW))
    assert f"-s {LOAD_BALANCER}/32 " not in "\n".join(Rules(cluster, "oc-01").nat(FW))


def test_a_local_load_balancer_keeps_the_senders_address(four_nodes: Cluster) -> None:
    balanced = replace(WEB, load_balancer_ips=(LOAD_BALANCER,), local_only=True)

    rules = Rules(cluster_with(four_nodes, balanced, LOCAL))

    assert rules.targets(FW) == [XLB, "KUBE-MARK-DROP"]


def test_a_load_balancer_without_endpoints_has_no_rules(four_nodes: Cluster) -> None:
    balanced = replace(WEB, load_balancer_ips=(LOAD_BALANCER,))
    cluster = cluster_with(four_nodes, balanced)

    assert str(LOAD_BALANCER) not in node_rules(cluster, cluster.node("oc-04"))
