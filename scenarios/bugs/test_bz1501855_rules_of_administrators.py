"""Rules that administrators add for pods' traffic have no effect.

Reference: BZ1501855, openshift/origin#17001, openshift/origin#16884
Family: iptables
Symptom: A rule in OPENSHIFT-ADMIN-OUTPUT-RULES that forbids pods an address outside is
    there, never counts a packet, and pods reach the address.
Mechanism: FORWARD jumped to OPENSHIFT-FIREWALL-FORWARD first, which accepts whatever
    comes from pods; what is accepted never comes to the administrators' chain.
Fixed in: Before 3.11 was released: the administrators' chain comes first.
Diagnosis: A node whose FORWARD jumps to OPENSHIFT-ADMIN-OUTPUT-RULES too late.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from testbed.faults import ChainReordered
from testbed.probe import send_udp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.probe import LiveCluster, Pod

pytestmark = pytest.mark.plugins("multitenant")

SENDER = "ci/jenkins-1-b7d2n"


@contextmanager
def forbidding(pod: Pod, address: object) -> Iterator[None]:
    """Have an administrator's rule on the pod's node."""
    rule = ("OPENSHIFT-ADMIN-OUTPUT-RULES", "-d", str(address), "-j", "DROP")
    pod.node.run("iptables", "-w", "-A", *rule)
    try:
        yield
    finally:
        pod.node.run("iptables", "-w", "-D", *rule)


@pytest.mark.symptom
def test_what_an_administrator_forbids_leaves_all_the_same(
    cluster: LiveCluster,
) -> None:
    pod, forbidden = cluster.pod(SENDER), cluster.external
    too_late = ChainReordered(
        node=pod.node.name,
        table="filter",
        chain="FORWARD",
        first="-j OPENSHIFT-FIREWALL-FORWARD",
    )
    with cluster.broken(too_late), forbidding(pod, forbidden.ip):
        send_udp(cluster, pod, forbidden).arrives(forbidden)


@pytest.mark.fix
def test_what_an_administrator_forbids_does_not_leave(cluster: LiveCluster) -> None:
    """What is sent after it to somebody else does."""
    pod, (forbidden, allowed, *_) = cluster.pod(SENDER), cluster.external_hosts
    with forbidding(pod, forbidden.ip):
        sent = send_udp(cluster, pod, forbidden)

        sent.arrives(pod.node)
        send_udp(cluster, pod, allowed).arrives(allowed)
        cluster.recorder.settle()
        assert {seen.tap for seen in sent.received()} == {pod.node.tap}
