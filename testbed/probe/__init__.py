"""The only code that imports scapy: taps, packets, what was seen and what was not."""

from testbed.probe.conversation import ask, echoing, say
from testbed.probe.live import LiveCluster
from testbed.probe.packets import (
    arp_request,
    ip_between,
    syn_between,
    udp_between,
    vxlan,
)
from testbed.probe.places import Host, Node, Place, Pod
from testbed.probe.recorder import Tap
from testbed.probe.sending import send_ping, send_syn, send_udp
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
    "send_ping",
    "send_syn",
    "send_udp",
    "syn_between",
    "udp_between",
    "vxlan",
]
