"""Where the topologies that come with the testbed are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed import shelf

if TYPE_CHECKING:
    from pathlib import Path


def shipped(name: str) -> Path:
    """The path of a shipped topology, as ``four-node.yaml``."""
    return shelf.shipped("topologies", "topologies") / name
