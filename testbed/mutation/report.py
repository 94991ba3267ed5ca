"""What a run found, for people and for scripts."""

from __future__ import annotations

import textwrap
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

from testbed.mutation.fault import FlowFault
from testbed.mutation.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbed.mutation.mutant import Mutant, Spared
    from testbed.mutation.verdict import Result, Tally

COLUMNS = (
    "PLUGIN",
    "MUTANTS",
    "KILLED",
    "WEAKLY",
    "SURVIVED",
    "NOT TAKEN",
    "UNDECIDED",
    "EQUIVALENT",
    "SCORE",
)
_SHOWN = 8
"""Scenarios of a survivor that are named; the others are counted."""


def row(tally: Tally) -> tuple[str, ...]:
    """A plugin's line of the table."""
    counts = [len(tally.of(verdict)) for verdict in Verdict]
    numbers = [len(tally.results), *counts, len(tally.spared)]
    return (tally.plugin, *map(str, numbers), f"{tally.score:.1f} %")


def paragraphs(tallies: Sequence[Tally]) -> Iterator[str]:
    """Yield what there is to say of mutants that were not simply killed."""
    for tally in tallies:
        for result in tally.of(Verdict.SURVIVED):
            yield _survivor(result)
        for result in tally.misjudged:
            yield (
                f"{tally.plugin}: no longer equivalent: {result.mutant}\n"
                f"  {result.scenario}\n  ! {result.failure}\n"
                f"  was held for it because: {result.mutant.judged}"
            )
        for verdict in (
            Verdict.WEAKLY_KILLED,
            Verdict.NOT_TAKEN,
            Verdict.UNDECIDED,
        ):
            for result in tally.of(verdict):
                by = f"\n  {result.scenario}" if result.scenario else ""
                yield f"{_headline(result)}{by}\n  ! {result.failure}"
        unfit = Counter(chain.from_iterable(r.unfit for r in tally.results))
        for scenario, times in unfit.items():
            yield (
                f"{tally.plugin}: not to be relied on, failed on a mended cluster, "
                f"too ({times} times): {scenario}"
            )
        for scenario, failure in tally.left_out.items():
            yield (
                f"{tally.plugin}: left out, because it fails on a whole cluster: "
                f"{scenario}\n  ! {failure}"
            )


def as_object(tally: Tally) -> dict[str, object]:
    """A plugin's results for JSON."""
    return {
        "plugin": tally.plugin,
        "score": round(tally.score, 2),
        "counts": {verdict.value: len(tally.of(verdict)) for verdict in Verdict}
        | {"equivalent": len(tally.spared)},
        "mutants": [_result_object(result) for result in tally.results],
        "equivalent": [_spared_object(spared) for spared in tally.spared],
        "leftOut": tally.left_out,
        "misjudged": [str(result.mutant) for result in tally.misjudged],
    }


def _headline(result: Result) -> str:
    mutant = result.mutant
    return f"{mutant.plugin}: {result.verdict}: {mutant}"


def _survivor(result: Result) -> str:
    mutant = result.mutant
    lines = [_headline(result), f"  kind: {mutant.kind}", f"  in: {mutant.purpose}"]
    covering = dict.fromkeys(chain.from_iterable(s.covering for s in mutant.sites))
    if covering:
        named = [scenario.rpartition("/")[2] for scenario in covering]
        rest = len(named) - _SHOWN
        more = f", and {rest} more" if rest > 0 else ""
        text = f"passed: {', '.join(named[:_SHOWN])}{more}"
        lines.append(
            textwrap.fill(
                text,
                96,
                initial_indent="  ",
                subsequent_indent="    ",
                break_long_words=False,
            )
        )
    else:
        lines.append("  no scenario hits it")
    if mutant.judged:
        lines.append(f"  held for equivalent: {mutant.judged}")
    if result.witness:
        lines.append(f"  a packet that it matters for: {result.witness}")
    elif isinstance(mutant.sites[0].fault, FlowFault) and covering:
        lines.append(
            "  no packet that was traced is treated otherwise: may be equivalent"
        )
    return "\n".join(lines)


def _mutant_object(item: Mutant | Spared) -> dict[str, object]:
    return {
        "kind": item.kind,
        "operator": item.operator.value,
        "change": item.change,
    }


def _result_object(result: Result) -> dict[str, object]:
    return _mutant_object(result.mutant) | {
        "sites": [
            {
                "node": site.fault.node,
                "original": site.original,
                "covering": list(site.covering),
            }
            for site in result.mutant.sites
        ],
        "verdict": result.verdict.value,
        "scenario": result.scenario,
        "failure": result.failure,
        "runs": result.runs,
        "seconds": round(result.seconds, 3),
        "witness": result.witness,
        "unfit": list(result.unfit),
    }


def _spared_object(spared: Spared) -> dict[str, object]:
    return _mutant_object(spared) | {"reason": spared.reason}
