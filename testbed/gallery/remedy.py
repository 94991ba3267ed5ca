"""What mends a bug, as a diagnosis says it where it finds the bug at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.diagnosis import BUGS

if TYPE_CHECKING:
    from testbed.gallery.model import Bug


def remedy(bug: Bug) -> str:
    """What mends it; empty where a diagnosis does not know the bug."""
    known = (BUGS.get(reference) for reference in bug.references)
    return next((item.fix for item in known if item), "")
