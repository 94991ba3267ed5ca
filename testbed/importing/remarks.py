"""What an import has to say, each with the file and line it is about."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from testbed.topology.problem import printable


class Place(NamedTuple):
    """A line of a file, counted from 1; 0 means the file as a whole."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        """``file:line``, printable."""
        return printable(f"{self.file}:{self.line}" if self.line else self.file)


class Sort(enum.StrEnum):
    """What kind of thing a remark is about, in the order of the report."""

    FOUND = "found"
    INFERRED = "inferred"
    MISSING = "missing"
    UNREAD = "not read"
    CONTRADICTORY = "contradictory"
    PASSED_OVER = "passed over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One thing to say.

    ``subject`` is what it is about, an object as ``Kind namespace/name`` or a file;
    ``places`` are where it was read, the one that was taken first.
    """

    sort: Sort
    subject: str
    text: str
    places: tuple[Place, ...] = ()

    def __str__(self) -> str:
        """``subject: text (file:line, file:line)`` in one printable line."""
        where = ", ".join(map(str, self.places[:4]))
        if len(self.places) > 4:
            where += f" and {len(self.places) - 4} more"
        return printable(f"{self.subject}: {self.text}") + (where and f" ({where})")
