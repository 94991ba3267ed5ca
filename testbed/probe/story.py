"""What happened in a scenario, for whoever has to find out why it failed. Pure.

Lines are as wide as the reader's terminal, within reason. What is left out is counted;
the capture and the report have it all.
"""

from __future__ import annotations

from itertools import groupby
from textwrap import wrap
from typing import TYPE_CHECKING

from testbed.probe.dissect import read_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from testbed.probe.evidence import Evidence, Hit
    from testbed.probe.trails import Trail

NARROWEST, WIDEST = 80, 120
"""Columns of a story."""

_MOST_SENT = 12
_MOST_CLAIMED = 6
_MOST_SEEN = 40
_MOST_HIT = 30


def tell(evidence: Evidence, *, width: int = WIDEST) -> str:
    """What was sent, claimed and seen, which flows were hit, and who died of it.

    Args:
        evidence: of the scenario.
        width: columns of the terminal; lines are made for 80 to 120.
    """
    width = min(max(width, NARROWEST), WIDEST)
    packets, overlooked = evidence.trails()
    label = 20 if width < 100 else 26
    parts = [
        ("sent:", _wrapped(_sent(evidence) or ["nothing"], width, 5)),
        ("claimed:", _wrapped(_claimed(evidence), width, 7)),
        ("witnesses disagree:", _wrapped(_disagreements(evidence), width, 4)),
        (
            "seen, in milliseconds since the first frame:",
            _wrapped(_seen(packets, overlooked, label), width, 21 + label),
        ),
        *(
            (f"flows hit on {node}:", _cut(hits, width))
            for node, hits in _hit(evidence)
        ),
        ("flows hit:", _wrapped(_not_hit(evidence), width, 2)),
        ("lost to the recording:", _wrapped(_lost(evidence), width, 2)),
        *((heading, _wrapped(words, width, 4)) for heading, words in _deaths(evidence)),
    ]
    return "\n".join(
        line for heading, lines in parts if lines for line in (heading, *lines)
    )


def _sent(evidence: Evidence) -> list[str]:
    """The packets sent on purpose, by their numbers."""
    told = [
        f"{number:>2} {sent.sender}: "
        f"{read_frame(bytes(sent.unmarked), vxlan_port=evidence.vxlan_port)}"
        f"{' (a positive control)' if sent.control else ''}"
        for number, sent in enumerate(evidence.sent[:_MOST_SENT], 1)
    ]
    return [*told, *_more(len(evidence.sent) - _MOST_SENT)]


def _claimed(evidence: Evidence) -> list[str]:
    """The latest claims; that a control arrived is told only where it did not."""
    numbers = {sent.mark: number for number, sent in enumerate(evidence.sent, 1)}
    claims = [claim for claim in evidence.claims if not (claim.control and claim.held)]
    return [
        f"{'held:  ' if claim.held else 'NOT SO:'} {numbers.get(claim.mark, 0)} {claim}"
        for claim in claims[-_MOST_CLAIMED:]
    ]


def _disagreements(evidence: Evidence) -> list[str]:
    """What three witnesses do not say the same of."""
    found = [verdict for verdict in evidence.verdicts if not verdict.agrees]
    told = [verdict.line for verdict in found[:_MOST_CLAIMED]]
    return [*told, *_more(len(found) - _MOST_CLAIMED)]


def _seen(packets: Sequence[Trail], overlooked: int, label: int) -> list[str]:
    noise = sum(len(trail.glimpses) for trail in packets if trail.is_noise)
    told = sorted(
        (
            (glimpse, number, order)
            for order, (number, trail) in enumerate(_numbered(packets))
            if not trail.is_noise
            for glimpse in trail.glimpses
        ),
        key=lambda item: item[0].sighting.nanoseconds,
    )
    lines = []
    before: dict[int, str] = {}
    for glimpse, number, order in told[:_MOST_SEEN]:
        seen, text = glimpse.sighting, str(glimpse.frame)
        elapsed = (seen.nanoseconds - told[0][0].sighting.nanoseconds) / 1e6
        way = "sends" if seen.sent else "gets"
        what = "the same" if before.get(order) == text else text
        before[order] = text
        place = f"{_short(str(seen.tap), label):<{label}}"
        lines.append(f"{elapsed:8.3f} {number or '·':>2} {place} {way:<5} {what}")
    lines += _more(len(told) - _MOST_SEEN + overlooked)
    if noise:
        lines.append(f"and {noise} frames of other ARP, which are not told")
    return lines


def _numbered(packets: Sequence[Trail]) -> Iterator[tuple[int, Trail]]:
    """Yield packets with the numbers that ``sent`` has; a kernel's has 0."""
    number = 0
    for trail in packets:
        on_purpose = bool(trail.mark)
        number += on_purpose
        yield (number if on_purpose else 0), trail


def _hit(evidence: Evidence) -> Iterator[tuple[str, list[str]]]:
    """Yield each node that has flows hit, and those."""
    grouped = groupby(evidence.hits[:_MOST_HIT], key=lambda hit: hit.node)
    told = [(node, [_counted(hit) for hit in hits]) for node, hits in grouped]
    if told:
        told[-1][1].extend(_more(len(evidence.hits) - _MOST_HIT))
    yield from told


def _counted(hit: Hit) -> str:
    flow = hit.flow
    does = "DROPPED" if flow.drops else ",".join(flow.actions)
    return f"table {flow.table}: {hit.n_packets} hit {flow.selector} → {does}"


def _not_hit(evidence: Evidence) -> list[str]:
    if evidence.unread:
        return [f"cannot be read: {evidence.unread}"]
    return [] if evidence.hits else ["none"]


def _lost(evidence: Evidence) -> list[str]:
    return [f"{n_frames} frames at {tap}" for tap, n_frames in evidence.lost.items()]


def _deaths(evidence: Evidence) -> Iterator[tuple[str, Sequence[str]]]:
    for node, daemon in evidence.dead:
        heading = f"{daemon.program} of {node} is dead: {daemon.end}; its last words:"
        yield heading, daemon.last_lines or ["none"]


def _more(count: int) -> list[str]:
    return [f"… and {count} more"] if count > 0 else []


def _short(label: str, width: int) -> str:
    """A place's name, cut in its middle where it is long: its ends tell more."""
    if len(label) <= width:
        return label
    start = (width - 1) // 2
    return f"{label[:start]}…{label[start + 1 - width :]}"


def _wrapped(lines: Iterable[str], width: int, indent: int) -> list[str]:
    """Indented lines, continued further in where they are too long."""
    return [
        part.rstrip()
        for line in lines
        for part in wrap(
            line,
            width,
            initial_indent="  ",
            subsequent_indent=" " * (2 + indent),
            drop_whitespace=False,
            replace_whitespace=False,
            break_on_hyphens=False,
        )
    ]


def _cut(lines: Iterable[str], width: int) -> list[str]:
    """Indented lines, cut where they are too long: their beginning tells enough."""
    return [
        f"  {line}" if len(line) <= width - 2 else f"  {line[: width - 3]}…"
        for line in lines
    ]
