"""What is wrong with a file, and where: one line each, whatever the file holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """A line of a file and what to say about it; also carries warnings."""

    line: int
    text: str
    file: str

    def __str__(self) -> str:
        """``file:line: text`` in one printable line."""
        return printable(f"{self.file}:{self.line}: {self.text}")


def shown(value: object) -> str:
    """A YAML value as a message repeats it: quoted, shortened, collections by name."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return repr(shortened(value))
        case list():
            return "a list"
        case dict():
            return "a mapping"
    return str(value)


def shortened(text: str, longest: int = 60) -> str:
    """The text itself, or its beginning when it is too long to read."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def printable(text: str) -> str:
    r"""The text with line breaks, control characters and the like as ``\x0a``."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text
    )
