"""Which flows dropped something, by what they counted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from testbed.patience import patience

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbed.ovs import Counters
    from testbed.probe.live import LiveCluster

COUNTER_TIMEOUT = 1.0
"""Seconds that a drop may take to be counted after the control is through."""

ATTEMPTS = 10
"""How often a packet is sent to find a moment in which nothing else is dropped."""


class Drop(NamedTuple):
    """Where a packet died: in which table of which node's br0, and by which flow.

    ``selector`` is priority and match, as ``ovs-ofctl dump-flows`` has them.
    """

    node: str
    table: int
    selector: str


Where: TypeAlias = tuple[str, int, str]
"""What a ``Drop`` is, to be told by hand."""


def dropped_since(
    cluster: LiveCluster, before: Mapping[str, Counters], *, timeout: float
) -> dict[Where, int]:
    """How many packets each flow has dropped since; the keys are ``Drop``.

    Args:
        cluster: whose flows.
        before: what they had counted.
        timeout: seconds to wait for the first, as counters may lag behind.
    """
    deadline = time.monotonic() + patience(timeout)
    while True:
        drops: dict[Where, int] = {
            Drop(node, int(flow.table), flow.selector): n_packets
            for node, counters in cluster.read_counters().items()
            for flow, n_packets in counters.since(before[node])
            if flow.drops
        }
        if drops or time.monotonic() > deadline:
            return drops
