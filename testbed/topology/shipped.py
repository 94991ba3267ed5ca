"""Where the topologies that come with the testbed are."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def shipped(name: str) -> Path:
    """The path of a shipped topology, as ``four-node.yaml``.

    A wheel carries them inside the package, a checkout beside it.
    """
    inside = _PACKAGE / "topologies" / name
    return inside if inside.exists() else _PACKAGE.parent / "topologies" / name
