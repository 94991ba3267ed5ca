"""The part of ``testbed apply`` and ``delete`` that runs inside the sandbox.

Run as ``python -m testbed.cli.changer`` with the topology to come as stdin.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from testbed.cli import explain
from testbed.cli.options import TOPOLOGY
from testbed.emulation.changes import change_cluster
from testbed.errors import SDNError
from testbed.topology import load, loads

if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Make the cluster what stdin says, and note that it is."""
    try:
        text = sys.stdin.read()
        change_cluster(load(TOPOLOGY).cluster, loads(text, "stdin").cluster)
        TOPOLOGY.write_text(text)
    except SDNError as error:
        sys.exit(explain(error))
    sys.exit(0)


if __name__ == "__main__":
    main()
