"""A new pod is covered by the first of a namespace's policies only.

Reference: BZ1816394
Family: network policy
Symptom: A project has two policies for its database. A new replica of it is reached by
    whom the one allows, and not by whom the other allows.
Mechanism: When a pod came, the SDN went through the namespace's policies and stopped at
    the first that the pod changed (a break in refreshNetworkPolicies). What the others
    allow was computed for the old pods only.
Fixed in: A later 3.11.z.
Diagnosis: A node that lacks flows of table 80 that a NetworkPolicy makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.faults import FlowDeleted
from testbed.openflow import Table
from testbed.probe import send_syn

if TYPE_CHECKING:
    from testbed.probe import LiveCluster, Pod

pytestmark = pytest.mark.plugins("networkpolicy")

FIRST, SECOND, PORT = "backend/api-1-x5nq4", "audit/collector-1-tb6wl", 5432
"""A pod that the first policy allows, one that the second does."""

REPLICA = """
apiVersion: v1
kind: Pod
metadata: {name: db-1, namespace: backend, labels: {app: db}}
spec: {nodeName: oc-04.test}
"""


def second_policys_flow(cluster: LiveCluster, replica: Pod) -> str:
    """What lets the second's client to the replica."""
    audit, backend = map(cluster.objects.vnid, ("audit", "backend"))
    return (
        f"priority=150,tcp,reg0={audit:#x},reg1={backend:#x},"
        f"nw_dst={replica.ip},tp_dst={PORT}"
    )


@pytest.mark.symptom
def test_whom_the_second_policy_allows_is_dropped_at_a_new_pod(
    cluster: LiveCluster,
) -> None:
    first, second = cluster.pod(FIRST), cluster.pod(SECOND)
    cluster.apply(REPLICA)
    replica = cluster.pod("backend/db-1")
    forgotten = FlowDeleted(
        node=replica.node.name,
        table=Table.POLICY,
        selector=second_policys_flow(cluster, replica),
    )
    with cluster.broken(forgotten):
        send_syn(cluster, first, replica, PORT).arrives(replica)
        sent = send_syn(cluster, second, replica, PORT)

        vnid = cluster.objects.vnid("backend")
        selected = f"priority=100,ip,reg1={vnid:#x},nw_dst={replica.ip}"
        sent.is_dropped(replica.node, Table.POLICY, selected)


@pytest.mark.fix
def test_whom_either_policy_allows_reaches_a_new_pod(cluster: LiveCluster) -> None:
    cluster.apply(REPLICA)
    replica = cluster.pod("backend/db-1")

    for client in map(cluster.pod, (FIRST, SECOND)):
        send_syn(cluster, client, replica, PORT, sport=40010).arrives(replica)
