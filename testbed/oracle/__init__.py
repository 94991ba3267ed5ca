"""What must happen to a packet, judged from the objects alone.

The oracle reasons as an administrator who knows 3.11's behaviour and its quirks, never
in flows or tables: one witness of three, beside what the switches trace and what
arrives. It describes the product on a kernel datapath, where Open vSwitch and iptables
share their connection tracking, and the first packet of a conversation.

======================  ==========================================================
``departure``           how a packet sets out, by who sends it
``journey``             its ways through pods' network, nodes' kernels and the wire
``isolation``           who may reach a pod; ``network_policy`` reads the policies
``service``             which service is meant; ``translation`` where it leads
``egress_policy``       what may leave the cluster
``egress_ip``           by which node and address
``multicast``, ``arp``  what is not addressed to one machine's IP
``places``              whose an address is
======================  ==========================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.model import HostSubnet, Pod, Transport
from testbed.oracle.arp import who_has
from testbed.oracle.departure import from_ghost, from_host, from_node, from_pod
from testbed.oracle.expectation import Expectation

if TYPE_CHECKING:
    from testbed.model import Cluster, Traffic

__all__ = ["Expectation", "expected"]


def expected(cluster: Cluster, traffic: Traffic) -> Expectation:
    """What must happen to the packet, and which object decides it.

    Raises:
        NotFoundError: a pod's namespace has no NetNamespace.
    """
    sender = traffic.sender
    if isinstance(sender, Pod) and sender.host_network:
        sender = cluster.node(sender.node)
    if traffic.transport is Transport.ARP:
        return who_has(cluster, sender, traffic.destination)
    match sender:
        case Pod():
            return from_pod(cluster, sender, traffic)
        case HostSubnet(is_node=True):
            return from_node(cluster, sender, traffic)
        case HostSubnet():
            return from_ghost(cluster, sender, traffic)
        case _:
            return from_host(cluster, sender, traffic)
