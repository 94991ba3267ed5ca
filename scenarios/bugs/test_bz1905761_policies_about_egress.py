"""A policy about egress alone stops all changes to its namespace's policies.

Reference: BZ1905761
Family: network policy
Symptom: Since somebody added a policy about egress, which 3.11 does not support anyway,
    pods of the project are cut off, and other policies have no effect.
Mechanism: 3.11 computes for it a flow of table 80 with an empty nw_dst, which ovs-ofctl
    refuses; a bundle is refused as a whole, so no flow of the namespace is written. In
    a project that had flows, these stay as they were; in a new one, there are none.
Fixed in: Open in 3.11; fixed in 4.x. More of it:
    scenarios/test_network_policy_quirks.py.
Diagnosis: A NetworkPolicy with policyTypes [Egress].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.openflow import Table
from testbed.probe import send_syn

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("networkpolicy")

CLIENT, SERVER = "backend/api-1-x5nq4", "backend/db-0"
EGRESS_ONLY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: no-internet, namespace: backend}
spec:
  podSelector: {}
  policyTypes: [Egress]
"""
FIXED = """
apiVersion: testbed/v1
kind: Underlay
quirks: {egressOnlyPolicyBreaksNamespace: false}
"""


@pytest.mark.symptom
def test_what_another_policy_allows_is_dropped(cluster: LiveCluster) -> None:
    """As after a restart of the SDN, which begins without flows."""
    client, server = cluster.pod(CLIENT), cluster.pod(SERVER)
    send_syn(cluster, client, server, 5432).arrives(server)
    cluster.apply(EGRESS_ONLY)

    sent = send_syn(cluster, client, server, 5432, sport=40013)

    sent.is_dropped(server.node, Table.POLICY)


@pytest.mark.fix
def test_what_another_policy_allows_is_delivered(cluster: LiveCluster) -> None:
    client, server = cluster.pod(CLIENT), cluster.pod(SERVER)
    cluster.apply(FIXED)
    cluster.apply(EGRESS_ONLY)

    send_syn(cluster, client, server, 5432, sport=40013).arrives(server)
