"""A new pod is open although a policy denies it everything.

Reference: BZ1813846, openshift/sdn#122, openshift/sdn@ed7eb0426
Family: network policy
Symptom: A policy denies everything to the pods with a label. Pods that start later with
    that label are reached by everybody.
Mechanism: A policy with a podSelector drops what is for the pods it selects (table 80,
    priority 100), by their addresses. When a pod comes, the SDN computes the policy
    anew and compares only what it allows, not whom it selects. A policy that allows
    nothing never differs, and the new address is not written.
Fixed in: Open in 3.11; fixed in 4.x by openshift/sdn#122.
Diagnosis: A node that lacks the flow of table 80 that drops what is for a selected pod.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.gallery.remains import FlowsStale
from testbed.openflow import Table
from testbed.probe import send_udp

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("networkpolicy")

STRANGER, OLDER, NODE = "backend/api-1-x5nq4", "lab/client-d", "oc-04.test"
DENY_CLIENTS = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-to-clients, namespace: lab}
spec:
  podSelector: {matchLabels: {app: client}}
"""
NEW_CLIENT = f"""
apiVersion: v1
kind: Pod
metadata: {{name: client-e, namespace: lab, labels: {{app: client}}}}
spec: {{nodeName: {NODE}}}
"""


@pytest.mark.symptom
def test_a_pod_that_started_later_is_reached_by_strangers(cluster: LiveCluster) -> None:
    """One that was there when the policy came, is not."""
    stranger, older = cluster.pod(STRANGER), cluster.pod(OLDER)
    cluster.apply(DENY_CLIENTS)
    to_lab = f"reg1={cluster.objects.vnid('lab'):#x}"
    with cluster.broken(FlowsStale.of(cluster.objects, NODE, Table.POLICY, to_lab)):
        cluster.apply(NEW_CLIENT)
        newer = cluster.pod("lab/client-e")

        send_udp(cluster, stranger, newer).arrives(newer)
        selected = f"priority=100,ip,{to_lab},nw_dst={older.ip}"
        sent = send_udp(cluster, stranger, older)
        sent.is_dropped(older.node, Table.POLICY, selected)


@pytest.mark.fix
def test_a_pod_that_started_later_is_not_reached(cluster: LiveCluster) -> None:
    stranger = cluster.pod(STRANGER)
    cluster.apply(DENY_CLIENTS)
    cluster.apply(NEW_CLIENT)
    newer = cluster.pod("lab/client-e")

    sent = send_udp(cluster, stranger, newer)

    vnid = cluster.objects.vnid("lab")
    selected = f"priority=100,ip,reg1={vnid:#x},nw_dst={newer.ip}"
    sent.is_dropped(newer.node, Table.POLICY, selected)
