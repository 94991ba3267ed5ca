"""Where the gallery's bugs are."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.errors import GalleryError, NotFoundError
from testbed.gallery.read import read_bug

if TYPE_CHECKING:
    from testbed.gallery.model import Bug

_PACKAGE = Path(__file__).parents[1]


def shipped() -> Path:
    """The directory of the bugs that come with the testbed.

    A wheel carries them inside the package, a checkout beside it.
    """
    inside = _PACKAGE / "gallery" / "shipped"
    return inside if inside.exists() else _PACKAGE.parent / "scenarios" / "bugs"


def all_bugs(directory: Path | None = None) -> tuple[Bug, ...]:
    """The bugs of a directory, by family and title; by default those shipped.

    Raises:
        GalleryError: there are none, or something is wrong with one.
    """
    directory = directory or shipped()
    files = sorted(directory.glob("test_*.py"))
    if not files:
        raise GalleryError([f"{directory}: has no bug in it: no file test_*.py"])
    bugs: list[Bug] = []
    problems: list[str] = []
    for file in files:
        try:
            bugs.append(read_bug(file))
        except GalleryError as error:
            problems += error.problems
    if problems:
        raise GalleryError(problems)
    return tuple(sorted(bugs, key=lambda bug: (bug.family.lower(), bug.title)))


def find_bug(wanted: str, directory: Path | None = None) -> Bug:
    """The bug of a reference: ``BZ1539187``, its number, or another it is known by.

    Raises:
        GalleryError: something is wrong with one of the files.
        NotFoundError: there is none.
    """
    bugs = all_bugs(directory)
    for bug in bugs:
        if bug.is_called(wanted):
            return bug
    names = [bug.name for bug in bugs]
    close = get_close_matches(wanted.upper(), names, n=3) or names
    raise NotFoundError(f"no bug {wanted}; there are: {', '.join(close)}")
