"""The bug gallery: real bugs of 3.11's data plane, each told, shown, and shown fixed.

Each bug is one file of scenarios. Its module docstring tells the story in a fixed shape
(``testbed.gallery.read``); scenarios marked ``symptom`` put the cluster into the broken
state and show what a user saw, those marked ``fix`` show the same packets without it.
pytest runs them as it runs all scenarios; ``testbed bugs`` lists and tells them.
"""

from testbed.gallery.model import Bug, Family, Half, Showing
from testbed.gallery.shelf import all_bugs, find_bug

__all__ = ["Bug", "Family", "Half", "Showing", "all_bugs", "find_bug"]
