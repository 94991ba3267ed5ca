"""The part of ``testbed fault`` that runs inside the sandbox.

Run as ``python -m testbed.cli.fault_worker`` with what to do as stdin, in JSON:
``{"inject": {"kind": …, "fields": …}}`` or ``{"clear": [NUMBER, …]}``.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from testbed.cli import HALFWAY, explain, explained
from testbed.cli.options import TOPOLOGY
from testbed.errors import EmulationError, SDNError
from testbed.faults import Fault, ledger
from testbed.faults.injection import clear, inject
from testbed.faults.reading import parse_fault
from testbed.topology import load

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

    from testbed.faults.injection import Injected
    from testbed.model import Cluster


def main() -> NoReturn:
    """Do what stdin says, note it and tell it."""
    with explained():
        order = json.loads(sys.stdin.read())
        cluster = load(TOPOLOGY).cluster
        there = ledger.standing()
        if wanted := order.get("inject"):
            fault = parse_fault(wanted["kind"], wanted["fields"])
            there = inject(cluster, there, fault)
            ledger.save(there)
            _tell("injected", there[-1:])
    if "clear" in order:
        _clear(cluster, there, order["clear"])
    sys.exit(0)


def _clear(
    cluster: Cluster, there: tuple[Injected, ...], numbers: Iterable[int]
) -> None:
    try:
        for number in numbers:
            gone = next(
                item
                for item in there
                if item.number == number and isinstance(item.fault, Fault)
            )
            there = clear(cluster, there, gone)
            ledger.save(there)
            _tell("cleared", [gone])
    except (SDNError, OSError) as error:
        sys.exit(explain(EmulationError(f"{error}; {HALFWAY}")))


def _tell(what: str, there: Iterable[Injected]) -> None:
    for number, fault in ledger.faults(there):
        print(f"{what} {number}: {fault.told}", flush=True)  # noqa: T201 - data


if __name__ == "__main__":
    main()
