"""An import's result on disk: a directory that appears when it is complete."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.errors import ImportRefusedError
from testbed.importing.evidence import Bridge
from testbed.importing.report import manifest, report
from testbed.importing.yaml_text import yaml_text
from testbed.topology.problem import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbed.importing.evidence import Text
    from testbed.importing.merge import Imported

_LONGEST = 200
"""Characters of a file's name."""


def check_target(directory: Path, *, force: bool) -> None:
    """Refuse a directory that there is something in.

    Raises:
        ImportRefusedError: it is not empty and ``force`` is false, or no directory.
    """
    try:
        is_empty = not any(directory.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        why = (error.strerror or "cannot be written to").lower()
        raise ImportRefusedError(printable(f"{directory}: {why}")) from error
    if not is_empty and not force:
        text = f"{directory}: is not empty; choose another, or say --force"
        raise ImportRefusedError(printable(text))


def write(imported: Imported, paths: Sequence[Path], directory: Path) -> str:
    """Write everything, and return the report.

    What stands in the way, by the names that an import has, is replaced; anything else
    in the directory stays.

    Raises:
        ImportRefusedError: it cannot be written.
    """
    try:
        is_new = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
        with _workshop(directory) as here:
            text = _write(imported, paths, here)
            for entry in sorted(here.iterdir()):
                _remove(directory / entry.name)
                entry.rename(directory / entry.name)
    except OSError as error:
        if is_new:
            with contextlib.suppress(OSError):
                directory.rmdir()
        why = (error.strerror or "cannot be written to").lower()
        raise ImportRefusedError(printable(f"{directory}: {why}")) from error
    return text


@contextlib.contextmanager
def _workshop(directory: Path) -> Iterator[Path]:
    here = Path(tempfile.mkdtemp(prefix=".importing-", dir=directory))
    try:
        yield here
    finally:
        shutil.rmtree(here, ignore_errors=True)


def _remove(path: Path) -> None:
    """Remove what is there; of a link the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write(imported: Imported, paths: Sequence[Path], here: Path) -> str:
    heading = (
        f"What testbed import made of {printable(', '.join(map(str, paths)))}.\n"
        "What no object said bears the annotation testbed/inferred-from."
    )
    with (here / "topology.yaml").open("w", encoding="utf-8") as file:
        file.writelines(yaml_text(imported.objects, heading))
    places: dict[int, str] = {}
    for node in imported.nodes:
        folder = Path("nodes", _safe(node.name))
        items: list[tuple[Path, str, Text | Bridge]] = []
        if node.bridge:
            items.append((folder, "flows", node.bridge))
        items += [
            (folder / "pods" / _safe(pod) if pod else folder, text.kind.value, text)
            for pod, text in node.texts
        ]
        _write_texts(items, here, places)
    _write_texts(
        [
            (
                Path("unassigned"),
                "flows" if isinstance(item, Bridge) else item.kind.value,
                item,
            )
            for item in imported.unassigned
        ],
        here,
        places,
    )
    text = report(imported, paths)
    (here / "report.txt").write_text(text, encoding="utf-8")
    with (here / "import.json").open("w", encoding="utf-8") as file:
        json.dump(manifest(imported, paths, places), file, indent=1)
        file.write("\n")
    return text


def _write_texts(
    items: Sequence[tuple[Path, str, Text | Bridge]], here: Path, places: dict[int, str]
) -> None:
    """Write texts under their kind's name; a second one that differs gets a number."""
    known: dict[tuple[Path, str, str], str] = {}
    counted: Counter[tuple[Path, str]] = Counter()
    for folder, kind, item in items:
        same = known.get((folder, kind, item.text))
        if same is not None:
            places[id(item)] = same
            continue
        counted[folder, kind] += 1
        number = counted[folder, kind]
        path = folder / (kind if number == 1 else f"{kind}.{number}")
        (here / folder).mkdir(parents=True, exist_ok=True)
        (here / path).write_text(item.text, encoding="utf-8", errors="backslashreplace")
        places[id(item)] = known[folder, kind, item.text] = str(path)


def _safe(name: str) -> str:
    """A name as one step of a path."""
    usable = "".join(char if char.isalnum() or char in "-." else "-" for char in name)
    return usable.strip(".")[:_LONGEST] or "unknown"
