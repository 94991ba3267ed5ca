"""What is left of a switch whose daemons died: how they ended, and their last words."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DAEMONS = ("ovs-vswitchd", "ovsdb-server")

_TAIL = 1 << 14
"""Bytes at the end of a log that are looked at."""
_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadDaemon:
    """A daemon that should run and does not.

    ``end`` says how it ended, as far as can be told; ``last_lines`` are its log's.
    """

    program: str
    pid: int
    end: str
    log: Path
    last_lines: tuple[str, ...]


def dead_daemons(run_dir: Path) -> Iterator[DeadDaemon]:
    """Yield the daemons of a switch that are dead; one that never ran is none."""
    for program in DAEMONS:
        try:
            pid = int((run_dir / f"{program}.pid").read_text())
        except (OSError, ValueError):
            continue
        end = _end(program, pid)
        if end:
            log = run_dir / f"{program}.log"
            yield DeadDaemon(
                program=program,
                pid=pid,
                end=end,
                log=log,
                last_lines=_last_lines(log),
            )


def _end(program: str, pid: int) -> str:
    """How a process ended; nothing while it runs. Source: proc(5), /proc/PID/stat."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "ended"
    name = stat[stat.index("(") + 1 : stat.rindex(")")]
    fields = stat[stat.rindex(")") + 2 :].split()
    if name != program[:15]:
        return "ended, and its pid is another's now"
    if fields[0] not in "ZX":
        return ""
    code = os.waitstatus_to_exitcode(int(fields[-1]))
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exited with status {code}"


def _last_lines(log: Path) -> tuple[str, ...]:
    try:
        with log.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _TAIL, 0))
            text = file.read().decode(errors="replace")
    except OSError:
        return ()
    return tuple(text.splitlines()[-_LINES:])
