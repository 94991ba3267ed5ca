"""How much a pod may send and receive, as Open vSwitch limits it.

Traffic to a pod leaves br0, so it is shaped by a QoS on the port; traffic from a pod
enters br0, so it is policed on the interface.

Source: openshift/origin release-3.11 pkg/network/node/ovscontroller.go
(SetPodBandwidth)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbed.model import Pod

_BITS_PER_KILOBIT = 1024
"""Open vSwitch counts 1000; 3.11 divides by this, so that pods get a little less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidth:
    """The limits of a pod's port.

    Attributes:
        max_rate: ``other_config:max-rate`` in bits/s of a QoS of type ``linux-htb``
            on the port; ``None`` for no QoS.
        ingress_policing_rate: of the interface, in kbits/s; 0 for no limit.
    """

    max_rate: int | None = None
    ingress_policing_rate: int = 0


def pod_bandwidth(pod: Pod) -> Bandwidth:
    """The limits of a pod's port from the limits the pod asks for.

    A pod that may send less than 1024 bits/s gets no limit at all.
    """
    return Bandwidth(
        max_rate=pod.ingress_bandwidth or None,
        ingress_policing_rate=(pod.egress_bandwidth or 0) // _BITS_PER_KILOBIT,
    )
