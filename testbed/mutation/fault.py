"""What is wrong with a node: flows or rules that are not what was computed.

A fault is a function of what the SDN computes, so it stays in whatever a scenario
applies: a flow that is missing is still missing when its neighbours have changed. What
it says of a flow it says by table, priority and match, which is how OpenFlow tells
flows apart; what it says of a rule, by table and text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from testbed.faults.fault import Programming
from testbed.openflow import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbed.openflow import Flow


class Edit(Protocol):
    """What becomes of a flow."""

    def __call__(self, flow: Flow) -> Flow | None:
        """The flow to be programmed instead; ``None`` for none."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """The flow is missing."""

    def __call__(self, flow: Flow) -> None:
        """No flow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demotion:
    """The flow has another priority."""

    priority: int

    def __call__(self, flow: Flow) -> Flow:
        """The flow with that priority."""
        return replace(flow, priority=self.priority)


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherMatch:
    """One item of the match is another, or missing where ``new`` is empty."""

    old: str
    new: str = ""

    def __call__(self, flow: Flow) -> Flow:
        """The flow with that match."""
        return replace(flow, match=_replaced(flow.match, self.old, self.new))


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherAction:
    """One action is another, or missing where ``new`` is empty.

    A flow that has no such action stays as it is: what a scenario applied has given it
    others.
    """

    old: str
    new: str = ""

    def __call__(self, flow: Flow) -> Flow:
        """The flow with that action."""
        return replace(flow, actions=_replaced(flow.actions, self.old, self.new))


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherActions:
    """The flow does something else altogether."""

    actions: tuple[str, ...]

    def __call__(self, flow: Flow) -> Flow:
        """The flow with these actions."""
        return replace(flow, actions=self.actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowFault(Programming):
    """One flow of a node's br0 is another or missing.

    Attributes:
        node: the node's name.
        table: the flow's table.
        selector: its priority and match, as ``Flow.selector`` has them.
        edit: what becomes of it.
        renamed: its new priority and match; empty if they are the old, or it is gone.
    """

    node: str
    table: int
    selector: str
    edit: Edit
    renamed: str = ""

    @classmethod
    def of(cls, node: str, flow: Flow, edit: Edit) -> FlowFault:
        """What an edit makes of this flow on a node."""
        changed = edit(flow)
        selector = changed.selector if changed else flow.selector
        return cls(
            node=node,
            table=int(flow.table),
            selector=flow.selector,
            edit=edit,
            renamed=selector if selector != flow.selector else "",
        )

    def renames(self, failure: str) -> bool:
        """Whether a scenario failed for the flow's name alone.

        A flow has no other name than its priority and match. Where those are wrong, a
        claim that names it fails, whatever becomes of packets.
        """
        if not self.renamed:
            return False
        if f"has no flow {self.selector} in table" in failure:
            return True
        wanted, _, observed = failure.partition("; observed: 1 ")
        wanted = wanted.removeprefix("expected to be ")
        renamed = f"{wanted.removesuffix(self.selector)}{self.renamed}"
        return (
            wanted.endswith(f" by {self.selector}")
            and observed == f"{renamed}; received at no tap"
        )

    @property
    def place(self) -> str:
        """The table, by number and name."""
        return f"table {Table(self.table)}"

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """The flows with the fault."""
        return tuple(self._edited(computed))

    def _edited(self, computed: Sequence[Flow]) -> Iterator[Flow]:
        for flow in computed:
            edited: Flow | None = flow
            if flow.table == self.table and flow.selector == self.selector:
                edited = self.edit(flow)
            if edited is not None:
                yield edited


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFault(Programming):
    """One rule of a node's iptables is another, or missing where ``new`` is empty.

    Attributes:
        node: the node's name.
        table: the rule's table.
        old: the rule as it should be, ``-A CHAIN …``.
        new: what is there instead.
    """

    node: str
    table: str
    old: str
    new: str = ""

    @property
    def place(self) -> str:
        """The table and the chain."""
        return f"table {self.table}, chain {self.old.split(' ', 2)[1]}"

    def renames(self, failure: str) -> bool:
        """Whether a scenario failed for the rule's name alone; rules have none."""
        del failure
        return False

    def rules(self, computed: str) -> str:
        """The rules with the fault."""
        return "".join(f"{line}\n" for line in self._edited(computed))

    def _edited(self, computed: str) -> Iterator[str]:
        table = ""
        for line in computed.splitlines():
            table = line[1:] if line.startswith("*") else table
            if table == self.table and line == self.old:
                if self.new:
                    yield self.new
            else:
                yield line


def _replaced(items: tuple[str, ...], old: str, new: str) -> tuple[str, ...]:
    """The items with the first that is ``old`` replaced, or left out."""
    if old not in items:
        return items
    place = items.index(old)
    return (*items[:place], *([new] if new else []), *items[place + 1 :])
