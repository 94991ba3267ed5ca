"""The replay that runs in a sandbox, noted for whoever enters it later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.emulation.machines import RUN_DIR
from testbed.process import write_whole
from testbed.replay.plan import Replay

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.replay.merging import Replayed

FILE = RUN_DIR / "replay.json"


def save(running: Replay) -> None:
    """Note what runs in this sandbox."""
    write_whole(FILE, running.text())


def load(file: Path = FILE) -> Replay | None:
    """The replay of the sandbox this process is in, or of the one the file is in.

    ``None`` where the cluster is as computed.

    Raises:
        EmulationError: it is another version's.
    """
    try:
        return Replay.read(file.read_text())
    except FileNotFoundError:
        return None


def standing() -> tuple[Replayed, ...]:
    """What the nodes of this sandbox have instead of what is computed."""
    running = load()
    return running.faults() if running else ()
