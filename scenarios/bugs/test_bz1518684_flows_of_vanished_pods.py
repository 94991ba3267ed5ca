"""What is sent to a pod that is gone gets to whoever has its port now.

Reference: BZ1518684, openshift/origin#18166, openshift/origin@5480bcc46
Family: stale flows
Symptom: Addresses of pods that are gone are not refused and not unreachable: packets
    vanish, and later a pod of another project receives them.
Mechanism: To tear a pod down the SDN looked up its port by its veth. Where the
    container was gone already there was none (ofport -1), its flows of tables 20, 40
    and 70 were not found and stayed. Table 70 goes on with the old port and the old
    VNID; when OVS gives the port's number to the next pod, that pod receives them.
Fixed in: Before 3.11 was released: a pod's address is noted in OVSDB.
Diagnosis: Flows of tables 20, 40 and 70 for an address that no pod has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.faults import PodFlowsStale
from testbed.openflow import Table
from testbed.probe import send_udp

if TYPE_CHECKING:
    from testbed.probe import LiveCluster, Node

pytestmark = pytest.mark.plugins("multitenant")

SENDER, DEAD_PORT = "shop/web-1-k9s5c", 77
NEXT_POD = f"""
apiVersion: v1
kind: Pod
metadata:
  name: next
  namespace: bank
  annotations: {{testbed/ofport: "{DEAD_PORT}"}}
spec: {{nodeName: oc-04.test}}
"""


def stale(cluster: LiveCluster, node: Node) -> PodFlowsStale:
    """What is left of a pod of shop that is gone."""
    return PodFlowsStale(
        node=node.name,
        ip=cluster.unused_ip(node) + 40,
        ofport=DEAD_PORT,
        vnid=cluster.objects.vnid("shop"),
    )


@pytest.mark.symptom
def test_what_is_sent_to_its_address_vanishes_and_no_flow_drops_it(
    cluster: LiveCluster,
) -> None:
    sender, node = cluster.pod(SENDER), cluster.node("oc-04")
    left = stale(cluster, node)
    with cluster.broken(left):
        sent = send_udp(cluster, sender, left.ip)

        sent.crosses(node.wire)
        assert sent.drops() == {}
        assert not sent.received()
        sends_on = f"priority=100,ip,nw_dst={left.ip}"
        assert cluster.hits(node, Table.IP_TO_LOCAL_POD, sends_on) == 1


@pytest.mark.symptom
def test_the_next_pod_with_its_port_receives_what_is_another_projects(
    cluster: LiveCluster,
) -> None:
    sender, node = cluster.pod(SENDER), cluster.node("oc-04")
    left = stale(cluster, node)
    with cluster.broken(left):
        cluster.apply(NEXT_POD)
        stranger = cluster.pod("bank/next")

        send_udp(cluster, sender, left.ip).arrives(stranger)


@pytest.mark.fix
def test_what_is_sent_to_an_address_that_no_pod_has_is_dropped(
    cluster: LiveCluster,
) -> None:
    sender, node = cluster.pod(SENDER), cluster.node("oc-04")
    cluster.apply(NEXT_POD)

    sent = send_udp(cluster, sender, cluster.unused_ip(node) + 40)

    sent.is_dropped(node, Table.IP_TO_LOCAL_POD)
