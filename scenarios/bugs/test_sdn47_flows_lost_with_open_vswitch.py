"""All pods of a node are dead after a restart of Open vSwitch.

Reference: openshift/sdn#47, openshift/openshift-ansible#11937, openshift/origin#16630,
    openshift/origin#21723, openshift/origin#18924
Family: restart
Symptom: The pod "ovs" of a node was restarted, by an upgrade or by the kernel for its
    memory. Since then no pod of the node reaches anything; the node is Ready.
Mechanism: OVSDB is on disk, flows are in ovs-vswitchd's memory. After a restart br0 and
    its ports are there, and not one flow; in fail mode secure that means to drop
    everything, and no flow counts it. Only the SDN can write them again, and it did not
    notice.
Fixed in: A later 3.11.z, in part: a bridge without the note of table 253 is noticed,
    and pods are attached to the new one.
Diagnosis: A node whose br0 has no flows, table 253's note included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.faults import SwitchRestarted
from testbed.probe import arp_request, send_udp

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("networkpolicy")

INSIDE, OUTSIDE, WITNESS = "lab/client-d", "lab/client-a", "lab/client-c"


@pytest.mark.symptom
def test_nothing_comes_in_and_not_even_the_gateway_is_found(
    cluster: LiveCluster,
) -> None:
    """What others send still gets to the node's wire."""
    inside, outside, witness = map(cluster.pod, (INSIDE, OUTSIDE, WITNESS))
    with cluster.broken(SwitchRestarted(node=inside.node.name)):
        sent = send_udp(cluster, outside, inside)
        asked = cluster.send(inside, arp_request(inside, inside.node.gateway))

        sent.crosses(inside.node.wire)
        send_udp(cluster, outside, witness).arrives(witness)
        cluster.recorder.settle()
        assert not sent.received()
        assert not asked.received()
        assert inside.node.switch.dump_flows() == ()


@pytest.mark.fix
def test_with_its_flows_written_again_the_node_is_alive(cluster: LiveCluster) -> None:
    """The same Open vSwitch, restarted, and then set up by the SDN."""
    inside, outside = cluster.pod(INSIDE), cluster.pod(OUTSIDE)
    with cluster.broken(SwitchRestarted(node=inside.node.name)):
        pass

    send_udp(cluster, outside, inside).arrives(inside)
    sent = cluster.send(inside, arp_request(inside, inside.node.gateway))
    sent.arrives(inside.node)
