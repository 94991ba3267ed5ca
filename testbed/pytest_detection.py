"""Whether a run of pytest will ask for a cluster, told before anything is collected."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

FIXTURES = frozenset({"cluster", "running_cluster"})
"""What a test must ask for to be run in a sandbox."""


def wants_cluster(config: pytest.Config) -> bool:
    """Whether a test or fixture that will be collected has one of ``FIXTURES``."""
    return any(_asks(path) for path in _test_files(config))


def _test_files(config: pytest.Config) -> Iterator[Path]:
    """The files that the run will collect tests and fixtures from."""
    for argument in config.args:
        path = Path(config.invocation_params.dir, argument.partition("::")[0])
        for pattern in [*config.getini("python_files"), "conftest.py"]:
            yield from path.rglob(pattern)
        if path.is_file():
            yield path
        yield from (parent / "conftest.py" for parent in path.parents)


def _asks(path: Path) -> bool:
    """Whether a test or fixture in the file has a parameter named like our fixture.

    Read from the text, because importing would be collecting: the session would run
    twice up to there, and print twice.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False  # pytest will say so
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    fixtures = [function for function in functions if _is_fixture(function)]
    tests = [function for function in functions if function.name.startswith("test")]
    wanted = FIXTURES - {function.name for function in fixtures}
    return any(
        argument.arg in wanted
        for function in (*fixtures, *tests)
        for argument in function.args.args
    )


def _is_fixture(function: ast.FunctionDef) -> bool:
    return any("fixture" in ast.unparse(item) for item in function.decorator_list)
