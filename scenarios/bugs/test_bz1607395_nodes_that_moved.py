"""Nodes look for a node at the address that it had.

Reference: BZ1607395, openshift/origin#20393, BZ1400609, openshift/origin#17125
Family: host subnets
Symptom: A node got another address from DHCP. Its pods reach no pod of other nodes, and
    are not reached.
Mechanism: Others know a node by its HostSubnet's hostIP. Where that stays what it was,
    table 10 drops what comes from the new address, and tables 50 and 90 tunnel to the
    old one.
Fixed in: In part before 3.11 was released; a HostSubnet can still be left behind.
Diagnosis: A node whose table 10 knows an address that no HostSubnet has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP

from testbed.faults import HostSubnetStale
from testbed.openflow import Table
from testbed.probe import send_udp

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("multitenant")

HERE, MOVED, WITNESS = (
    "ci/jenkins-1-h4vkm",
    "ci/jenkins-1-b7d2n",
    "build/maven-7-build",
)


@pytest.mark.symptom
def test_what_comes_from_the_new_address_is_dropped(cluster: LiveCluster) -> None:
    here, moved = cluster.pod(HERE), cluster.pod(MOVED)
    stale = HostSubnetStale(
        node=here.node.name, peer=moved.node.name, host_ip=cluster.rogue.ip
    )
    with cluster.broken(stale):
        sent = send_udp(cluster, moved, here)

        sent.is_dropped(here.node, Table.FROM_VXLAN)


@pytest.mark.symptom
def test_whoever_has_the_old_address_gets_what_is_for_the_nodes_pods(
    cluster: LiveCluster,
) -> None:
    here, moved, witness = map(cluster.pod, (HERE, MOVED, WITNESS))
    stale = HostSubnetStale(
        node=here.node.name, peer=moved.node.name, host_ip=cluster.rogue.ip
    )
    with cluster.broken(stale):
        if cluster.datapath == "netdev":  # it would ask first, and lose the packet
            rogue, appctl = cluster.rogue, cluster.appctl(here.node)
            appctl("tnl/neigh/set", "eth0", str(rogue.ip), rogue.mac)
        sent = send_udp(cluster, here, moved)

        assert sent.arrives(cluster.rogue)[IP].dst == str(cluster.rogue.ip)
        send_udp(cluster, here, witness).arrives(witness)
        assert moved.tap not in {seen.tap for seen in sent.received()}


@pytest.mark.fix
def test_with_the_new_address_both_find_each_other(cluster: LiveCluster) -> None:
    here, moved = cluster.pod(HERE), cluster.pod(MOVED)
    node = moved.node
    cluster.apply(f"""
{{kind: HostSubnet, metadata: {{name: {node}}}, host: {node}, hostIP: 172.16.1.77,
  subnet: {node.subnet}}}
""")

    here, moved = cluster.pod(HERE), cluster.pod(MOVED)
    send_udp(cluster, moved, here).arrives(here)
    send_udp(cluster, here, moved).arrives(moved)
