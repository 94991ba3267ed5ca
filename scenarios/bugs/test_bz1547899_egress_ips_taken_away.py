"""A namespace that has no egress IP any more cannot leave the cluster.

Reference: BZ1547899, BZ1540846, BZ1551028, BZ1543786, BZ1520363, openshift/origin#18808
Family: egress IP
Symptom: An administrator took the egress IP of a project away. Its pods on some nodes
    cannot leave, or still go by the node of the old address.
Mechanism: The node did not delete the namespace's flow of table 100 when the address
    went from its NetNamespace and its HostSubnet at about the same time. The flow still
    tunnels what leaves to a node that is nobody's egress node any more.
Fixed in: Before 3.11 was released.
Diagnosis: A flow of table 100 with a reg0 whose NetNamespace has no egress IP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP

from testbed.gallery.remains import FlowsStale
from testbed.openflow import Table
from testbed.probe import send_ping

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("networkpolicy")

ELSEWHERE, FORMER = "payments/gateway-1-2kx8z", "oc-02"
TAKEN_AWAY = """
apiVersion: v1
kind: List
items:
- {kind: NetNamespace, metadata: {name: payments}, netname: payments, netid: 6291464,
   egressIPs: []}
- {kind: HostSubnet, metadata: {name: oc-02.test}, host: oc-02.test,
   hostIP: 172.16.1.16, subnet: 10.129.0.0/23, egressIPs: []}
"""


@pytest.mark.symptom
def test_what_leaves_is_still_tunnelled_to_the_former_egress_node(
    cluster: LiveCluster,
) -> None:
    pod, former = cluster.pod(ELSEWHERE), cluster.node(FORMER)
    from_payments = f"reg0={cluster.objects.vnid('payments'):#x}"
    kept = FlowsStale.of(
        cluster.objects, pod.node.name, Table.EGRESS_ROUTING, from_payments
    )
    assert kept.left
    with cluster.broken(kept):
        cluster.apply(TAKEN_AWAY)

        sent = send_ping(cluster, pod, cluster.external)

        assert sent.crosses(pod.node.wire)[IP].dst == str(former.ip)
        assert sent.arrives(former)[IP].src == str(pod.ip)


@pytest.mark.fix
def test_what_leaves_goes_by_the_pods_own_node(cluster: LiveCluster) -> None:
    pod = cluster.pod(ELSEWHERE)
    cluster.apply(TAKEN_AWAY)

    sent = send_ping(cluster, pod, cluster.external)

    assert sent.arrives(cluster.external)[IP].src == str(pod.node.ip)
    sent.arrives(pod)
