"""What scenarios hit, added up over scenarios, plugins and processes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from testbed.coverage.kinds import Kind, kind_of
from testbed.coverage.unreachable import UNREACHABLE, Unreachable, reason_for
from testbed.openflow import Flow  # noqa: TC001 - pydantic reads it

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFlow:
    """A flow of a node's br0."""

    node: str
    flow: Flow

    @property
    def key(self) -> tuple[str, int, str]:
        """What tells it from all others of the cluster: node, table and selector."""
        return self.node, int(self.flow.table), self.flow.selector


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one scenario hit.

    Attributes:
        plugin: the cluster's SDN plugin.
        scenario: the scenario's name.
        built: the flows of the cluster as it was built; of one cluster it is enough to
            tell them once.
        applied: the flows that the scenario added by ``cluster.apply``, hit or not.
        hits: the flows that counted packets, and how many.
    """

    plugin: str
    scenario: str
    built: tuple[NodeFlow, ...] = ()
    applied: tuple[NodeFlow, ...] = ()
    hits: tuple[tuple[NodeFlow, int], ...] = ()

    def dumped(self) -> str:
        """The same as JSON, which passes from process to process."""
        return _AS_JSON.dump_json(self).decode()

    @staticmethod
    def loaded(text: str) -> Measured:
        """What ``dumped`` wrote."""
        return _AS_JSON.validate_json(text)


_AS_JSON = TypeAdapter(Measured)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoveredFlow:
    """A flow, and the packets that each scenario hit it with.

    ``applied`` tells one that no cluster was built with.
    """

    node: str
    flow: Flow
    applied: bool
    scenarios: dict[str, int]

    @property
    def n_packets(self) -> int:
        """By how many packets it was hit."""
        return sum(self.scenarios.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class CoveredKind:
    """A kind, and its flows; ``unreachable`` says why nothing can hit it, if so."""

    kind: Kind
    flows: tuple[CoveredFlow, ...]
    unreachable: str

    @property
    def applied(self) -> bool:
        """Whether only scenarios brought flows of this kind."""
        return all(flow.applied for flow in self.flows)

    @property
    def scenarios(self) -> dict[str, int]:
        """The packets that each scenario hit it with."""
        packets: dict[str, int] = {}
        for flow in self.flows:
            for scenario, n_packets in flow.scenarios.items():
                packets[scenario] = packets.get(scenario, 0) + n_packets
        return packets

    @property
    def n_flows_hit(self) -> int:
        """How many of its flows were hit."""
        return sum(bool(flow.scenarios) for flow in self.flows)

    @property
    def is_hit(self) -> bool:
        """Whether any of its flows was."""
        return any(flow.scenarios for flow in self.flows)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginCoverage:
    """The kinds under one plugin, as the pipeline reads."""

    plugin: str
    kinds: tuple[CoveredKind, ...]

    @property
    def countable(self) -> Sequence[CoveredKind]:
        """The kinds that something can hit."""
        return [kind for kind in self.kinds if not kind.unreachable]

    @property
    def missed(self) -> Sequence[CoveredKind]:
        """Those of them that nothing hit."""
        return [kind for kind in self.countable if not kind.is_hit]

    @property
    def wrongly_listed(self) -> Sequence[CoveredKind]:
        """The kinds that nothing can hit, it is said, and something did."""
        return [kind for kind in self.kinds if kind.unreachable and kind.is_hit]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """All plugins of a run."""

    plugins: tuple[PluginCoverage, ...]

    @property
    def n_kinds(self) -> int:
        """How many kinds something can hit, counted under each plugin."""
        return sum(len(plugin.countable) for plugin in self.plugins)

    @property
    def n_kinds_hit(self) -> int:
        """How many of them were hit."""
        return self.n_kinds - sum(len(plugin.missed) for plugin in self.plugins)

    @property
    def percent(self) -> float:
        """The share of kinds that were hit; all of none is 100."""
        return percent(self.n_kinds_hit, self.n_kinds)


def percent(part: int, whole: int) -> float:
    """A share, in percent; all of nothing is 100."""
    return 100 * part / whole if whole else 100.0


@dataclass(slots=True)
class _Entry:
    flow: Flow
    applied: bool
    scenarios: dict[str, int] = field(default_factory=dict)


class Ledger:
    """Where the scenarios of a run are added up, in whatever order they come.

    Args:
        unreachable: the kinds that nothing can hit.
    """

    def __init__(self, unreachable: tuple[Unreachable, ...] = UNREACHABLE) -> None:
        self._unreachable = unreachable
        self._plugins: dict[str, dict[tuple[str, int, str], _Entry]] = {}

    def add(self, measured: Measured) -> None:
        """Add what a scenario hit.

        Flows that it put into a br0 by hand are none of the pipeline, and not counted.
        """
        entries = self._plugins.setdefault(measured.plugin, {})
        for item in measured.built:
            entries.setdefault(item.key, _Entry(item.flow, applied=False))
            entries[item.key].applied = False
        for item in measured.applied:
            entries.setdefault(item.key, _Entry(item.flow, applied=True))
        for item, n_packets in measured.hits:
            entry = entries.get(item.key)
            if entry:
                before = entry.scenarios.get(measured.scenario, 0)
                entry.scenarios[measured.scenario] = before + n_packets

    def coverage(self) -> Coverage:
        """The sum of all so far."""
        return Coverage(
            plugins=tuple(
                PluginCoverage(plugin=plugin, kinds=tuple(self._kinds(plugin, entries)))
                for plugin, entries in sorted(self._plugins.items())
            )
        )

    def _kinds(
        self, plugin: str, entries: dict[tuple[str, int, str], _Entry]
    ) -> Iterator[CoveredKind]:
        flows: dict[Kind, list[CoveredFlow]] = {}
        for (node, _, _), entry in sorted(entries.items(), key=lambda item: item[0]):
            covered = CoveredFlow(
                node=node,
                flow=entry.flow,
                applied=entry.applied,
                scenarios=dict(sorted(entry.scenarios.items())),
            )
            flows.setdefault(kind_of(entry.flow), []).append(covered)
        for kind in sorted(flows, key=_as_read):
            yield CoveredKind(
                kind=kind,
                flows=tuple(flows[kind]),
                unreachable=reason_for(plugin, kind, self._unreachable),
            )


def _as_read(kind: Kind) -> tuple[int, int, str]:
    return kind.table, -kind.priority, kind.match
