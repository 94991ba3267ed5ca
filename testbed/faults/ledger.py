"""The faults of a running testbed, noted in its sandbox for whoever enters it later."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from testbed.emulation.machines import RUN_DIR
from testbed.errors import EmulationError
from testbed.faults.fault import Fault
from testbed.faults.injection import Injected
from testbed.faults.reading import FieldsError, as_fields, parse_fault
from testbed.process import write_whole
from testbed.replay import state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

FILE = RUN_DIR / "faults.json"


def faults(there: Iterable[Injected]) -> Iterator[tuple[int, Fault]]:
    """Those that people know by name, with their numbers; not what a replay has."""
    for item in there:
        if isinstance(item.fault, Fault):
            yield item.number, item.fault


def standing() -> tuple[Injected, ...]:
    """All that this sandbox's nodes have instead of what they should: a replay's, too.

    Raises:
        EmulationError: another version has noted it.
    """
    replayed = state.standing()
    return (*(Injected(fault=fault, memo={}) for fault in replayed), *load())


def save(there: Iterable[Injected], file: Path = FILE) -> None:
    """Note the faults that are there; those that only Python can make are left out."""
    noted = [
        {
            "number": item.number,
            "kind": item.fault.kind,
            "fields": as_fields(item.fault),
            "memo": dict(item.memo),
        }
        for item in there
        if isinstance(item.fault, Fault)
    ]
    write_whole(file, json.dumps(noted))


def load(file: Path = FILE) -> tuple[Injected, ...]:
    """The faults of the sandbox this process is in, or of the one the file is in.

    Raises:
        EmulationError: another version has noted them.
    """
    try:
        text = file.read_text()
    except FileNotFoundError:
        return ()
    try:
        return tuple(
            Injected(
                fault=parse_fault(item["kind"], item["fields"]),
                memo=item["memo"],
                number=item["number"],
            )
            for item in json.loads(text)
        )
    except (FieldsError, KeyError, TypeError, ValueError) as error:
        raise EmulationError(
            f"{file}: these faults were noted by another version of the testbed; take "
            "it down and build it anew"
        ) from error
