"""The part of ``testbed apply`` and ``delete`` that runs inside the sandbox.

Run as ``python -m testbed.cli.changer`` with the topology to come as stdin.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from testbed.cli import explain
from testbed.cli.options import TOPOLOGY
from testbed.emulation.changes import change_cluster, refuse_rebuilds
from testbed.errors import EmulationError, SDNError
from testbed.topology import load, loads

if TYPE_CHECKING:
    from typing import NoReturn

_HALFWAY = (
    "the testbed is neither what it was nor what it was to be; "
    "take it down and build it anew"
)


def main() -> NoReturn:
    """Make the cluster what stdin says, and note that it is."""
    try:
        text = sys.stdin.read()
        before, after = load(TOPOLOGY).cluster, loads(text, "stdin").cluster
        refuse_rebuilds(before, after)
    except SDNError as error:
        sys.exit(explain(error))
    try:
        change_cluster(before, after)
    except SDNError as error:
        sys.exit(explain(EmulationError(f"{error}; {_HALFWAY}")))
    TOPOLOGY.write_text(text)
    sys.exit(0)


if __name__ == "__main__":
    main()
