"""YAML of OpenShift API objects in, a ``Cluster`` out; all validation lives here.

``document`` reads YAML with line numbers, ``objects`` takes lists apart and gives each
object its shape (``schema``), ``admission`` says what an API server refuses all the
same, ``complete`` fills in what controllers would, ``check`` says what no cluster can
be and ``doubts`` what 3.11 would make of it unasked. Every step collects problems, so
that all are told at once. ``pins`` notes what was filled in, so that a cluster can be
changed object by object and nothing else moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.errors import TopologyError
from testbed.topology.assemble import Topology, assemble, read_objects
from testbed.topology.problem import Problem, printable

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LARGEST", "Topology", "load", "loads", "read_text"]

LARGEST = 64 << 20
"""Bytes of a topology file: more than ``oc`` prints for five thousand pods."""


def load(path: Path) -> Topology:
    """Read a topology file.

    Raises:
        TopologyError: it cannot be read, or describes no possible cluster.
    """
    return loads(read_text(path), str(path))


def loads(text: str, filename: str) -> Topology:
    """Read a topology from text; ``filename`` is what problems call it.

    Raises:
        TopologyError: it describes no possible cluster.
    """
    problems: list[Problem] = []
    return assemble(read_objects(text, filename, problems), filename, problems)


def read_text(path: Path) -> str:
    """A file of API objects as text.

    Raises:
        TopologyError: it cannot be read, is no text or too large.
    """
    try:
        with path.open("rb") as file:
            contents = file.read(LARGEST + 1)
        if len(contents) > LARGEST:
            text = f"{path}: is larger than {LARGEST >> 20} MiB"
            raise TopologyError([printable(text)])
        return contents.decode()
    except OSError as error:
        text = f"{path}: {(error.strerror or 'cannot be read').lower()}"
        raise TopologyError([printable(text)]) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problem = Problem(line, "is not UTF-8 text", str(path))
        raise TopologyError([str(problem)]) from error
