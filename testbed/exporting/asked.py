"""The part of ``testbed export`` that runs inside the sandbox.

Run as ``python -m testbed.exporting.asked``: each line of stdin is a machine and a
command, as JSON; each line of stdout what that printed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from testbed.emulation import machines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbed.emulation.machines import Machine

_PATIENCE = 10.0
"""Seconds for a command; ``ovs-ofctl`` waits forever for a switch that hangs."""


def main() -> None:
    """Answer until nobody asks any more."""
    known = {machine.name: machine for machine in machines.load()}
    for line in sys.stdin:
        machine, command = json.loads(line)
        print(json.dumps(_answer(known, machine, command)), flush=True)  # noqa: T201


def _answer(
    known: Mapping[str, Machine], name: str, command: list[str]
) -> Mapping[str, object]:
    if name not in known or shutil.which(command[0]) is None:
        return {"printed": None, "silent": False}
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            known[name].argv(*command),
            capture_output=True,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired as error:
        return {"printed": _text(error.stdout), "silent": True}
    printed = _text(done.stdout)
    if done.returncode or not printed:
        # What programs say that work is about this kernel, and no customer's has it.
        printed += _text(done.stderr)
    return {"printed": printed, "silent": False}


def _text(output: bytes | None) -> str:
    return (output or b"").decode(errors="backslashreplace")


if __name__ == "__main__":
    main()
