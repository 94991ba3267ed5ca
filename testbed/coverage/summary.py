"""Flow coverage in a few lines, for the terminal. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.coverage.ledger import percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from testbed.coverage.ledger import Coverage, CoveredKind, PluginCoverage

_HEADING = ("plugin", "kinds hit", "", "flows hit", "", "applied kinds hit")


def summary(coverage: Coverage) -> Iterator[str]:
    """Yield the lines: a table of the plugins, what was missed, and what cannot be hit.

    Kinds that only ``cluster.apply`` brought are among the kinds, and told apart.
    """
    if not coverage.plugins:
        yield "no scenario had a cluster"
        return
    yield from _table([_HEADING, *map(_row, coverage.plugins)])
    for plugin in coverage.plugins:
        yield from _list(f"never hit under {plugin.plugin}:", plugin.missed)
    for plugin in coverage.plugins:
        unreachable = [kind for kind in plugin.kinds if kind.unreachable]
        yield from _list(f"nothing can hit under {plugin.plugin}:", unreachable)


def problems(coverage: Coverage, *, fail_under: float | None) -> Iterator[str]:
    """Yield why the run fails, if it does: too little was hit, or what cannot be."""
    for plugin in coverage.plugins:
        for covered in plugin.wrongly_listed:
            scenario = next(iter(covered.scenarios))
            yield (
                f"{covered.kind} is listed as one that nothing can hit under "
                f"{plugin.plugin} ({covered.unreachable}), but {scenario} hit it; "
                "take it out of testbed/coverage/unreachable.py"
            )
    if fail_under is not None and coverage.percent < fail_under:
        yield (
            f"{coverage.percent:.2f} % of the kinds of flows were hit; "
            f"{fail_under:g} % are required"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What is counted under one plugin; what nothing can hit is left out."""

    kinds: int
    kinds_hit: int
    flows: int
    flows_hit: int
    applied: int
    applied_hit: int


def figures(plugin: PluginCoverage) -> Figures:
    """Count kinds and flows, and the kinds that only scenarios brought."""
    kinds = plugin.countable
    applied = [kind for kind in kinds if kind.applied]
    return Figures(
        kinds=len(kinds),
        kinds_hit=len(kinds) - len(plugin.missed),
        flows=sum(len(kind.flows) for kind in kinds),
        flows_hit=sum(kind.n_flows_hit for kind in kinds),
        applied=len(applied),
        applied_hit=sum(kind.is_hit for kind in applied),
    )


def _row(plugin: PluginCoverage) -> tuple[str, ...]:
    counted = figures(plugin)
    return (
        plugin.plugin,
        f"{counted.kinds_hit} of {counted.kinds}",
        f"{percent(counted.kinds_hit, counted.kinds):.1f} %",
        f"{counted.flows_hit} of {counted.flows}",
        f"{percent(counted.flows_hit, counted.flows):.1f} %",
        f"{counted.applied_hit} of {counted.applied}",
    )


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *figures in rows:
        cells = [
            f"{cell:>{width}}" for cell, width in zip(figures, widths[1:], strict=True)
        ]
        yield "  ".join([f"{name:<{widths[0]}}", *cells]).rstrip()


def _list(heading: str, kinds: Iterable[CoveredKind]) -> Iterator[str]:
    for position, covered in enumerate(kinds):
        if not position:
            yield heading
        kind = covered.kind
        name = f" ({kind.table_name})" if kind.table_name else ""
        why = f": {covered.unreachable}" if covered.unreachable else ""
        yield f"    table {kind.table}{name} {kind.selector}{why}"
