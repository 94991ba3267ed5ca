"""A pod keeps its project's old VNID after the project was joined to another.

Reference: BZ1445694, BZ1453190, BZ1389213
Family: VNIDs
Symptom: After `oc adm pod-network join-projects` some pods reach those of the other
    project, and some do not, although all are of one project.
Mechanism: A pod's VNID is written into its flows of tables 20 and 70. When the
    NetNamespace changes, the node updates them pod by pod; where that failed for one,
    it went on, and the pod kept what it had.
Fixed in: Before 3.11 was released.
Diagnosis: A pod whose flow of table 20 or 70 loads another VNID than its NetNamespace
    has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.faults import VnidStale
from testbed.openflow import Table
from testbed.probe import send_udp

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("multitenant")

LEFT_BEHIND, UPDATED, FRIEND = "ci/jenkins-1-b7d2n", "ci/jenkins-1-h4vkm", "shop/db-0"


def joined(cluster: LiveCluster) -> str:
    """What joins ci to shop, as `oc adm pod-network` annotates it."""
    return f"""
apiVersion: network.openshift.io/v1
kind: NetNamespace
metadata:
  name: ci
  annotations: {{pod.network.openshift.io/multitenant.change-network: "join:shop"}}
netname: ci
netid: {cluster.objects.vnid("ci")}
"""


@pytest.mark.symptom
def test_the_pod_that_was_left_behind_is_a_stranger(cluster: LiveCluster) -> None:
    """Both ways; another pod of its project is none."""
    left, updated, friend = map(cluster.pod, (LEFT_BEHIND, UPDATED, FRIEND))
    old = cluster.objects.vnid("ci")
    cluster.apply(joined(cluster))
    with cluster.broken(VnidStale(pod=LEFT_BEHIND, vnid=old)):
        send_udp(cluster, updated, friend).arrives(friend)
        send_udp(cluster, left, friend).is_dropped(friend.node, Table.POLICY)
        send_udp(cluster, friend, left).is_dropped(left.node, Table.POLICY)


@pytest.mark.fix
def test_all_pods_of_a_joined_project_reach_the_other(cluster: LiveCluster) -> None:
    cluster.apply(joined(cluster))
    friend = cluster.pod(FRIEND)

    for pod in map(cluster.pod, (LEFT_BEHIND, UPDATED)):
        send_udp(cluster, pod, friend).arrives(friend)
        send_udp(cluster, friend, pod).arrives(pod)
