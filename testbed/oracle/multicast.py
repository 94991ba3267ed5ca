"""Multicast: to all pods of the sender's VNID, if all its namespaces have enabled it.

NetworkPolicy has no say in it. Source: openshift/origin release-3.11
pkg/network/node/vnids.go and pod.go
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.model import Delivery, Outcome
from testbed.oracle.expectation import Expectation, dropped

if TYPE_CHECKING:
    from testbed.model import Cluster, Party, Pod
    from testbed.oracle.packet import Packet


def multicast(cluster: Cluster, sender: Pod, packet: Packet) -> Expectation:
    """What a pod sends to a group; ghosts get a copy of whatever leaves the node."""
    if not cluster.network.plugin.has_vnids:
        return dropped("ovs-subnet delivers no multicast")
    vnid = cluster.vnid(sender.namespace)
    namespaces = cluster.net_namespaces_of(vnid)
    disabled = [item for item in namespaces if not item.multicast_enabled]
    if disabled:
        return dropped(f"NetNamespace {disabled[0].name} has not enabled multicast")
    receivers: list[Party] = [
        pod
        for namespace in namespaces
        for pod in cluster.pods_in(namespace.name)
        if pod.key != sender.key
    ]
    receivers += cluster.ghosts
    if not receivers:
        return dropped(f"no other pod has VNID {vnid}")
    return Expectation(
        outcome=Outcome.DELIVERED,
        decided_by=f"multicast of VNID {vnid}",
        deliveries=tuple(
            Delivery(
                receiver=receiver,
                source=packet.source,
                vnid=vnid,
                destination=packet.destination,
                dport=packet.dport,
            )
            for receiver in receivers
        ),
        everyone=True,
    )
