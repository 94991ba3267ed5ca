"""Positive controls: packets that must arrive if the way is open at all.

A control takes the way of the packet under test up to br0, in its wake: frames of one
port are handled in order, so when the control is through, so is what went before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scapy.layers.inet import IP

from testbed.emulation.machines import Kind
from testbed.errors import SDNError
from testbed.probe.packets import arp_request, vxlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scapy.packet import Packet

    from testbed.probe.places import Places, Pod
    from testbed.probe.recorder import Tap


def control_for(places: Places, sender: Tap, packet: Packet) -> tuple[Packet, Tap]:
    """A frame to send from the same tap, and the tap it must arrive at.

    * A pod asks for its gateway by ARP: its node's tun0 hears it.
    * A node's tun0 asks for a pod by ARP: the pod hears it.
    * A rogue tunnels, in the name of a node that its victim knows, a pod's ARP request
      for a pod: the pod hears it.

    Args:
        places: who there is.
        sender: where the packet under test was sent.
        packet: that packet.

    Raises:
        SDNError: there is no pod to hear the control.
    """
    if sender.machine.kind is Kind.POD:
        pod = next(pod for pod in places.pods if pod.tap is sender)
        return arp_request(pod, pod.node.gateway), pod.node.tap
    if sender.machine.kind is Kind.NODE:
        node = next(node for node in places.nodes if node.machine == sender.machine)
        hears = _first([pod for pod in places.pods if pod.node == node])
        return arp_request(node, hears.ip), hears.tap
    victim = next(n for n in places.nodes if str(n.ip) == packet[IP].dst)
    hears = _first([pod for pod in places.pods if pod.node == victim])
    asks = _first([pod for pod in places.pods if pod.node != victim])
    request = arp_request(asks, hears.ip)
    return vxlan(request, source=asks.node.ip, node=victim), hears.tap


def _first(pods: Sequence[Pod]) -> Pod:
    if not pods:
        raise SDNError("a positive control needs a pod that hears it; there is none")
    return pods[0]
