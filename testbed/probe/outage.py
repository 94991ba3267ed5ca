"""Nodes that go away: the underlay switch takes nothing from them and gives nothing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from testbed.emulation import machines
from testbed.emulation.machines import Kind
from testbed.emulation.wiring import switch_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.probe.live import LiveCluster
    from testbed.probe.places import Node

_DISABLED, _FORWARDING = "0", "3"
"""A bridge port's states. Source: bridge(8)."""


@contextlib.contextmanager
def cut_off(cluster: LiveCluster, node: Node) -> Iterator[None]:
    """Cut a node off from everybody for the length of a ``with`` block.

    It runs on, and its own pods still reach each other. The switch's port is disabled,
    not its link: the kernel takes up to a second to notice that a link is up.
    """
    switch = next(item for item in machines.load() if item.kind is Kind.SWITCH)
    ports = switch_ports(cluster.objects).items()
    port = next(name for name, mac in ports if mac == node.wire_mac)
    set_state = "bridge", "link", "set", "dev", port, "state"
    switch.run(*set_state, _DISABLED)
    try:
        yield
    finally:
        switch.run(*set_state, _FORWARDING)
