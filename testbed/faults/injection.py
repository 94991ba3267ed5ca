"""Faults put into the cluster of this sandbox, and taken out again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from testbed.emulation.programming import program_node
from testbed.errors import EmulationError
from testbed.faults.fault import Fault
from testbed.faults.site import Site

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testbed.emulation import programming
    from testbed.model import Cluster


@dataclass(frozen=True, kw_only=True, eq=False)
class Injected:
    """A fault that is in a running cluster.

    Attributes:
        fault: what is wrong.
        memo: what it takes to undo it.
        number: what it is called; unique among those that are there.
    """

    fault: programming.Fault
    memo: Mapping[str, object]
    number: int = 0


def inject(
    cluster: Cluster, there: Sequence[Injected], fault: programming.Fault
) -> tuple[Injected, ...]:
    """Put a fault into the cluster of this sandbox, beside those that are there.

    Args:
        cluster: the objects, as they are now.
        there: the faults that are there, in the order in which they were injected.
        fault: the one to come.

    Returns:
        All that are there now; the last is the new one.

    Raises:
        NotFoundError: the cluster lacks what it is about.
        EmulationError: it is there already.
        PrerequisiteError: this machine's kernel cannot do it.
        FlowRejectedError, CommandError, SwitchError: the node does not take it; it is
            what it was before.
    """
    if isinstance(fault, Fault):
        fault = fault.resolved(cluster)
        fault.check(cluster)
        if any(item.fault == fault for item in there):
            raise EmulationError(f"{fault.told}, already")
    memo = _inject(cluster, fault)
    _recall(cluster, there, fault, "inject")
    number = max((item.number for item in there), default=0) + 1
    injected = Injected(fault=fault, memo=memo, number=number)
    before = [item.fault for item in there]
    try:
        program_node(cluster, fault.node, before, [*before, fault])
    except BaseException:
        _undo(cluster, injected)
        program_node(cluster, fault.node, [*before, fault], before)
        raise
    return (*there, injected)


def clear(
    cluster: Cluster, there: Sequence[Injected], gone: Injected
) -> tuple[Injected, ...]:
    """Take a fault out again; the node is what it would be without it.

    Faults that were put into the same node after it are undone first and done again,
    for what they found was not what they would find now.

    Args:
        cluster: the objects, as they are now.
        there: the faults that are there, in the order in which they were injected.
        gone: the one of them to be taken out.

    Returns:
        Those that are left.

    Raises:
        CommandError, SwitchError: the node refused.
    """
    place = next(n for n, item in enumerate(there) if item.number == gone.number)
    node = gone.fault.node
    later = [item for item in there[place + 1 :] if item.fault.node == node]
    for item in reversed([there[place], *later]):
        _undo(cluster, item)
    before = [item.fault for item in there]
    earlier = [item.fault for item in there[:place]]
    without = [*earlier, *(item.fault for item in there[place + 1 :])]
    program_node(cluster, node, before, earlier if later else without)
    _recall(cluster, there[:place], gone.fault, "undo")
    left = (
        *there[:place],
        *(
            _again(cluster, item) if item in later else item
            for item in there[place + 1 :]
        ),
    )
    if later:
        program_node(cluster, node, earlier, without)
    return left


def _recall(
    cluster: Cluster, there: Sequence[Injected], fault: programming.Fault, when: str
) -> None:
    """Where ovs-vswitchd has just lost its memory, have it remember those faults."""
    if not isinstance(fault, Fault) or fault.forgets != when:
        return
    for item in there:
        if isinstance(item.fault, Fault) and item.fault.node == fault.node:
            item.fault.recall(Site.here(cluster), item.memo)


def _inject(cluster: Cluster, fault: programming.Fault) -> Mapping[str, object]:
    if not isinstance(fault, Fault):
        return {}
    return fault.inject(Site.here(cluster))


def _undo(cluster: Cluster, injected: Injected) -> None:
    if isinstance(injected.fault, Fault):
        injected.fault.undo(Site.here(cluster), injected.memo)


def _again(cluster: Cluster, injected: Injected) -> Injected:
    memo = _inject(cluster, injected.fault)
    return replace(injected, memo=memo)
