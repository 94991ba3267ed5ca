"""The traced witness: what the switches themselves say becomes of a packet.

``tracer`` follows a packet through all the bridges of a cluster, ``agreement`` compares
that with what the oracle expects.
"""

from testbed.tracing.agreement import Comparison, compare
from testbed.tracing.tracer import (
    Leg,
    Packet,
    Traced,
    TracedDelivery,
    TracedDrop,
    Tracer,
)

__all__ = [
    "Comparison",
    "Leg",
    "Packet",
    "Traced",
    "TracedDelivery",
    "TracedDrop",
    "Tracer",
    "compare",
]
