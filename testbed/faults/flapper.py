"""The process that sets a link down and up until it is killed.

Run as ``python -m testbed.faults.flapper NODE INTERFACE PERIOD ROUTES`` inside a
sandbox;
the link is down, and the routes that it had are JSON.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import NoReturn

from testbed.emulation import machines
from testbed.faults.devices import restore_routes


def main() -> NoReturn:
    """Flap."""
    node, name, period, routes = sys.argv[1:]
    machine = next(item for item in machines.load() if item.name == node)
    while True:
        _pass(float(period) / 2)
        machine.configure_links(f"link set {name} up\n")
        restore_routes(machine, name, json.loads(routes))
        _pass(float(period) / 2)
        machine.configure_links(f"link set {name} down\n")


def _pass(seconds: float) -> None:
    """Let time pass, which is what this fault is made of."""
    signal.sigtimedwait([], seconds)


if __name__ == "__main__":
    main()
