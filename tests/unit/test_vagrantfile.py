"""What Vagrant copies into its machine: all of the checkout that is code."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def excluded() -> list[str]:
    """The patterns of rsync; one with a slash in front is about the top level only."""
    text = (CHECKOUT / "Vagrantfile").read_text()
    listed = re.search(r"rsync__exclude: \[(.*?)\]", text, re.DOTALL)
    assert listed
    return re.findall(r'"(.*?)"', listed[1])


def test_results_and_environments_stay_outside() -> None:
    assert {"/captures/", "/report/", ".venv/", ".git/"} <= set(excluded())


def test_no_part_of_the_code_is_taken_for_a_result() -> None:
    code = [
        path.relative_to(CHECKOUT)
        for folder in ("testbed", "topologies", "scenarios", "tests", "vm")
        for path in (CHECKOUT / folder).rglob("*")
        if "__pycache__" not in path.parts
    ]

    assert code
    for pattern in excluded():
        if pattern.startswith("/"):
            assert not (CHECKOUT / pattern.strip("/") / "__init__.py").exists()
        else:
            name = pattern.rstrip("/")
            taken = [path for path in code if any(fnmatch(p, name) for p in path.parts)]
            assert taken == [], pattern
