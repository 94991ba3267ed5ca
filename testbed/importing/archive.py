"""What there is to read: files, directories, archives and archives in archives.

Nothing is unpacked onto the disk, no link is followed and nothing is run. A member's
name is a label to report by, never a path to write to.
"""

from __future__ import annotations

import os
import stat
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from testbed.errors import ImportRefusedError
from testbed.importing.streams import (
    CHUNK,
    Compression,
    Stream,
    in_bytes,
    unpacked,
)
from testbed.importing.tar import BLOCK, is_tar, tar_members
from testbed.topology.problem import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from testbed.importing.streams import Meter

STDIN = Path("-")

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_NOT_READ = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "rar",
    b"\x04\x22\x4d\x18": "lz4",
}
_LONGEST_NAME = 4096
"""Characters that a path may have in Linux."""

_ZIP_DIRECTORY = 64 << 20
"""Bytes of a zip's list of members: half a million of them."""


def members(paths: Sequence[Path], stdin: BinaryIO, meter: Meter) -> Iterator[Stream]:
    """Yield every file there is, each to be read before the next is asked for.

    Args:
        paths: what the user named; ``-`` is ``stdin``.
        stdin: where to read that from.
        meter: takes what is read, and what is passed over.

    Raises:
        ImportRefusedError: a path cannot be read at all.
    """
    for path in paths:
        if path == STDIN:
            yield from _opened(_stream(stdin, "stdin", meter), meter)
        elif path.is_dir():
            yield from _directory(path, meter)
        else:
            try:
                with path.open("rb") as file:
                    yield from _opened(_stream(file, str(path), meter), meter, file)
            except OSError as error:
                raise _refused(path, error) from error


def size_of(paths: Sequence[Path]) -> int:
    """Bytes that there are to read, as far as can be told."""
    total = 0
    for path in paths:
        if path.is_file():
            total += path.stat().st_size
        elif path.is_dir():
            total += sum(
                entry.stat(follow_symlinks=False).st_size for entry in _files(path)
            )
    return total


def _refused(path: Path, error: OSError) -> ImportRefusedError:
    why = (error.strerror or "cannot be read").lower()
    return ImportRefusedError(printable(f"{path}: {why}"))


def _stream(file: BinaryIO, name: str, meter: Meter) -> Stream:
    def source(size: int) -> bytes:
        try:
            found = file.read(size)
        except OSError as error:
            why = (error.strerror or "it cannot be read").lower()
            meter.leave_unread(name, f"ends early; what comes before counts: {why}")
            return b""
        meter.read(len(found))
        return meter.allowed(found, name)

    return Stream(source, name)


def _files(top: Path) -> Iterator[os.DirEntry[str]]:
    """The regular files below a directory, by name; links are not followed."""
    waiting = [str(top)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        yield from (entry for entry in found if entry.is_file(follow_symlinks=False))
        waiting += [
            entry.path for entry in found[::-1] if entry.is_dir(follow_symlinks=False)
        ]


def _directory(top: Path, meter: Meter) -> Iterator[Stream]:
    links = sum(len(_links(Path(folder))) for folder, _, _ in os.walk(top))
    _tell_of_links(str(top), links, meter)
    for entry in _files(top):
        try:
            # Whoever puts a pipe or a link in the file's place gains nothing.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            with open(os.open(entry.path, flags), "rb") as file:  # noqa: PTH123
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    stream = _stream(file, entry.path, meter)
                    yield from _opened(stream, meter, file)
        except OSError as error:
            meter.leave_unread(entry.path, (error.strerror or "cannot be read").lower())


def _links(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_symlink()]
    except OSError:
        return []


def _tell_of_links(name: str, count: int, meter: Meter) -> None:
    if count:
        links = "a link is" if count == 1 else f"{count} links are"
        text = f"{links} not followed; what is behind counts where it is"
        meter.leave_unread(name, text)


def _opened(
    stream: Stream, meter: Meter, file: BinaryIO | None = None, depth: int = 0
) -> Iterator[Stream]:
    """The stream itself, or what it holds where it is packed.

    ``file`` is what it is read from, where that is a file that can be read anywhere.
    """
    if not meter.may_open(stream.name):
        return
    head = stream.peek(BLOCK)
    compression = next((c for c in Compression if head.startswith(c.value)), None)
    is_packed = compression or head.startswith(_ZIP) or is_tar(head)
    kind = next(
        (name for magic, name in _NOT_READ.items() if head.startswith(magic)), ""
    )
    if kind:
        meter.leave_unread(stream.name, f"is packed as {kind}; unpack it first")
    elif not is_packed:
        yield stream
    elif depth >= meter.limits.depth:
        text = f"is not opened: archives in archives, more than {depth} deep"
        meter.leave_unread(stream.name, text)
    elif compression:
        yield from _opened(unpacked(stream, compression, meter), meter, None, depth + 1)
    elif head.startswith(_ZIP):
        yield from _zip(stream, meter, file, depth)
    else:
        yield from _tar(stream, meter, depth)


def _tar(archive: Stream, meter: Meter, depth: int) -> Iterator[Stream]:
    links = 0
    for member in tar_members(archive, meter):
        if member.is_file and (name := _label(archive.name, member.name, meter)):
            member.stream.name = name
            yield from _opened(member.stream, meter, None, depth + 1)
        links += member.is_link
    _tell_of_links(archive.name, links, meter)


def _zip(
    archive: Stream, meter: Meter, file: BinaryIO | None, depth: int
) -> Iterator[Stream]:
    if file is not None and file.seekable():
        yield from _zip_file(archive.name, file, meter, depth)
        return
    # A zip is read from its end: one that is no file becomes a nameless one.
    with tempfile.TemporaryFile() as copy:
        while part := archive.read():
            allowed = meter.allowed(part, archive.name)
            copy.write(allowed)
            if len(allowed) < len(part):
                return
        yield from _zip_file(archive.name, copy, meter, depth)


def _zip_file(name: str, file: BinaryIO, meter: Meter, depth: int) -> Iterator[Stream]:
    if problem := _zip_problem(file):
        meter.leave_unread(name, problem)
        return
    try:
        with zipfile.ZipFile(file) as opened:
            yield from _zip_members(name, opened, meter, depth)
    except (zipfile.BadZipFile, struct.error, ValueError, RuntimeError) as error:
        meter.leave_unread(name, f"is broken: {str(error).lower()}")


def _zip_problem(file: BinaryIO) -> str:
    """What keeps a zip's list of members from being read; it all goes into memory.

    Source: the zip file format's end of central directory record (APPNOTE, 4.3.16).
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - (1 << 16) - 22))
    tail = file.read()
    record = tail.rfind(b"PK\x05\x06")
    if record < 0 or len(tail) < record + 22:
        return "is cut off: a zip ends with the list of its members, and this does not"
    size = int.from_bytes(tail[record + 12 : record + 16], "little")
    if size > _ZIP_DIRECTORY:
        return f"is refused: its list of members has {in_bytes(size)}"
    return ""


def _zip_members(
    archive: str, opened: zipfile.ZipFile, meter: Meter, depth: int
) -> Iterator[Stream]:
    links = 0
    for info in opened.infolist():
        mode = info.external_attr >> 16
        links += stat.S_ISLNK(mode)
        is_directory = info.filename.endswith("/") or not info.filename
        if is_directory or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
            continue
        name = _label(archive, info.filename, meter)
        if not name:
            continue
        if info.flag_bits & 1:
            meter.leave_unread(name, "is encrypted")
            continue
        if info.file_size > meter.left:
            size = in_bytes(info.file_size)
            meter.leave_unread(
                name, f"declares {size}, more than is left (see --max-size)"
            )
            continue
        meter.read(info.compress_size)
        try:
            with opened.open(info) as member:
                stream = Stream(_checked(member.read, name, meter), name)
                yield from _opened(stream, meter, None, depth + 1)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            meter.leave_unread(name, f"cannot be read: {str(error).lower()}")
    _tell_of_links(archive, links, meter)


def _checked(
    read: Callable[[int], bytes], name: str, meter: Meter
) -> Callable[[int], bytes]:
    """Read a zip's member until it ends, breaks or becomes too much."""
    has_ended = False

    def source(size: int) -> bytes:
        nonlocal has_ended
        if has_ended:
            return b""
        try:
            found = read(min(size, CHUNK))
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
            said = str(error).lower() or "it is cut off"
            meter.leave_unread(name, f"is broken; what comes before counts: {said}")
            found = b""
        allowed = meter.allowed(found, name)
        has_ended = not found or len(allowed) < len(found)
        return allowed

    return source


def _label(archive: str, name: str, meter: Meter) -> str:
    """What a member is called; empty, and told, where its name leads out."""
    parts = [
        part for part in name.replace("\\", "/").split("/") if part not in ("", ".")
    ]
    shown = f"{archive}/{'/'.join(parts)}"
    if len(name) > _LONGEST_NAME:
        meter.leave_unread(archive, f"a name of {len(name)} characters is refused")
        return ""
    if ".." in parts:
        meter.leave_unread(shown, "is refused: its name leads out of the archive")
        return ""
    if name.startswith("/"):
        text = "names that begin with / are read as if they did not"
        meter.leave_unread(archive, text)
    return shown
