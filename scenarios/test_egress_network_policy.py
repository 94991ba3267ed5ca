"""Table 101: what an EgressNetworkPolicy lets a tenant's pods reach outside."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP, UDP

from testbed.openflow import Table
from testbed.patience import patience
from testbed.probe import ask, echoing, ip_between

if TYPE_CHECKING:
    from testbed.model import EgressNetworkPolicy
    from testbed.probe import Host, LiveCluster, Node, Pod, Sent

pytestmark = pytest.mark.plugins("multitenant")

ALL_THAT_LEAVES = "0.0.0.0/0"
GETENT = ("timeout", f"{patience(3):g}", "getent", "ahostsv4")
"""Resolves a name as programs do; glibc alone would wait for much longer."""
SHARED_DENIAL = 1
"""The priority of what drops all, where two policies or two namespaces meet."""


@pytest.fixture
def policy(cluster: LiveCluster) -> EgressNetworkPolicy:
    """The topology's own: allows a name, denies a name, allows a range, denies all."""
    (policy,) = cluster.objects.egress_network_policies
    partner, cdn, near, rest = policy.egress
    assert [rule.allow for rule in policy.egress] == [True, False, True, False]
    assert partner.dns_name
    assert cdn.dns_name
    assert near.cidr
    assert str(rest.cidr) == ALL_THAT_LEAVES
    return policy


@pytest.fixture
def policed(cluster: LiveCluster, policy: EgressNetworkPolicy) -> Pod:
    """A pod whose namespace has the policy."""
    return next(p for p in cluster.pods if p.pod.namespace == policy.namespace)


@pytest.fixture
def reg0(cluster: LiveCluster, policed: Pod) -> str:
    return f"reg0={cluster.objects.vnid(policed.pod.namespace):#x}"


@pytest.fixture
def partner(cluster: LiveCluster) -> Host:
    """Allowed by its name."""
    return cluster.external_hosts[0]


@pytest.fixture
def mirror(cluster: LiveCluster) -> Host:
    """Denied by its name, before it is allowed by its address."""
    return cluster.external_hosts[1]


@pytest.fixture
def distant(cluster: LiveCluster) -> Host:
    """Denied by its name, and with all others."""
    return cluster.external_hosts[2]


def leave(cluster: LiveCluster, pod: Pod, destination: Host | Node) -> Sent:
    return cluster.send(
        pod, ip_between(pod, destination.ip) / UDP(sport=40009, dport=9)
    )


def written(namespace: str, name: str, *rules: tuple[str, str]) -> str:
    """An EgressNetworkPolicy; rules are a type and a range or name."""
    return json.dumps(
        {
            "apiVersion": "network.openshift.io/v1",
            "kind": "EgressNetworkPolicy",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "egress": [
                    {
                        "type": kind,
                        "to": {"cidrSelector" if "/" in to else "dnsName": to},
                    }
                    for kind, to in rules
                ]
            },
        }
    )


def test_a_host_is_allowed_by_its_name(
    cluster: LiveCluster, policed: Pod, partner: Host, reg0: str
) -> None:
    sent = leave(cluster, policed, partner)

    assert sent.arrives(partner)[IP].src == str(policed.node.ip)
    by_name = f"priority=4,ip,{reg0},nw_dst={partner.ip}"
    assert cluster.hits(policed.node, Table.EGRESS_NETWORK_POLICY, by_name) == 1


def test_every_address_of_a_denied_name_is_denied_as_the_nodes_dns_has_them(
    cluster: LiveCluster, policed: Pod, policy: EgressNetworkPolicy, reg0: str
) -> None:
    name = policy.egress[1].dns_name
    assert name
    answer = policed.node.run(*GETENT, name)
    addresses = {IPv4Address(line.split()[0]) for line in answer.splitlines()}
    assert len(addresses) > 1

    for address in addresses:
        packet = ip_between(policed, address) / UDP(sport=40009, dport=9)
        sent = cluster.send(policed, packet)

        sent.is_dropped(
            policed.node,
            Table.EGRESS_NETWORK_POLICY,
            f"priority=3,ip,{reg0},nw_dst={address}",
        )


def test_a_range_is_allowed(
    cluster: LiveCluster, policed: Pod, policy: EgressNetworkPolicy, reg0: str
) -> None:
    cidr = policy.egress[2].cidr
    assert cidr
    others = {host.ip for host in cluster.external_hosts}
    address = next(ip for ip in cidr.hosts() if ip not in others)

    packet = ip_between(policed, address) / UDP(sport=40009, dport=9)
    cluster.send(policed, packet).arrives(policed.node)

    by_range = f"priority=2,ip,{reg0},nw_dst={cidr}"
    assert cluster.hits(policed.node, Table.EGRESS_NETWORK_POLICY, by_range) == 1


def test_what_no_rule_before_allows_is_denied_by_the_last(
    cluster: LiveCluster, policed: Pod, reg0: str
) -> None:
    other = next(node for node in cluster.nodes if node != policed.node)

    sent = leave(cluster, policed, other)

    sent.is_dropped(policed.node, Table.EGRESS_NETWORK_POLICY, f"priority=1,ip,{reg0}")


def test_the_first_rule_that_fits_decides(
    cluster: LiveCluster,
    policed: Pod,
    policy: EgressNetworkPolicy,
    mirror: Host,
    reg0: str,
) -> None:
    name, cidr = policy.egress[1].dns_name, policy.egress[2].cidr
    assert cidr
    assert mirror.ip in cidr
    denied = f"priority=3,ip,{reg0},nw_dst={mirror.ip}"
    sent = leave(cluster, policed, mirror)
    sent.is_dropped(policed.node, Table.EGRESS_NETWORK_POLICY, denied)

    rules = ("Allow", str(cidr)), ("Deny", str(name))
    cluster.apply(written(policy.namespace, policy.name, *rules))

    leave(cluster, policed, mirror).arrives(mirror)


def test_what_no_rule_is_about_is_allowed(
    cluster: LiveCluster,
    policed: Pod,
    mirror: Host,
    distant: Host,
    reg0: str,
) -> None:
    rule = "Deny", f"{mirror.ip}/32"
    cluster.apply(written(policed.pod.namespace, "default", rule))

    denied = leave(cluster, policed, mirror)

    denies = f"priority=1,ip,{reg0},nw_dst={mirror.ip}"
    denied.is_dropped(policed.node, Table.EGRESS_NETWORK_POLICY, denies)
    leave(cluster, policed, distant).arrives(distant)


def test_dns_of_the_own_node_is_always_allowed(
    cluster: LiveCluster, policed: Pod, policy: EgressNetworkPolicy
) -> None:
    name = policy.egress[0].dns_name
    assert name

    answer = policed.run(*GETENT, name)

    assert answer.split()[0] == str(cluster.objects.resolve(name)[0])
    to_dns = f"priority=200,udp,nw_dst={policed.node.ip},tp_dst=53"
    assert cluster.hits(policed.node, Table.EGRESS_ROUTING, to_dns)


def test_dns_of_another_node_is_not(
    cluster: LiveCluster, policed: Pod, reg0: str
) -> None:
    other = next(node for node in cluster.nodes if node != policed.node)

    packet = ip_between(policed, other.ip) / UDP(sport=40053, dport=53)
    sent = cluster.send(policed, packet)

    sent.is_dropped(policed.node, Table.EGRESS_NETWORK_POLICY, f"priority=1,ip,{reg0}")


def test_namespaces_without_a_policy_are_free(
    cluster: LiveCluster, pod: Pod, policed: Pod
) -> None:
    assert pod.pod.namespace != policed.pod.namespace

    for host in cluster.external_hosts:
        leave(cluster, pod, host).arrives(host)


def test_pods_of_every_node_are_held_to_it(
    cluster: LiveCluster, policed: Pod, distant: Host, reg0: str
) -> None:
    same = [pod for pod in cluster.pods if pod.pod.namespace == policed.pod.namespace]
    assert {pod.node for pod in same} == set(cluster.nodes)
    denied = f"priority=3,ip,{reg0},nw_dst={distant.ip}"

    for pod in same:
        sent = leave(cluster, pod, distant)

        sent.is_dropped(pod.node, Table.EGRESS_NETWORK_POLICY, denied)


def test_it_is_not_about_pods_and_services(
    cluster: LiveCluster, policed: Pod, policy: EgressNetworkPolicy
) -> None:
    """The last rule denies every address; the cluster's own never come to it."""
    other = next(
        pod
        for pod in cluster.pods
        if pod.pod.namespace == policy.namespace and pod.node != policed.node
    )
    cluster.send(
        policed, ip_between(policed, other) / UDP(sport=40009, dport=9)
    ).arrives(other)
    service = next(
        service
        for service in cluster.objects.services
        if service.namespace == policy.namespace
        and cluster.objects.endpoints_of(service)
    )
    endpoints = cluster.objects.endpoints_of(service)
    assert service.cluster_ip
    assert endpoints
    subset = endpoints.subsets[0]

    with echoing(
        [pod for pod in cluster.pods if pod.ip in subset.addresses],
        [port.port for port in subset.ports],
    ):
        port = service.ports[0].port
        assert ask(policed, service.cluster_ip, port, "hostname")


def test_two_policies_in_a_namespace_drop_all_that_leaves(
    cluster: LiveCluster, policed: Pod, partner: Host, reg0: str
) -> None:
    second = written(policed.pod.namespace, "second", ("Allow", ALL_THAT_LEAVES))
    other = next(
        pod
        for pod in cluster.pods_on(policed.node)
        if cluster.objects.vnid(pod.pod.namespace)
        not in (0, cluster.objects.vnid(policed.pod.namespace))
    )
    with cluster.applied(second):
        leave(cluster, other, partner).arrives(partner)
        sent = leave(cluster, policed, partner)

        sent.is_dropped(
            policed.node,
            Table.EGRESS_NETWORK_POLICY,
            f"priority={SHARED_DENIAL},{reg0}",
        )

    leave(cluster, policed, partner).arrives(partner)


def test_a_policy_of_one_joined_namespace_drops_all_that_leaves_both(
    cluster: LiveCluster, partner: Host
) -> None:
    objects = cluster.objects
    namespaces = next(
        namespaces
        for vnid in {item.netid for item in objects.net_namespaces} - {0}
        if len(namespaces := objects.net_namespaces_of(vnid)) > 1
    )
    pods = [
        next(pod for pod in cluster.pods if pod.pod.namespace == item.name)
        for item in namespaces
    ]
    for pod in pods:
        leave(cluster, pod, partner).arrives(partner)
    policy = written(namespaces[0].name, "default", ("Allow", ALL_THAT_LEAVES))
    denied = f"priority={SHARED_DENIAL},reg0={namespaces[0].netid:#x}"

    cluster.apply(policy)

    for pod in pods:
        sent = leave(cluster, pod, partner)
        sent.is_dropped(pod.node, Table.EGRESS_NETWORK_POLICY, denied)


def test_global_namespaces_are_not_held_to_theirs(
    cluster: LiveCluster, partner: Host
) -> None:
    pod = next(
        pod for pod in cluster.pods if cluster.objects.vnid(pod.pod.namespace) == 0
    )

    cluster.apply(written(pod.pod.namespace, "default", ("Deny", ALL_THAT_LEAVES)))

    leave(cluster, pod, partner).arrives(partner)


def test_endpoints_outside_that_it_denies_are_hidden_with_the_whole_service(
    cluster: LiveCluster, policed: Pod, pod: Pod, distant: Host
) -> None:
    """Through a service, br0 would not see where a pod's packet goes."""
    external = "externaldb"
    for namespace in (pod.pod.namespace, policed.pod.namespace):
        metadata = {"name": external, "namespace": namespace}
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"ports": [{"port": 80, "protocol": "TCP"}]},
        }
        endpoints = {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": metadata,
            "subsets": [
                {"addresses": [{"ip": str(distant.ip)}], "ports": [{"port": 80}]}
            ],
        }
        items = [service, endpoints]
        cluster.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    free = cluster.service(f"{pod.pod.namespace}/{external}").cluster_ip
    hidden = cluster.service(f"{policed.pod.namespace}/{external}").cluster_ip
    assert free
    assert hidden

    assert ask(pod, free, 80, "whoami").split()[0] == str(pod.node.ip)
    with pytest.raises(ConnectionRefusedError):
        ask(pod.node, hidden, 80, "whoami")
