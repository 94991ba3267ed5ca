"""The traced witness: what switches and kernels themselves say becomes of a packet.

``tracer`` sets packets out, ``walk`` follows each through bridges, kernels and wires,
``waves`` lets thousands be followed at once; ``journey`` is what comes of it and
``render`` shows it. ``computed`` stands in for the kernels of a cluster that does not
run.
"""

from testbed.tracing.computed import computed_kernels, computed_origins
from testbed.tracing.journey import (
    Arrival,
    BridgeHop,
    Journey,
    KernelHop,
    Loss,
    WireHop,
)
from testbed.tracing.packet import Packet
from testbed.tracing.render import Origins, journey_json, render
from testbed.tracing.tracer import Tracer

__all__ = [
    "Arrival",
    "BridgeHop",
    "Journey",
    "KernelHop",
    "Loss",
    "Origins",
    "Packet",
    "Tracer",
    "WireHop",
    "computed_kernels",
    "computed_origins",
    "journey_json",
    "render",
]
