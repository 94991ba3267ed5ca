"""Flows that differ only in what objects say are of one kind.

That is addresses, ofports and VNIDs, the ports of services and policies, and the places
of rules in an EgressNetworkPolicy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from testbed.openflow import OFPort, Table
from testbed.openflow.matches import MULTICAST

if TYPE_CHECKING:
    from testbed.openflow import Flow

_TELLING = {"ct_state", "nw_frag"}
"""Fields whose value makes a kind."""

_OWN_PORTS = Table.EGRESS_ROUTING
"""Here ports, of DNS and VXLAN, are the pipeline's own, and not an object's."""

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
    """What a flow has in common with those like it.

    A rule of an EgressNetworkPolicy has priority 1, whatever its place.
    """
    telling = _TELLING | {"tp_dst"} if flow.table == _OWN_PORTS else _TELLING
    is_rule = flow.table == Table.EGRESS_NETWORK_POLICY
    return Kind(
        int(flow.table),
        min(flow.priority, 1) if is_rule else flow.priority,
        ",".join(_item(item, telling) for item in flow.match),
    )


def _item(item: str, telling: set[str]) -> str:
    name, equals, _ = item.partition("=")
    return item if item in _FIXED or name in telling or not equals else f"{name}=…"
