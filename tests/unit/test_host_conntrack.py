"""Which UDP conversations a node forgets when services change."""

from __future__ import annotations

import pytest

from testbed.host.conntrack import stale_conversations
from testbed.topology import Topology, loads

CLUSTER = """\
kind: ClusterNetwork
metadata: {name: default}
clusterNetworks: [{CIDR: 10.128.0.0/14, hostSubnetLength: 9}]
serviceNetwork: 172.30.0.0/16
pluginName: redhat/openshift-ovs-subnet
---
kind: HostSubnet
metadata: {name: n1}
hostIP: 172.16.1.1
---
kind: Pod
metadata: {name: a, labels: {app: dns}}
spec: {nodeName: n1}
---
kind: Pod
metadata: {name: b, labels: {app: dns}}
spec: {nodeName: n1}
"""
SERVICE = """\
kind: Service
metadata: {name: dns}
spec:
  clusterIP: 172.30.0.10
  selector: {app: dns}
  ports: [{name: dns, port: 53, protocol: UDP}]
"""
TO_SERVICE = ("-p", "udp", "--orig-dst", "172.30.0.10")
POD_A = "kind: Pod\nmetadata: {name: a}\n"


@pytest.fixture
def served() -> Topology:
    return loads(f"{CLUSTER}---\n{SERVICE}", "c.yaml")


def forgotten(before: Topology, after: Topology) -> set[tuple[str, ...]]:
    node = after.cluster.nodes[0]
    return set(stale_conversations(before.cluster, after.cluster, node))


def test_what_an_endpoint_that_is_gone_had(served: Topology) -> None:
    after = served.deleted(POD_A, "x.yaml")

    gone = served.cluster.pod("default/a").ip
    assert forgotten(served, after) == {(*TO_SERVICE, "--dst-nat", str(gone))}


def test_nothing_of_a_service_that_stays(served: Topology) -> None:
    after = served.applied("kind: Namespace\nmetadata: {name: other}\n", "x.yaml")

    assert forgotten(served, after) == set()


def test_everything_of_a_service_that_is_deleted(served: Topology) -> None:
    after = served.deleted(SERVICE, "x.yaml")

    assert TO_SERVICE in forgotten(served, after)


def test_everything_of_a_service_that_had_nobody_until_now(served: Topology) -> None:
    nobody = served.applied(SERVICE.replace("app: dns", "app: none"), "x.yaml")

    assert TO_SERVICE in forgotten(nobody, served)


def test_nothing_over_tcp(served: Topology) -> None:
    over_tcp = served.applied(SERVICE.replace("UDP", "TCP"), "x.yaml")

    assert forgotten(over_tcp, over_tcp.deleted(POD_A, "x.yaml")) == set()
