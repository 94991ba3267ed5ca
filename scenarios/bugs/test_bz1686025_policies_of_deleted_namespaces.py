"""A new namespace is under the policies of one that was deleted.

Reference: BZ1686025, openshift/origin#22443
Family: network policy
Symptom: A project without any NetworkPolicy is not reached from other projects.
Mechanism: The flows of table 80 for a VNID stayed when its namespace was deleted. VNIDs
    are used again, and the next namespace that gets this one has what the old one's
    policies said, until its own are first synced.
Fixed in: An early 3.11.z, by openshift/origin#22443.
Diagnosis: Flows of table 80 for a VNID that follow from none of its namespace's
    policies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.gallery.remains import FlowsStale
from testbed.openflow import Table
from testbed.probe import send_udp

if TYPE_CHECKING:
    from testbed.probe import LiveCluster, Pod

pytestmark = pytest.mark.plugins("networkpolicy")

OUTSIDER = "lab/client-a"
DELETED = """
apiVersion: v1
kind: List
items:
- {kind: NetworkPolicy, metadata: {namespace: shop, name: allow-from-same-namespace}}
- {kind: NetworkPolicy, metadata: {namespace: shop, name: allow-from-default-namespace}}
- {kind: NetworkPolicy, metadata: {namespace: shop, name: allow-monitoring}}
- {kind: Service, metadata: {namespace: shop, name: web}}
- {kind: Pod, metadata: {namespace: shop, name: web-1-4wq8n}}
- {kind: Pod, metadata: {namespace: shop, name: web-1-k9s5c}}
- {kind: NetNamespace, metadata: {name: shop}}
- {kind: Namespace, metadata: {name: shop}}
"""


def renew(cluster: LiveCluster, vnid: int) -> Pod:
    """Delete shop, and make another namespace that gets its VNID; returns its pod."""
    cluster.delete(DELETED)
    cluster.apply(f"""
apiVersion: v1
kind: List
items:
- {{kind: Namespace, metadata: {{name: fresh}}}}
- {{kind: NetNamespace, metadata: {{name: fresh}}, netname: fresh, netid: {vnid}}}
- {{kind: Pod, metadata: {{namespace: fresh, name: app}},
   spec: {{nodeName: oc-01.test}}}}
""")
    return cluster.pod("fresh/app")


@pytest.mark.symptom
def test_an_open_namespace_is_closed_by_what_the_old_one_left(
    cluster: LiveCluster,
) -> None:
    vnid = cluster.objects.vnid("shop")
    kept = FlowsStale.of(cluster.objects, "oc-01", Table.POLICY, f"reg1={vnid:#x}")
    assert kept.left
    with cluster.broken(kept):
        app = renew(cluster, vnid)

        sent = send_udp(cluster, cluster.pod(OUTSIDER), app)

        sent.is_dropped(app.node, Table.POLICY)


@pytest.mark.fix
def test_an_open_namespace_is_open(cluster: LiveCluster) -> None:
    app = renew(cluster, cluster.objects.vnid("shop"))

    send_udp(cluster, cluster.pod(OUTSIDER), app).arrives(app)
