"""A bug shown: its scenarios run by pytest, in a sandbox, and what each showed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from testbed.errors import GalleryError
from testbed.gallery.shown import RECORD_SEPARATOR, Shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.gallery.model import Bug


def show(bug: Bug, datapath: str | None = None) -> Iterator[Shown]:
    """Run a bug's scenarios, and yield what each showed as soon as it has.

    Args:
        bug: whose.
        datapath: ``system`` or ``netdev``; by default what this machine has.

    Raises:
        GalleryError: pytest could not run them; the message is what it said.
    """
    argv = [
        *(sys.executable, "-m", "pytest", str(bug.file)),
        *("-p", "testbed.gallery.telling", "-p", "no:cacheprovider"),
        # Our lines must come through, and modules of this name be no others.
        *("--capture=no", "--import-mode=importlib", "--no-header", "-q"),
        *([f"--datapath={datapath}"] if datapath else []),
    ]
    said: list[str] = []
    count = 0
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        for line in process.stdout:
            if line.startswith(RECORD_SEPARATOR):
                count += 1
                yield Shown(**json.loads(line.removeprefix(RECORD_SEPARATOR)))
            else:
                said.append(line.rstrip())
    if process.returncode not in (0, 1) or not count:
        words = "\n".join(line for line in said if line)
        raise GalleryError([f"{bug.file}: could not be run: {words}"])
