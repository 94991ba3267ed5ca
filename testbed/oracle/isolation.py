"""Who may reach a pod, and who a service: where the three plugins differ.

A node may always reach its own pods: kubelet's health checks depend on it. All else a
node sends has VNID 0, as has what comes from outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.model import Plugin
from testbed.oracle.expectation import Ruling
from testbed.oracle.network_policy import policies_admit

if TYPE_CHECKING:
    from testbed.model import Cluster, Pod
    from testbed.oracle.packet import Packet


def may_reach(cluster: Cluster, pod: Pod, packet: Packet, vnid: int) -> Ruling:
    """Whether a packet with a sender's VNID may enter a pod."""
    if packet.source == cluster.node(pod.node).gateway:
        return Ruling(allowed=True, by="the pod's own node")
    match cluster.network.plugin:
        case Plugin.SUBNET:
            return Ruling(allowed=True, by="ovs-subnet isolates nobody")
        case Plugin.MULTITENANT:
            return same_tenant(vnid, cluster.vnid(pod.namespace))
        case Plugin.NETWORKPOLICY:
            return policies_admit(cluster, pod, packet, vnid)


def same_tenant(vnid: int, other: int) -> Ruling:
    """ovs-multitenant: equal VNIDs may talk, and everybody with VNID 0."""
    if 0 in (vnid, other):
        return Ruling(allowed=True, by="global namespace")
    if vnid == other:
        return Ruling(allowed=True, by="same VNID")
    return Ruling(allowed=False, by="different VNID")
