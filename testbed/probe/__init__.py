"""The only code that imports scapy: taps, packets, what was seen and what was not."""

from testbed.probe.conversation import ask, echoing, say
from testbed.probe.live import LiveCluster
from testbed.probe.packets import arp_request, ip_between, vxlan
from testbed.probe.places import Host, Node, Place, Pod
from testbed.probe.recorder import Tap
from testbed.probe.sent import Sent

__all__ = [
    "Host",
    "LiveCluster",
    "Node",
    "Place",
    "Pod",
    "Sent",
    "Tap",
    "arp_request",
    "ask",
    "echoing",
    "ip_between",
    "say",
    "vxlan",
]
