"""Flows that differ in addresses, ofports and VNIDs only are of one kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from testbed.openflow import OFPort, Table
from testbed.openflow.matches import MULTICAST

if TYPE_CHECKING:
    from testbed.openflow import Flow

_TELLING = {"ct_state", "nw_frag", "tp_dst"}
"""Fields whose value makes a kind."""

_FIXED = {MULTICAST, "reg0=0", "reg1=0", *(f"in_port={port.value}" for port in OFPort)}
"""What is the same on all nodes."""


class Kind(NamedTuple):
    """Flows that are alike."""

    table: int
    priority: int
    match: str

    @property
    def table_name(self) -> str:
        """The table's name; empty where 3.11 has none for it."""
        return Table(self.table).name if self.table in set(Table) else ""

    @property
    def selector(self) -> str:
        """Priority and match, with an ellipsis for what flows differ in."""
        return f"priority={self.priority},{self.match}".rstrip(",")

    def __str__(self) -> str:
        return f"table={self.table},{self.selector}"


def kind_of(flow: Flow) -> Kind:
    """What a flow has in common with those like it."""
    return Kind(int(flow.table), flow.priority, ",".join(map(_item, flow.match)))


def _item(item: str) -> str:
    name, equals, _ = item.partition("=")
    return item if item in _FIXED or name in _TELLING or not equals else f"{name}=…"
