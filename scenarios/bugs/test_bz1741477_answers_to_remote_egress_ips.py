"""Answers to what left by another node's egress IP are dropped by policies.

Reference: BZ1741477, BZ1700431, openshift/origin#23610, openshift/sdn#19
Family: conntrack
Symptom: A namespace with an egress IP and a policy that denies ingress reaches the
    outside from pods on the egress node, and from no other.
Mechanism: Replies pass every policy (table 80, ct_state=+rpl), if br0 knows their
    connection. It commits what stays in the cluster; what leaves is known to the host's
    conntrack. What is tunnelled to another node's egress IP does neither, so its answer
    looks new.
Fixed in: A later 3.11.z, by openshift/origin#23610: table 100 commits before it
    tunnels.
Diagnosis: A flow of table 100 that tunnels without ct(commit).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.openflow import Table
from testbed.probe import send_ping

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("networkpolicy")

ELSEWHERE = "payments/gateway-1-2kx8z"
DENY_ALL = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: payments}
spec: {podSelector: {}}
"""
FIXED = """
apiVersion: testbed/v1
kind: Underlay
quirks: {remoteEgressNotCommitted: false}
"""


@pytest.mark.symptom
def test_the_answer_comes_back_to_the_pods_node_and_is_dropped(
    cluster: LiveCluster,
) -> None:
    pod = cluster.pod(ELSEWHERE)
    cluster.apply(DENY_ALL)

    sent = send_ping(cluster, pod, cluster.external)

    sent.arrives(cluster.external)
    # Not how many: a SYN ACK of a scenario before may come once more.
    assert list(sent.drops()) == [(pod.node.name, Table.POLICY, "priority=0")]


@pytest.mark.fix
def test_the_answer_is_known_for_one_and_delivered(cluster: LiveCluster) -> None:
    pod = cluster.pod(ELSEWHERE)
    cluster.apply(FIXED)
    cluster.apply(DENY_ALL)

    send_ping(cluster, pod, cluster.external).arrives(pod)
