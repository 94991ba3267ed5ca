"""Where labs are, and in which order they teach."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from testbed import shelf
from testbed.errors import LabError
from testbed.labs.read import LAB, read_lab

if TYPE_CHECKING:
    from testbed.labs.model import Lab


def shipped() -> Path:
    """The directory of the labs that come with the testbed."""
    return shelf.shipped("labs/shipped", "scenarios/labs")


def all_labs(directory: Path | None = None) -> tuple[Lab, ...]:
    """The labs of a directory, by their number; by default those shipped.

    Raises:
        LabError: there are none, or something is wrong with one.
    """
    directory = directory or shipped()
    own = sorted(path.parent for path in directory.glob(f"*/{LAB}"))
    found = shelf.read_all(own, read_lab, LabError)
    if not found:
        raise LabError([f"{directory}: has no lab in it: no directory with a {LAB}"])
    return tuple(sorted(found, key=lambda lab: (lab.number, lab.name)))


def find_lab(wanted: str, directory: Path | None = None) -> Lab:
    """The lab of that number, name or, with a slash, directory.

    Raises:
        LabError: something is wrong with it.
        NotFoundError: there is none.
    """
    if "/" in wanted or wanted == ".":
        return read_lab(Path(wanted).resolve())
    labs = all_labs(directory)
    return shelf.find("lab", wanted, labs, lambda lab: f"{lab.number} {lab.name}")


def next_lab(lab: Lab) -> Lab | None:
    """The one that comes after, in the same directory; ``None`` after the last."""
    later = [
        other for other in all_labs(lab.directory.parent) if other.number > lab.number
    ]
    return later[0] if later else None
