"""The pods of a new namespace are reached by nobody on some nodes.

Reference: BZ1825355, openshift/sdn@b5f89a66b
Family: network policy
Symptom: In a new project without policies pods cannot reach each other, if they are on
    a certain node. On others they can.
Mechanism: A node that sets up a pod before it has heard of the pod's namespace asks the
    API for its VNID, and notes it, but does not tell its network policies that there is
    a namespace. Table 80 never gets flows for that VNID, and ends with drop.
Fixed in: Open in 3.11; fixed in 4.x by openshift/sdn@b5f89a66b.
Diagnosis: A node whose table 80 has no flow for the VNID of a namespace with local
    pods.
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

VNID = 4711
FRESH = f"""
apiVersion: v1
kind: List
items:
- {{kind: Namespace, metadata: {{name: fresh}}}}
- {{kind: NetNamespace, metadata: {{name: fresh}}, netname: fresh, netid: {VNID}}}
- {{kind: Pod, metadata: {{namespace: fresh, name: app-1}},
   spec: {{nodeName: oc-02.test}}}}
- {{kind: Pod, metadata: {{namespace: fresh, name: app-2}},
   spec: {{nodeName: oc-03.test}}}}
"""


@pytest.mark.symptom
def test_a_pod_on_the_node_that_did_not_hear_is_not_reached_and_reaches_others(
    cluster: LiveCluster,
) -> None:
    unheard = FlowsStale.of(
        cluster.objects, "oc-03.test", Table.POLICY, f"reg1={VNID:#x}"
    )
    with cluster.broken(unheard):
        cluster.apply(FRESH)
        one, other = cluster.pod("fresh/app-1"), cluster.pod("fresh/app-2")

        send_udp(cluster, one, other).is_dropped(other.node, Table.POLICY)
        send_udp(cluster, other, one, sport=40012).arrives(one)


@pytest.mark.fix
def test_pods_of_a_new_namespace_reach_each_other(cluster: LiveCluster) -> None:
    cluster.apply(FRESH)
    one, other = cluster.pod("fresh/app-1"), cluster.pod("fresh/app-2")

    send_udp(cluster, one, other).arrives(other)
    send_udp(cluster, other, one, sport=40012).arrives(one)
