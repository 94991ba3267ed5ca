"""Where the gallery's bugs are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed import shelf
from testbed.errors import GalleryError
from testbed.gallery.read import read_bug

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.gallery.model import Bug


def shipped() -> Path:
    """The directory of the bugs that come with the testbed."""
    return shelf.shipped("gallery/shipped", "scenarios/bugs")


def all_bugs(directory: Path | None = None) -> tuple[Bug, ...]:
    """The bugs of a directory, by family and title; by default those shipped.

    Raises:
        GalleryError: there are none, or something is wrong with one.
    """
    directory = directory or shipped()
    bugs = shelf.read_all(sorted(directory.glob("test_*.py")), read_bug, GalleryError)
    if not bugs:
        raise GalleryError([f"{directory}: has no bug in it: no file test_*.py"])
    return tuple(sorted(bugs, key=lambda bug: (bug.family.lower(), bug.title)))


def find_bug(wanted: str, directory: Path | None = None) -> Bug:
    """The bug of a reference: ``BZ1539187``, its number, or another it is known by.

    Raises:
        GalleryError: something is wrong with one of the files.
        NotFoundError: there is none.
    """
    return shelf.find("bug", wanted, all_bugs(directory), lambda bug: bug.name)
