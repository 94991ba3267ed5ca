"""The part of ``testbed apply`` and ``delete`` that runs inside the sandbox.

Run as ``python -m testbed.cli.changer`` with the topology to come as stdin.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from testbed.cli import HALFWAY, explain, explained
from testbed.cli.options import TOPOLOGY
from testbed.emulation.changes import (
    change_cluster,
    check_switches,
    refuse_rebuilds,
    refuse_the_deaf,
)
from testbed.errors import EmulationError, SDNError
from testbed.faults import ledger
from testbed.process import write_whole
from testbed.topology import load, loads

if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Make the cluster what stdin says, and note that it is."""
    with explained():
        text = sys.stdin.read()
        before, after = load(TOPOLOGY).cluster, loads(text, "stdin").cluster
        faults = [item.fault for item in ledger.standing()]
        refuse_rebuilds(before, after)
        refuse_the_deaf(before, after, faults)
        check_switches(before, faults)
    try:
        change_cluster(before, after, faults=faults)
        write_whole(TOPOLOGY, text)
    except (SDNError, OSError) as error:
        sys.exit(explain(EmulationError(f"{error}; {HALFWAY}")))
    sys.exit(0)


if __name__ == "__main__":
    main()
