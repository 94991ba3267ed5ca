"""Flows of a node's br0 that are not what they should be."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Self

from testbed.errors import NotFoundError, SwitchError
from testbed.faults.fault import Fault
from testbed.openflow import Table, parse_flow
from testbed.openflow.actions import note
from testbed.pipeline import node_flows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbed.model import Cluster
    from testbed.openflow import Flow


@dataclass(frozen=True, kw_only=True)
class FlowDeleted(Fault):
    """Flows are missing: one, or all that follow from an object.

    Attributes:
        table: the flows' table; ``None`` for all, where ``object`` says which.
        selector: priority and match as ``ovs-ofctl dump-flows`` prints them.
        object: the object that made them, as ``Pod shop/web``.
    """

    table: int | None = None
    selector: str | None = None
    object: str = ""

    @property
    def told(self) -> str:
        """Which flows are missing."""
        where = "" if self.table is None else f" of table {_named(self.table)}"
        if self.selector is None:
            return f"{self.on} lacks the flows of {self.object}{where}"
        return f"{self.on} lacks the flow {self.selector or 'that matches all'}{where}"

    def resolved(self, cluster: Cluster) -> Self:
        """The same, spelled as flows and objects are."""
        selector, whole = self.selector, self.object
        if selector is not None:
            selector = _spelled(selector)
        kind, _, name = whole.partition(" ")
        if kind == "HostSubnet":
            whole = f"{kind} {host_subnet_name(cluster, name)}"
        return dataclasses.replace(
            super().resolved(cluster), selector=selector, object=whole
        )

    def check(self, cluster: Cluster) -> None:
        """See that the node has such flows."""
        if self.selector is None and not self.object:
            raise NotFoundError(f"{self.kind}: say which flow: selector or object")
        if self.selector is not None and self.table is None:
            raise NotFoundError(f"{self.kind}: a selector goes with a table")
        computed = node_flows(cluster, cluster.node(self.node))
        if any(map(self._is_meant, computed)):
            return
        if self.selector is not None and self.table is not None:
            raise _no_flow(self.node, self.table, self.selector, computed)
        objects = sorted({name for flow in computed for name in makers(flow)})
        close = get_close_matches(self.object, objects, n=5) or objects
        raise NotFoundError(
            f"{self.node} has no flow of {self.object}; there are: {', '.join(close)}"
        )

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """All but these."""
        return tuple(flow for flow in computed if not self._is_meant(flow))

    def _is_meant(self, flow: Flow) -> bool:
        return (
            self.table in (None, int(flow.table))
            and self.selector in (None, flow.selector)
            and (not self.object or self.object in makers(flow))
        )


@dataclass(frozen=True, kw_only=True)
class FlowFault(Fault):
    """Something that is wrong with one flow, which is there.

    Attributes:
        table: its table.
        selector: its priority and match as ``ovs-ofctl dump-flows`` prints them.
    """

    table: int
    selector: str

    def resolved(self, cluster: Cluster) -> Self:
        """The same, spelled as flows are."""
        return dataclasses.replace(
            super().resolved(cluster), selector=_spelled(self.selector)
        )

    def check(self, cluster: Cluster) -> None:
        """See that the node has the flow."""
        computed = node_flows(cluster, cluster.node(self.node))
        if not any(map(self._is_meant, computed)):
            raise _no_flow(self.node, self.table, self.selector, computed)

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """The flows, this one as it has become."""
        return tuple(
            self.wrong(flow) if self._is_meant(flow) else flow for flow in computed
        )

    def wrong(self, flow: Flow) -> Flow:
        """What the flow has become."""
        raise NotImplementedError

    def _is_meant(self, flow: Flow) -> bool:
        return flow.table == self.table and flow.selector == self.selector


@dataclass(frozen=True, kw_only=True)
class FlowChanged(FlowFault):
    """A flow does something else.

    Attributes:
        actions: what it does, in the words of ``ovs-ofctl dump-flows``.
    """

    actions: str

    @property
    def told(self) -> str:
        """Which flow does what."""
        return (
            f"{self.on} has {self.selector} of table {_named(self.table)} "
            f"with actions={self.actions}"
        )

    @cached_property
    def _flow(self) -> Flow:
        return _read(f"{self.selector} actions={self.actions}")

    def resolved(self, cluster: Cluster) -> Self:
        """The same, its actions spelled as flows' are, too."""
        actions = ",".join(self._flow.actions)
        return dataclasses.replace(super().resolved(cluster), actions=actions)

    def wrong(self, flow: Flow) -> Flow:
        """The flow, with its new actions."""
        return dataclasses.replace(flow, actions=self._flow.actions)


@dataclass(frozen=True, kw_only=True)
class FlowsWiped(Fault):
    """br0 has not one flow, table 253's note included, and drops everything.

    As after a restart of Open vSwitch: flows are in memory only.
    """

    @property
    def told(self) -> str:
        """That there are no flows."""
        return f"{self.on} has no flows in br0"

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """No flow."""
        del computed
        return ()


@dataclass(frozen=True, kw_only=True)
class NoteWrong(Fault):
    """Table 253 says that the flows are of another version, or another plugin's.

    No packet notices; the SDN would set the bridge up anew when it next starts.

    Attributes:
        version: the version that it notes; 3.11's own is 7.
        plugin: the plugin's number: 0 ovs-subnet, 1 ovs-multitenant, 2
            ovs-networkpolicy; ``None`` for the true one.
    """

    version: int
    plugin: int | None = None

    @property
    def told(self) -> str:
        """What the note says."""
        of_plugin = "" if self.plugin is None else f" of plugin {self.plugin}"
        return f"{self.on} has flows noted as version {self.version}{of_plugin}"

    def check(self, cluster: Cluster) -> None:
        """See that the numbers fit into a note."""
        del cluster
        for name, number in (("version", self.version), ("plugin", self.plugin or 0)):
            if not 0 <= number <= 255:
                raise NotFoundError(f"{self.kind}: {name} must be 0 to 255")

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """The flows, with that note."""
        return tuple(self._noted(computed))

    def _noted(self, computed: Sequence[Flow]) -> Iterator[Flow]:
        for flow in computed:
            if flow.table != Table.RULE_VERSION:
                yield flow
                continue
            octets = flow.actions[0].removeprefix("note:").split(".")
            plugin = int(octets[0], 16) if self.plugin is None else self.plugin
            yield dataclasses.replace(flow, actions=(note(plugin, self.version),))


def makers(flow: Flow) -> tuple[str, ...]:
    """The objects that a flow follows from, each with its kind.

    ``NetworkPolicy shop/a, shop/b`` are two of a kind.
    """
    kind, _, names = flow.made_by.partition(" ")
    return tuple(f"{kind} {name}" for name in names.split(", ")) if names else ()


def host_subnet_name(cluster: Cluster, name: str) -> str:
    """The full name of a HostSubnet, a ghost's too.

    Raises:
        NotFoundError: no HostSubnet, or more than one, is meant.
    """
    names = [host.name for host in cluster.host_subnets]
    if name in names:
        return name
    found = [full for full in names if full.partition(".")[0] == name]
    if len(found) != 1:
        raise NotFoundError(f"no HostSubnet {name}; there are: {', '.join(names)}")
    return found[0]


def _named(table: int) -> str:
    return str(Table(table)) if table in set(Table) else str(table)


def _read(text: str) -> Flow:
    try:
        return parse_flow(text)
    except SwitchError as error:
        raise NotFoundError(str(error)) from error


def _spelled(selector: str) -> str:
    return _read(f"{selector} actions=drop").selector


def _no_flow(
    node: str, table: int, selector: str, computed: Sequence[Flow]
) -> NotFoundError:
    there = [flow.selector for flow in computed if flow.table == table]
    close = get_close_matches(selector, there, n=5) or there[:5]
    has = f"; there are: {'; '.join(close)}" if close else ", which is empty"
    return NotFoundError(f"{node} has no flow {selector} in table {_named(table)}{has}")
