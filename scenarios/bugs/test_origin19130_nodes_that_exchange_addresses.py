"""Two nodes that exchange their addresses lose each other, or everybody.

Reference: openshift/origin#19130, openshift/origin#19273
Family: host subnets
Symptom: Two machines were reinstalled and came back with each other's address. Other
    nodes drop all that comes from one of them.
Mechanism: When a HostSubnet's hostIP changes, a node deletes the flow of table 10 for
    the old address and adds one for the new. With the second of the two it deleted the
    flow that it had just added for the first, which matches the same address. Now flows
    bear a cookie made of the HostSubnet's uid, and each deletes its own.
Fixed in: Before 3.11 was released.
Diagnosis: A node whose table 10 lacks a HostSubnet that tables 50 and 90 have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.faults import FlowDeleted
from testbed.openflow import Table
from testbed.probe import send_udp

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("multitenant")

HERE, ON_THE_FIRST, ON_THE_SECOND = (
    "ci/jenkins-1-h4vkm",
    "default/docker-registry-1-7xk2p",
    "monitoring/prometheus-0",
)


def exchanged(cluster: LiveCluster) -> str:
    """The HostSubnets of two nodes, each with the other's address."""
    one, other = cluster.node("oc-01"), cluster.node("oc-02")
    return f"""
apiVersion: v1
kind: List
items:
- {{kind: HostSubnet, metadata: {{name: {one}}}, host: {one}, hostIP: {other.ip},
   subnet: {one.subnet}}}
- {{kind: HostSubnet, metadata: {{name: {other}}}, host: {other}, hostIP: {one.ip},
   subnet: {other.subnet}}}
"""


@pytest.mark.symptom
def test_what_comes_from_the_first_is_dropped_and_what_goes_there_arrives(
    cluster: LiveCluster,
) -> None:
    here = cluster.pod(HERE)
    cluster.apply(exchanged(cluster))
    first, second = cluster.pod(ON_THE_FIRST), cluster.pod(ON_THE_SECOND)
    deleted = FlowDeleted(
        node=here.node.name,
        table=Table.FROM_VXLAN,
        selector=f"priority=100,tun_src={first.node.ip}",
    )
    with cluster.broken(deleted):
        send_udp(cluster, second, here).arrives(here)
        send_udp(cluster, here, first).arrives(first)
        send_udp(cluster, first, here).is_dropped(here.node, Table.FROM_VXLAN)


@pytest.mark.fix
def test_both_reach_the_others_and_are_reached(cluster: LiveCluster) -> None:
    here = cluster.pod(HERE)
    cluster.apply(exchanged(cluster))

    for pod in map(cluster.pod, (ON_THE_FIRST, ON_THE_SECOND)):
        send_udp(cluster, pod, here).arrives(here)
        send_udp(cluster, here, pod).arrives(pod)
