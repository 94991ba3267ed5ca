"""A bug's story, for people: in lines of 80 columns."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from testbed.gallery.model import Half, url_of
from testbed.gallery.remedy import remedy
from testbed.gallery.shown import PASSED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.gallery.model import Bug
    from testbed.gallery.shown import Shown

WIDTH = 80
_LABEL = 11

_HEADINGS = {Half.SYMPTOM: "As it was", Half.FIX: "As it should be"}
_MARKS = {PASSED: "✓", "failed": "✗"}


def story(bug: Bug) -> Iterator[str]:
    """Yield the lines of what is known of a bug."""
    yield from _indented(f"{bug.name}: {bug.title}", 0, further=2)
    yield ""
    told = {
        "symptom": bug.symptom,
        "mechanism": bug.mechanism,
        "fix": remedy(bug),
        "fixed in": bug.fixed_in,
        "diagnosis": bug.diagnosis,
    }
    for label, text in told.items():
        if text:
            yield from _paragraph(label, text)
    for label, reference in zip(
        ["see", *[""] * len(bug.references)], bug.references, strict=False
    ):
        yield f"{label:<{_LABEL}}{url_of(reference)}"
    yield from _paragraph("scenarios", str(_from_here(bug.file)))


def claims(bug: Bug) -> Iterator[str]:
    """Yield what a bug's scenarios claim, half by half."""
    for half, heading in _HEADINGS.items():
        yield f"{heading}:"
        for showing in bug.showings:
            if showing.half is half:
                yield from _indented(_sentence(showing.claim), 2)


def heading(half: str) -> str:
    """What a half begins with."""
    return f"{_HEADINGS[Half(half)]}:"


def showing_lines(bug: Bug, shown: Shown) -> Iterator[str]:
    """Yield what a scenario showed: its claim, what was broken, each packet's way."""
    showing = next(item for item in bug.showings if item.name == shown.name)
    mark = _MARKS.get(shown.outcome, "-")
    yield from _indented(f"{mark} {_sentence(showing.claim)}", 2, further=2)
    if showing.remark:
        yield from _indented(showing.remark, 4)
    for sentence in shown.broken:
        yield from _indented(f"! {sentence}", 6, further=2)
    for packet in shown.packets:
        indent = 8 + len(packet) - len(packet.lstrip())
        yield from _indented(packet.strip(), indent - 2, further=4)
    if shown.reason:
        yield from _indented(f"{shown.outcome}: {shown.reason}", 4, further=2)


def _from_here(file: Path) -> Path:
    here = Path.cwd()
    return file.relative_to(here) if file.is_relative_to(here) else file


def _sentence(claim: str) -> str:
    return claim[:1].upper() + claim[1:]


def _paragraph(label: str, text: str) -> Iterator[str]:
    yield from wrap(
        text,
        WIDTH,
        initial_indent=f"{label:<{_LABEL}}",
        subsequent_indent=" " * _LABEL,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _indented(text: str, indent: int, *, further: int = 0) -> Iterator[str]:
    yield from wrap(
        text,
        WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + further),
        break_on_hyphens=False,
        break_long_words=False,
    )
