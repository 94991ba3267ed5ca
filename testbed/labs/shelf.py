"""Where labs are, and in which order they teach."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from testbed.errors import LabError, NotFoundError
from testbed.labs.read import LAB, read_lab

if TYPE_CHECKING:
    from testbed.labs.model import Lab

_PACKAGE = Path(__file__).parents[1]


def shipped() -> Path:
    """The directory of the labs that come with the testbed.

    A wheel carries them inside the package, a checkout beside it.
    """
    inside = _PACKAGE / "labs" / "shipped"
    return inside if inside.exists() else _PACKAGE.parent / "scenarios" / "labs"


def all_labs(shelf: Path | None = None) -> tuple[Lab, ...]:
    """The labs of a directory, by their number; by default those shipped.

    Raises:
        LabError: there are none, or something is wrong with one.
    """
    shelf = shelf or shipped()
    found = [read_lab(path.parent) for path in sorted(shelf.glob(f"*/{LAB}"))]
    if not found:
        raise LabError([f"{shelf}: has no lab in it: no directory with a {LAB}"])
    return tuple(sorted(found, key=lambda lab: (lab.number, lab.name)))


def find_lab(wanted: str, shelf: Path | None = None) -> Lab:
    """The lab of that number, name or, with a slash, directory.

    Raises:
        LabError: something is wrong with it.
        NotFoundError: there is none.
    """
    if "/" in wanted or wanted == ".":
        return read_lab(Path(wanted).resolve())
    labs = all_labs(shelf)
    for lab in labs:
        if wanted in (lab.name, str(lab.number)):
            return lab
    names = ", ".join(f"{lab.number} {lab.name}" for lab in labs)
    raise NotFoundError(f"no lab {wanted}; there are: {names}")


def next_lab(lab: Lab) -> Lab | None:
    """The one that comes after, in the same directory; ``None`` after the last."""
    later = [
        other for other in all_labs(lab.directory.parent) if other.number > lab.number
    ]
    return later[0] if later else None
