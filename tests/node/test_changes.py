"""A running cluster changes object by object, and is then as one built fresh."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import UDP

from testbed.errors import EmulationError, TopologyError
from testbed.host.iptables import node_rules
from testbed.openflow import Table
from testbed.pipeline import node_flows
from testbed.probe import ip_between

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.probe import LiveCluster, Place

NEWCOMER = """\
kind: Pod
metadata: {name: newcomer, namespace: lab, labels: {app: newcomer}}
spec: {nodeName: oc-02.test}
"""
MOVED = """\
kind: HostSubnet
metadata: {name: oc-03.test}
hostIP: 172.16.1.77
"""


def assert_reaches(cluster: LiveCluster, sender: Place, receiver: Place) -> None:
    packet = ip_between(sender, receiver) / UDP(sport=40009, dport=9)
    cluster.send(sender, packet).arrives(receiver)


def chains(rules: str) -> Iterator[str]:
    """The rules of iptables-save without what it counts."""
    for line in rules.splitlines():
        if line.startswith("-A"):
            yield line


def assert_is_built_fresh(cluster: LiveCluster) -> None:
    for node in cluster.nodes:
        objects = cluster.objects
        computed = node_flows(objects, objects.node(node.name))
        assert {dumped.flow for dumped in node.switch.dump_flows()} == set(computed)
        # What a kernel made of the text must be what it makes of it once more.
        before = list(chains(node.run("iptables-save")))
        node.run("iptables-restore", stdin=node_rules(objects, objects.node(node.name)))
        assert list(chains(node.run("iptables-save"))) == before


def test_a_new_pod_reaches_every_other_and_is_reached(cluster: LiveCluster) -> None:
    cluster.apply(NEWCOMER)

    newcomer = cluster.pod("lab/newcomer")
    for pod in cluster.pods:
        if pod is not newcomer:
            assert_reaches(cluster, pod, newcomer)
            assert_reaches(cluster, newcomer, pod)
    assert_is_built_fresh(cluster)


def test_the_kernel_of_a_new_pod_has_its_network(cluster: LiveCluster) -> None:
    cluster.apply(NEWCOMER)

    newcomer = cluster.pod("lab/newcomer")
    newcomer.run("ping", "-c", "1", "-W", "3", str(cluster.pods[0].ip))
    assert f"nameserver {newcomer.node.ip}\n" in newcomer.run("cat", "/etc/resolv.conf")


def test_of_a_deleted_pod_nothing_is_left(cluster: LiveCluster) -> None:
    node = cluster.node("oc-02")
    links = node.run("ip", "-br", "link")
    ports = node.run("ovs-vsctl", "list-ports", "br0")
    cluster.apply(NEWCOMER)
    ip = cluster.pod("lab/newcomer").ip

    cluster.delete(NEWCOMER)

    assert node.run("ip", "-br", "link") == links
    assert node.run("ovs-vsctl", "list-ports", "br0") == ports
    sent = cluster.send(
        cluster.pods[0], ip_between(cluster.pods[0], ip) / UDP(sport=40009, dport=9)
    )
    sent.is_dropped(node, Table.IP_TO_LOCAL_POD)
    assert_is_built_fresh(cluster)


def test_a_pod_may_come_back_on_another_node(cluster: LiveCluster) -> None:
    cluster.apply(NEWCOMER)
    first = cluster.pod("lab/newcomer").ip

    cluster.apply(NEWCOMER.replace("oc-02", "oc-04"))

    newcomer = cluster.pod("lab/newcomer")
    assert newcomer.node.name == "oc-04.test"
    assert newcomer.ip != first
    assert_reaches(cluster, cluster.pods[0], newcomer)


def test_flows_that_stay_keep_their_counters(cluster: LiveCluster) -> None:
    pod, remote = cluster.pods_on("oc-04")[0], cluster.pods_on("oc-01")[0]
    assert_reaches(cluster, pod, remote)
    flow = f"priority=100,ip,in_port={pod.pod.ofport},nw_src={pod.ip}"
    before = cluster.read_counters()[pod.node.name].dumped[Table.FROM_POD, flow]

    cluster.apply(NEWCOMER)

    after = cluster.read_counters()[pod.node.name].dumped[Table.FROM_POD, flow]
    assert after.n_packets >= before.n_packets > 0


def test_a_node_that_moves_is_found_at_its_new_address(cluster: LiveCluster) -> None:
    cluster.apply(MOVED)

    for pod in cluster.pods_on("oc-03"):
        for other in cluster.pods:
            if other is not pod:
                assert_reaches(cluster, pod, other)
                assert_reaches(cluster, other, pod)
    assert_is_built_fresh(cluster)


def test_a_node_that_moves_and_its_pods_ask_its_new_address_for_names(
    cluster: LiveCluster,
) -> None:
    cluster.apply(MOVED)

    pod = cluster.pods_on("oc-03")[0]
    assert "172.16.1.77\n" in pod.run("cat", "/etc/resolv.conf")
    assert "172.16.1.77\n" in pod.node.run("cat", "/etc/resolv.conf")
    assert "172.16.1.77" in pod.run("getent", "hosts", "oc-03.test")


def test_a_new_service_has_a_name_and_its_flows(cluster: LiveCluster) -> None:
    cluster.apply(
        "kind: Service\nmetadata: {name: fresh, namespace: lab}\n"
        "spec: {selector: {app: client}, ports: [{port: 80}]}\n"
    )

    service = cluster.service("lab/fresh")
    name = "fresh.lab.svc.cluster.local"
    assert str(service.cluster_ip) in cluster.pods[0].run("getent", "hosts", name)
    assert_is_built_fresh(cluster)


def test_a_change_is_undone_after_a_with_block(cluster: LiveCluster) -> None:
    before = cluster.objects

    with cluster.applied(NEWCOMER):
        assert cluster.objects != before

    assert cluster.objects == before
    assert_is_built_fresh(cluster)


def test_bandwidth_limits_are_set_on_the_port(cluster: LiveCluster) -> None:
    cluster.apply(
        NEWCOMER.replace(
            "labels:",
            "annotations: {kubernetes.io/ingress-bandwidth: 10M, "
            "kubernetes.io/egress-bandwidth: 20M}, labels:",
        )
    )

    node = cluster.node("oc-02")
    qos = node.run("ovs-vsctl", "--bare", "--columns=other_config,type", "list", "qos")
    rates = node.run(
        "ovs-vsctl", "--bare", "--columns=ingress_policing_rate", "list", "interface"
    )
    assert qos.split() == ["max-rate=10000000", "linux-htb"]
    assert str(20_000_000 // 1024) in rates.split()

    cluster.delete(NEWCOMER)

    assert node.run("ovs-vsctl", "--bare", "list", "qos") == ""


def test_what_takes_a_fresh_build_is_refused(cluster: LiveCluster) -> None:
    before = cluster.objects

    with pytest.raises(EmulationError, match="which HostSubnets there are"):
        cluster.apply("kind: HostSubnet\nmetadata: {name: n5}\nhostIP: 172.16.1.99\n")

    assert cluster.objects == before
    assert_is_built_fresh(cluster)


def test_objects_that_are_wrong_change_nothing(cluster: LiveCluster) -> None:
    before = cluster.objects

    with pytest.raises(TopologyError, match=r"^scenario:3: Pod lab/newcomer: spec"):
        cluster.apply(NEWCOMER.replace("oc-02.test", "nowhere"))

    assert cluster.objects == before
