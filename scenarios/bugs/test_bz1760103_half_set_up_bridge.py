"""Pods stay cut off after a restart of the SDN that was interrupted.

Reference: BZ1760103, openshift/sdn#52, BZ1765220, openshift/origin#24585
Family: restart
Symptom: All pods of a node that ran before a restart of the SDN can neither send nor be
    reached, for good. New pods work. Restarting the SDN again does not help.
Mechanism: Table 253 notes which version of flows the bridge has; the SDN accepts a
    bridge with the right note as it is. The note was written first, the pods' flows
    last. An SDN that died in between left a bridge that looked complete.
Fixed in: A later 3.11.z, by openshift/origin#24585: the note is written last.
Diagnosis: A node with the note of table 253 that lacks the flows of running pods.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from testbed.faults import PodFlowsMissing
from testbed.openflow import Table
from testbed.probe import arp_request, send_udp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.probe import LiveCluster, Node

pytestmark = pytest.mark.plugins("networkpolicy")

PEER = "lab/client-a"
OLD, OTHER = "lab/client-d", "lab/server-b"
NEW = """
apiVersion: v1
kind: Pod
metadata: {name: newcomer, namespace: lab}
spec: {nodeName: oc-04.test}
"""


@contextmanager
def half_set_up(cluster: LiveCluster, node: Node) -> Iterator[None]:
    """Have the node's bridge without the flows of the pods that are there."""
    with ExitStack() as stack:
        for pod in cluster.pods_on(node):
            stack.enter_context(cluster.broken(PodFlowsMissing(pod=pod.name)))
        yield


@pytest.mark.symptom
def test_a_pod_that_ran_already_is_cut_off_and_a_new_one_is_not(
    cluster: LiveCluster,
) -> None:
    """And the bridge has its note, by which the SDN takes it for complete."""
    peer, old, node = cluster.pod(PEER), cluster.pod(OLD), cluster.node("oc-04")
    with half_set_up(cluster, node):
        cluster.apply(NEW)
        new = cluster.pod("lab/newcomer")

        send_udp(cluster, peer, new).arrives(new)
        send_udp(cluster, peer, old).is_dropped(node, Table.IP_TO_LOCAL_POD)
        gone = cluster.send(old, arp_request(old, node.gateway))
        cluster.send(new, arp_request(new, node.gateway)).arrives(node)
        assert not gone.received()
        assert cluster.hits(node, Table.FROM_POD, "priority=0")
        noted = [
            item.flow.actions
            for item in node.switch.dump_flows()
            if item.flow.table == Table.RULE_VERSION
        ]
        assert noted == [("note:02.07.00.00.00.00",)]


@pytest.mark.fix
def test_a_pod_that_ran_already_is_reached_and_reaches_others(
    cluster: LiveCluster,
) -> None:
    peer, old, other = map(cluster.pod, (PEER, OLD, OTHER))

    send_udp(cluster, peer, old).arrives(old)
    send_udp(cluster, old, other).arrives(other)
