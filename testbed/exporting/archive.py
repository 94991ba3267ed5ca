"""A collection on disk: a tarball, or a directory."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.errors import ExportRefusedError
from testbed.topology.problem import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from typing import IO

    from testbed.exporting.collection import File

_SUFFIXES = {
    ".tgz": "gz",
    ".tar.gz": "gz",
    ".tar.xz": "xz",
    ".tar.bz2": "bz2",
    ".tar": "",
}
"""How a tarball is packed, by what its name ends with."""


def save(files: Iterable[File], target: Path, moment: datetime, *, force: bool) -> int:
    """Write a collection, and return how many files it has.

    A name that ends as a tarball's becomes one, packed accordingly; any other becomes a
    directory. Either is there as a whole or not at all.

    Args:
        files: what to write.
        target: where to.
        moment: when it was collected; every file's time.
        force: replace a file that is there. A directory with something in it is never
            replaced.

    Raises:
        ExportRefusedError: there is something already, or it cannot be written.
    """
    packing = next(
        (p for suffix, p in _SUFFIXES.items() if target.name.endswith(suffix)), None
    )
    try:
        if packing is None:
            return _directory(files, target)
        if target.exists() and not (force and target.is_file()):
            text = f"{target}: is there already; choose another, or say --force"
            raise ExportRefusedError(printable(text))
        return _tarball(files, target, packing, moment)
    except OSError as error:
        why = (error.strerror or "cannot be written").lower()
        raise ExportRefusedError(printable(f"{target}: {why}")) from error


def pack(files: Iterable[File], file: IO[bytes], packing: str, moment: datetime) -> int:
    """Write a tarball of files to an open one, and return how many there are."""
    count = 0
    with tarfile.open(fileobj=file, mode=f"w:{packing}") as archive:  # type: ignore[call-overload]
        for name, text in files:
            data = text.encode()
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(data), int(moment.timestamp()), 0o600
            info.uname = info.gname = "root"
            archive.addfile(info, io.BytesIO(data))
            count += 1
    return count


def _tarball(
    files: Iterable[File], target: Path, packing: str, moment: datetime
) -> int:
    with _unfinished(target) as path, path.open("wb") as file:
        return pack(files, file, packing, moment)


@contextlib.contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A file beside the target, which takes its place when all went well."""
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    os.close(descriptor)
    path = Path(name)
    try:
        yield path
        path.chmod(0o600)  # as a customer's: it has everything in it
        path.rename(target)
    finally:
        path.unlink(missing_ok=True)


def _directory(files: Iterable[File], target: Path) -> int:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        text = f"{target}: is there already, and not empty; choose another"
        raise ExportRefusedError(printable(text))
    count = 0
    for name, text in files:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        count += 1
    return count
