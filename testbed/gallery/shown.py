"""What a scenario of the gallery showed, and how that is written on a pipe."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.gallery.model import Half

RECORD_SEPARATOR = "\x1e"
"""Comes before each JSON text, so that it is told from pytest's words (RFC 7464)."""

PASSED = "passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a scenario of the gallery showed.

    Attributes:
        name: its function's name.
        half: ``symptom`` or ``fix``.
        plugin: the SDN plugin it ran under.
        outcome: ``passed``, ``failed`` or ``skipped``.
        reason: why it was skipped, or how it failed; else empty.
        seconds: how long it took.
        broken: what was broken on purpose, a sentence each.
        packets: what was sent, and what was claimed of it, that indented.
    """

    name: str
    half: str
    plugin: str
    outcome: str
    reason: str
    seconds: float
    broken: tuple[str, ...]
    packets: tuple[str, ...]


def is_shown(showings: list[Shown]) -> bool | None:
    """Whether both halves were seen; ``None`` where a half could only be skipped."""
    if any(item.outcome == "failed" for item in showings):
        return False
    seen = {item.half for item in showings if item.outcome == PASSED}
    return True if seen == set(Half) else None
