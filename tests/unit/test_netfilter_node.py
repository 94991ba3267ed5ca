"""What a 3.11 node's kernel does, read from the rules that the testbed computes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.egress import egress_mark
from testbed.host.egress import egress_addresses
from testbed.host.iptables import node_rules
from testbed.host.links import assign_egress_ips, node_links
from testbed.model import HostPort, Outcome, Protocol, Transport
from testbed.netfilter import (
    CtState,
    Kernel,
    KernelPacket,
    Passage,
    Routes,
    Ruleset,
)
from testbed.topology import load

if TYPE_CHECKING:
    from testbed.model import Cluster

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
EXTERNAL = "198.51.100.1"
"""Somebody outside the cluster."""


def shipped(name: str) -> Cluster:
    return load(TOPOLOGIES / f"{name}.yaml").cluster


@pytest.fixture(scope="module")
def multitenant() -> Cluster:
    return shipped("multitenant")


@pytest.fixture(scope="module")
def networkpolicy() -> Cluster:
    return shipped("networkpolicy")


def kernel(cluster: Cluster, name: str) -> Kernel:
    node = cluster.node(name)
    links = node_links(cluster, node)
    egress = assign_egress_ips(cluster, egress_addresses(cluster, node))
    return Kernel(
        name=node.name,
        ruleset=Ruleset.parse(node_rules(cluster, node)),
        routes=Routes.from_batch(links + egress),
    )


def packet(
    source: object, destination: object, dport: int, **fields: object
) -> KernelPacket:
    tcp = KernelPacket(
        source=IPv4Address(str(source)),
        destination=IPv4Address(str(destination)),
        transport=Transport.TCP,
        dport=dport,
    )
    return replace(tcp, **fields)  # type: ignore[arg-type]


def leads_to(passages: tuple[Passage, ...]) -> dict[str, object]:
    """Where packets leave to, and how likely."""
    return {
        f"{passage.packet.destination}:{passage.packet.dport} by "
        f"{passage.out_interface}": pytest.approx(passage.probability, abs=1e-4)
        for passage in passages
    }


def sources(passages: tuple[Passage, ...]) -> set[str]:
    return {str(passage.packet.source) for passage in passages}


WEB = {
    "10.128.0.17:8080 by tun0": 1 / 3,
    "10.129.0.9:8080 by tun0": 1 / 3,
    "10.130.0.6:8080 by tun0": 1 / 3,
}
"""The endpoints of shop/web in the multitenant topology."""


def test_a_pod_reaches_each_endpoint_of_a_service_by_equal_chance(
    multitenant: Cluster,
) -> None:
    web = multitenant.service("shop/web").cluster_ip

    passages = kernel(multitenant, "oc-04").forward(
        packet("10.131.0.17", web, 80), "tun0"
    )

    assert leads_to(passages) == WEB
    assert sum(passage.probability for passage in passages) == pytest.approx(1)


def test_an_endpoint_sees_the_clients_node_but_under_networkpolicy_the_client(
    multitenant: Cluster, networkpolicy: Cluster
) -> None:
    web = multitenant.service("shop/web").cluster_ip
    masked = kernel(multitenant, "oc-04").forward(
        packet("10.131.0.17", web, 80), "tun0"
    )
    web = networkpolicy.service("shop/web").cluster_ip
    shown = kernel(networkpolicy, "oc-04").forward(
        packet("10.131.0.16", web, 80), "tun0"
    )

    assert sources(masked) == {"10.131.0.1"}
    assert sources(shown) == {"10.131.0.16"}


def test_a_pod_that_its_own_service_chose_is_masqueraded(
    networkpolicy: Cluster,
) -> None:
    web = networkpolicy.service("shop/web").cluster_ip

    passages = kernel(networkpolicy, "oc-01").forward(
        packet("10.128.0.17", web, 80), "tun0"
    )

    chosen = {str(passage.packet.destination): passage for passage in passages}
    itself, other = chosen["10.128.0.17"], chosen["10.129.0.9"]
    assert str(itself.packet.source) == "10.128.0.1"
    assert str(other.packet.source) == "10.128.0.17"
    assert (itself.packet.mark, other.packet.mark) == (1, 0)


def test_a_node_itself_reaches_a_service_from_its_tun0(multitenant: Cluster) -> None:
    web = multitenant.service("shop/web").cluster_ip
    assert web is not None
    node = kernel(multitenant, "oc-04")

    passages = node.send(packet(node.routes.source_for(web), web, 80))

    assert leads_to(passages) == WEB
    assert sources(passages) == {"10.131.0.1"}


def test_an_answer_from_an_endpoint_comes_back_from_the_service(
    multitenant: Cluster,
) -> None:
    web = multitenant.service("shop/web").cluster_ip
    node = kernel(multitenant, "oc-04")
    question = node.forward(packet("10.131.0.17", web, 80, sport=40000), "tun0")[1]
    answer = packet("10.129.0.9", "10.131.0.1", 40000, sport=8080)
    answer = replace(answer, ct_state=CtState.ESTABLISHED)

    (back,) = node.forward(answer, "tun0", answers=question)

    assert str(back.packet) == f"tcp {web}:80 > 10.131.0.17:40000"
    assert back.out_interface == "tun0"
    assert str(question.reply(answer)) == str(back.packet)


def test_a_node_refuses_itself_a_service_without_endpoints(
    multitenant: Cluster,
) -> None:
    mainframe = multitenant.service("bank/mainframe").cluster_ip

    (passage,) = kernel(multitenant, "oc-02").send(packet("10.129.0.1", mainframe, 992))

    assert passage.outcome is Outcome.REJECTED
    assert passage.reject_with == "icmp-port-unreachable"
    assert "bank/mainframe:tn3270 has no endpoints" in passage.hits[-1].rule
    assert passage.hits[-1].chain == "KUBE-SERVICES"


def test_a_pods_packet_to_a_service_without_endpoints_goes_in_a_circle(
    multitenant: Cluster,
) -> None:
    """3.11 refuses it in OUTPUT only; forwarded it leaves where it came from."""
    mainframe = multitenant.service("bank/mainframe").cluster_ip

    (passage,) = kernel(multitenant, "oc-02").forward(
        packet("10.129.0.14", mainframe, 992), "tun0"
    )

    assert (passage.outcome, passage.out_interface) == (None, "tun0")
    assert passage.packet.destination == mainframe


def test_a_port_that_the_service_does_not_have_is_no_service(
    multitenant: Cluster,
) -> None:
    web = multitenant.service("shop/web").cluster_ip

    (passage,) = kernel(multitenant, "oc-02").forward(
        packet("10.129.0.14", web, 81), "tun0"
    )

    assert passage.packet.destination == web


@pytest.mark.parametrize("name", ["oc-01", "oc-02", "oc-03", "oc-04"])
def test_a_node_port_leads_from_outside_to_every_endpoint_from_every_node(
    multitenant: Cluster, name: str
) -> None:
    node = multitenant.node(name)

    passages = kernel(multitenant, name).forward(
        packet(EXTERNAL, node.host_ip, 31080), "eth0"
    )

    assert leads_to(passages) == WEB
    assert sources(passages) == {str(node.gateway)}


def test_a_local_node_port_leads_to_the_nodes_own_endpoints_and_shows_the_client(
    multitenant: Cluster,
) -> None:
    node = multitenant.node("oc-02")

    passages = kernel(multitenant, "oc-02").forward(
        packet(EXTERNAL, node.host_ip, 31443), "eth0"
    )

    assert leads_to(passages) == {"10.129.0.12:8443 by tun0": 1}
    assert sources(passages) == {EXTERNAL}


def test_a_local_node_port_without_endpoint_on_the_node_drops(
    multitenant: Cluster,
) -> None:
    node = multitenant.node("oc-01")

    (passage,) = kernel(multitenant, "oc-01").forward(
        packet(EXTERNAL, node.host_ip, 31443), "eth0"
    )

    assert passage.outcome is Outcome.DROPPED
    assert passage.hits[-1].chain == "KUBE-FIREWALL"
    assert passage.packet.mark & 0x8000


def test_a_port_of_the_node_that_is_no_service_is_the_nodes_own(
    multitenant: Cluster,
) -> None:
    node = multitenant.node("oc-01")

    (passage,) = kernel(multitenant, "oc-01").forward(
        packet(EXTERNAL, node.host_ip, 22), "eth0"
    )

    assert passage.outcome is Outcome.DELIVERED


def test_a_load_balancers_address_leads_to_the_endpoints(multitenant: Cluster) -> None:
    (ip,) = multitenant.service("shop/web").load_balancer_ips

    passages = kernel(multitenant, "oc-02").forward(packet(EXTERNAL, ip, 80), "eth0")

    assert leads_to(passages) == WEB


def test_an_external_ip_leads_from_outside_to_the_endpoints_masqueraded(
    multitenant: Cluster,
) -> None:
    (ip,) = multitenant.service("bank/rates").external_ips
    udp = packet(EXTERNAL, ip, 7000, transport=Transport.UDP)

    passages = kernel(multitenant, "oc-02").forward(udp, "eth0")

    assert leads_to(passages) == {
        "10.129.0.15:7000 by tun0": 0.5,
        "10.131.0.23:7000 by tun0": 0.5,
    }
    assert sources(passages) == {"10.129.0.1"}


def test_session_affinity_is_said_not_to_be_known(multitenant: Cluster) -> None:
    jenkins = multitenant.service("ci/jenkins").cluster_ip

    passages = kernel(multitenant, "oc-02").forward(
        packet("10.129.0.40", jenkins, 80), "tun0"
    )

    assert leads_to(passages) == {
        "10.128.1.6:8080 by tun0": 0.5,
        "10.130.0.21:8080 by tun0": 0.5,
    }
    for passage in passages:
        unknown = [hit for hit in passage.hits if not hit.matched]
        assert len(unknown) == 2
        assert all("--rcheck" in hit.rule for hit in unknown)
        assert any("-m recent --set" in hit.rule for hit in passage.hits if hit.matched)


def test_a_host_port_leads_to_its_pod(multitenant: Cluster) -> None:
    node = multitenant.node("oc-04")

    passages = kernel(multitenant, "oc-04").forward(
        packet(EXTERNAL, node.host_ip, 1521), "eth0"
    )

    assert leads_to(passages) == {"10.131.0.22:1521 by tun0": 1}


def test_a_node_reaches_a_host_port_of_its_own_at_the_loopback_address(
    multitenant: Cluster,
) -> None:
    (passage,) = kernel(multitenant, "oc-04").send(
        packet("127.0.0.1", "127.0.0.1", 1521)
    )

    assert leads_to((passage,)) == {"10.131.0.22:1521 by tun0": 1}
    assert str(passage.packet.source) == "10.131.0.1"
    assert "SNAT for localhost access to hostports" in passage.hits[-1].rule


def test_only_what_leaves_the_cluster_gets_the_nodes_address_under_networkpolicy(
    networkpolicy: Cluster,
) -> None:
    node = kernel(networkpolicy, "oc-02")

    (outward,) = node.forward(packet("10.129.0.31", EXTERNAL, 80), "tun0")
    (inward,) = node.forward(packet("10.129.0.31", "10.130.0.14", 80), "tun0")

    assert str(outward.packet.source) == "172.16.1.16"
    assert (outward.out_interface, str(outward.next_hop)) == ("eth0", "172.16.1.253")
    assert str(inward.packet.source) == "10.129.0.31"


def test_a_namespaces_mark_gives_it_its_egress_ip(networkpolicy: Cluster) -> None:
    ip = IPv4Address("172.16.1.102")
    payments = networkpolicy.vnid("payments")
    node = kernel(networkpolicy, "oc-02")
    marked = packet("10.128.1.7", EXTERNAL, 80, mark=egress_mark(payments))

    (passage,) = node.forward(marked, "tun0")
    (unmarked,) = node.forward(replace(marked, mark=0), "tun0")

    assert passage.packet.source == ip
    assert passage.hits[-1].effect == f"snat to {ip}"
    assert str(unmarked.packet.source) == "172.16.1.16"


def test_nobody_opens_a_connection_to_an_egress_ip(networkpolicy: Cluster) -> None:
    (passage,) = kernel(networkpolicy, "oc-02").forward(
        packet(EXTERNAL, "172.16.1.102", 80), "eth0"
    )

    assert passage.outcome is Outcome.REJECTED
    assert passage.hits[-1].chain == "OPENSHIFT-FIREWALL-ALLOW"


def test_a_segment_of_no_connection_does_not_leave_as_it_is(
    networkpolicy: Cluster,
) -> None:
    """BZ1438762: NAT passes it over, and the pod's own address would be seen."""
    stray = packet("10.129.0.31", EXTERNAL, 80, ct_state=CtState.INVALID)

    (passage,) = kernel(networkpolicy, "oc-02").forward(stray, "tun0")

    assert passage.outcome is Outcome.DROPPED
    assert "attempted resend after connection close" in passage.hits[-1].rule


@pytest.mark.parametrize(
    "topology", ["four-node", "multitenant", "networkpolicy", "two-node", "ten-node"]
)
def test_every_rule_that_is_computed_is_understood(topology: str) -> None:
    cluster = shipped(topology)

    for node in cluster.nodes:
        rules = Ruleset.parse(node_rules(cluster, node)).rules
        assert [rule for rule in rules if rule.unknown] == []


@pytest.mark.parametrize("topology", ["four-node", "multitenant", "networkpolicy"])
def test_every_service_leads_to_exactly_its_endpoints(topology: str) -> None:
    cluster = shipped(topology)
    for service in cluster.services:
        known = cluster.endpoints_of(service)
        for port in service.ports if service.cluster_ip else ():
            wanted = {
                f"{ip}:{number.port} by tun0"
                for subset in (known.subsets if known else ())
                for ip in subset.addresses
                for number in subset.ports
                if number.name == port.name
            }
            for host in cluster.nodes:
                came = packet(
                    host.subnet[9],
                    service.cluster_ip,
                    port.port,
                    transport=Transport(port.protocol.lower()),
                )
                passages = kernel(cluster, host.name).forward(came, "tun0")
                found = leads_to(passages)
                assert set(found) == (
                    wanted or {f"{service.cluster_ip}:{port.port} by tun0"}
                )


def test_vxlan_comes_in_whoever_sends_it(multitenant: Cluster) -> None:
    node = kernel(multitenant, "oc-01")
    vxlan = packet("172.16.1.16", "172.16.1.15", 4789, transport=Transport.UDP)

    (passage,) = node.forward(vxlan, "eth0")

    assert passage.outcome is Outcome.DELIVERED
    assert "VXLAN incoming" in passage.hits[-1].rule


def test_two_host_ports_of_one_number_are_told_apart_by_protocol(
    multitenant: Cluster,
) -> None:
    ports = tuple(
        HostPort(host_port=1053, container_port=number, protocol=protocol)
        for number, protocol in ((53, Protocol.UDP), (54, Protocol.TCP))
    )
    pods = tuple(
        replace(pod, host_ports=ports) if pod.key == "bank/ledger-0" else pod
        for pod in multitenant.pods
    )
    node = kernel(replace(multitenant, pods=pods), "oc-04")
    tcp = packet(EXTERNAL, "172.16.1.25", 1053)

    (over_tcp,) = node.forward(tcp, "eth0")
    (over_udp,) = node.forward(replace(tcp, transport=Transport.UDP), "eth0")

    assert (over_tcp.packet.dport, over_udp.packet.dport) == (54, 53)
