"""Packets of pods leave the cluster with the pods' own addresses.

Reference: BZ1438762, openshift/origin#14433
Family: conntrack
Symptom: Firewalls outside see packets from 10.128.0.0/14, now and then, mostly resets
    and retransmissions of connections that are over.
Mechanism: conntrack calls a segment INVALID that belongs to no connection it knows, and
    iptables' table nat does not see such packets, so MASQUERADE does not, either. The
    node forwarded them all the same.
Fixed in: Before 3.11 was released: OPENSHIFT-FIREWALL-FORWARD drops what is INVALID.
Diagnosis: A node whose filter table lacks "attempted resend after connection close".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP, TCP

from testbed.faults import RuleDeleted
from testbed.probe import ip_between, send_syn

if TYPE_CHECKING:
    from testbed.probe import LiveCluster, Sent

pytestmark = pytest.mark.plugins("multitenant")


def send_late_reset(cluster: LiveCluster) -> Sent:
    """A segment that ends a connection nobody has."""
    pod = cluster.pod("ci/jenkins-1-b7d2n")
    reset = TCP(sport=40071, dport=80, flags="R")
    return cluster.send(pod, ip_between(pod, cluster.external) / reset)


@pytest.mark.symptom
def test_a_late_reset_leaves_with_the_address_of_its_pod(cluster: LiveCluster) -> None:
    """The rule that drops what is INVALID is missing."""
    pod = cluster.pod("ci/jenkins-1-b7d2n")
    rule = "attempted resend after connection close"
    with cluster.broken(RuleDeleted(node=pod.node.name, table="filter", rule=rule)):
        sent = send_late_reset(cluster)

        assert sent.arrives(cluster.external)[IP].src == str(pod.ip)


@pytest.mark.fix
def test_a_late_reset_does_not_leave_its_node(cluster: LiveCluster) -> None:
    """What is sent after it, does."""
    pod = cluster.pod("ci/jenkins-1-b7d2n")

    sent = send_late_reset(cluster)

    sent.arrives(pod.node)
    send_syn(cluster, pod, cluster.external, 80).arrives(cluster.external)
    cluster.recorder.settle()
    assert {seen.tap for seen in sent.received()} == {pod.node.tap}
