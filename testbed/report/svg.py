"""Points, boxes and the few SVG elements that a drawing of a cluster needs. Pure.

A ``kind`` becomes the class ``d-kind``. A drawing is used again by reference, and there
style is found by an element's own class only.
"""

from __future__ import annotations

from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHARACTER = 6.3
"""Pixels of a character, on average and a little more."""


class Point(NamedTuple):
    """A place on a drawing, in pixels."""

    x: float
    y: float


class Box(NamedTuple):
    """A rectangle on a drawing, in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return self.y + self.height

    @property
    def middle(self) -> Point:
        """Its middle."""
        return Point(self.x + self.width / 2, self.y + self.height / 2)


def number(value: float) -> str:
    """A coordinate, with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")


def path_data(points: Sequence[Point]) -> str:
    """The ``d`` of a path through points; those that stay in place are left out."""
    first = points[0]
    return f"M{number(first.x)} {number(first.y)}" + "".join(_steps(points))


def _steps(points: Sequence[Point]) -> Iterator[str]:
    for before, after in pairwise(points):
        if before.y == after.y and before.x != after.x:
            yield f"H{number(after.x)}"
        elif before.x == after.x and before.y != after.y:
            yield f"V{number(after.y)}"
        elif before != after:
            yield f"L{number(after.x)} {number(after.y)}"


def line(kind: str, *points: Point) -> str:
    """A line through points."""
    return f'<path class="d-{kind}" d="{path_data(points)}"/>'


def rect(box: Box, kind: str) -> str:
    """A rectangle; its corners are a matter of style."""
    x, y, width, height = map(number, box)
    return f'<rect class="d-{kind}" x="{x}" y="{y}" width="{width}" height="{height}"/>'


def text(at: Point, words: str, right: float, kind: str, more: str = "") -> str:
    """Text, shortened in its middle to end before ``right``.

    What is not shown, and ``more``, shows where a pointer rests.
    """
    room = int((right - at.x) / CHARACTER)
    shown = words
    if len(words) > room:
        end = (room - 1) * 2 // 3
        shown = f"{words[: room - 1 - end]}…{words[-end:]}"
    hint = " ".join(part for part in (words, more) if part and part != shown)
    title = f"<title>{escape(hint)}</title>" if hint else ""
    x, y = map(number, at)
    return f'<text class="d-{kind}" x="{x}" y="{y}">{title}{escape(shown)}</text>'
