"""Faults that a view of a cluster cannot show, because nothing runs there."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from testbed.faults.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Part(enum.Enum):
    """What a fault changes, by the methods that do it."""

    FLOWS = ("seen", "flows")
    RULES = ("seen", "rules")
    MACHINES = ("inject",)


def parts(fault: Fault) -> frozenset[Part]:
    """What a fault changes."""
    cls = type(fault)
    return frozenset(
        part
        for part in Part
        if any(getattr(cls, name) is not getattr(Fault, name) for name in part.value)
    )


def hidden_in_flows(faults: Iterable[Fault], node: str) -> str:
    """Say in a line which faults of a node its computed flows do not show.

    Args:
        faults: any node's faults, names in full.
        node: the node whose flows are shown.

    Returns:
        Empty if they show all.
    """
    own = [fault for fault in faults if fault.node == node]
    return _line([fault for fault in own if Part.FLOWS not in parts(fault)], [])


def hidden_in_trace(faults: Iterable[Fault]) -> str:
    """Say in a line which faults a trace of computed flows and rules does not show.

    Of a fault that is something in a machine, too, it shows the flows.

    Args:
        faults: any node's faults, names in full.

    Returns:
        Empty if it shows all.
    """
    of_machines = [fault for fault in faults if Part.MACHINES in parts(fault)]
    return _line(
        [fault for fault in of_machines if Part.FLOWS not in parts(fault)],
        [fault for fault in of_machines if Part.FLOWS in parts(fault)],
    )


def _line(hidden: Sequence[Fault], by_flows_only: Sequence[Fault]) -> str:
    groups = (
        ("faults that are not shown", hidden),
        ("faults of which only the flows are shown", by_flows_only),
    )
    return "; ".join(
        f"{head}: {', '.join(fault.told for fault in group)}"
        for head, group in groups
        if group
    )
