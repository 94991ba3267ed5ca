"""The members of a tar archive, one after the other, none of them on disk.

Headers are decoded by ``tarfile``; the walk from one to the next is here, because
``tarfile`` takes an extended header of any size into memory and remembers every member.

Source: tar(5), pax(1).
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.importing.streams import in_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.importing.streams import Meter, Stream

BLOCK = tarfile.BLOCKSIZE
_LONGEST_HEADER = 1 << 16
"""Bytes of a long name or of a member's pax records."""

_LONG_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_EXTENDED = (*_LONG_NAMES, *_PAX, tarfile.XGLTYPE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TarMember:
    """A member's name, what it is, and its bytes."""

    name: str
    is_file: bool
    is_link: bool
    stream: Stream


def is_tar(head: bytes) -> bool:
    """Whether what begins so is a tar archive."""
    try:
        tarfile.TarInfo.frombuf(head[:BLOCK], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def tar_members(archive: Stream, meter: Meter) -> Iterator[TarMember]:
    """Yield the members; each one's stream is to be read before the next is asked for.

    What is wrong is told, and ends the archive.
    """
    last = ""
    try:
        for member in _Tar(archive, meter).members():
            last = member.name
            yield member
    except _BrokenError as broken:
        if not archive.is_broken:
            where = f" after {last}" if last else ""
            text = f"{broken}{where}; what comes before counts"
            meter.leave_unread(archive.name, text)


class _BrokenError(Exception):
    """What keeps the rest of an archive from being read."""


class _Tar:
    def __init__(self, archive: Stream, meter: Meter) -> None:
        self._archive = archive
        self._meter = meter
        self._name = ""
        self._size: int | None = None

    def members(self) -> Iterator[TarMember]:
        while (block := self._block()) is not None:
            header = self._header(block)
            if header.type in _EXTENDED:
                self._take_extended(header)
                continue
            if header.type == tarfile.GNUTYPE_SPARSE:
                self._skip_sparse_map(block)
            yield from self._member(header)
            self._name, self._size = "", None

    def _block(self) -> bytes | None:
        """The next header; ``None`` at the end mark."""
        block = self._archive.exactly(BLOCK)
        if len(block) < BLOCK:
            is_between = not block and not self._name
            raise _BrokenError(
                "has no end mark, as if cut off" if is_between else "is cut off"
            )
        return block if block.strip(b"\0") else None

    def _header(self, block: bytes) -> tarfile.TarInfo:
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise _BrokenError("is broken") from error
        if header.size < 0:
            raise _BrokenError("is broken: it has a member of a size below zero")
        return header

    def _take_extended(self, header: tarfile.TarInfo) -> None:
        """Note what a header says of the member that comes next."""
        if header.size > _LONGEST_HEADER:
            text = f"is refused: it has a header of {in_bytes(header.size)}"
            raise _BrokenError(text)
        data = self._archive.exactly(header.size)
        if not self._archive.skip(-header.size % BLOCK):
            raise _BrokenError("is cut off")
        if header.type == tarfile.GNUTYPE_LONGNAME:
            self._name = data.rstrip(b"\0").decode("utf-8", "surrogateescape")
        elif header.type in _PAX:
            records = _pax_records(data)
            self._name = records.get("path", self._name)
            size = records.get("size", "")
            if size.isdecimal() and len(size) < 20:
                self._size = int(size)

    def _member(self, header: tarfile.TarInfo) -> Iterator[TarMember]:
        name = self._name or header.name
        size = header.size if self._size is None else self._size
        # Blocks of data follow a file's header, and that of what nobody knows.
        if not header.isreg() and header.type in tarfile.SUPPORTED_TYPES:
            size = 0
        left = self._meter.left + self._archive.ahead
        if size > left:
            text = (
                f"is read no further: {name} declares {in_bytes(size)}, and "
                f"{in_bytes(left)} are left (see --max-size)"
            )
            raise _BrokenError(text)
        data = self._archive.part(size, name)
        yield TarMember(
            name=name,
            is_file=header.isreg() and header.type != tarfile.GNUTYPE_SPARSE,
            is_link=header.islnk() or header.issym(),
            stream=data,
        )
        while data.read():
            pass
        if data.is_broken or not self._archive.skip(-size % BLOCK):
            raise _BrokenError("is cut off")

    def _skip_sparse_map(self, header: bytes) -> None:
        """Pass over what comes between a sparse file's header and its data."""
        goes_on = header[482:483] != b"\0"
        while goes_on:
            goes_on = self._archive.exactly(BLOCK)[504:505] not in (b"\0", b"")


def _pax_records(data: bytes) -> dict[str, str]:
    """``length key=value`` lines; it ends at the first that is none."""
    records: dict[str, str] = {}
    start = 0
    while space := data.find(b" ", start, start + 8) + 1:
        digits = data[start : space - 1]
        end = start + int(digits) if digits.isdigit() else 0
        if not space < end <= len(data):
            break
        key, _, value = data[space : end - 1].partition(b"=")
        records[key.decode("utf-8", "replace")] = value.decode(
            "utf-8", "surrogateescape"
        )
        start = end
    return records
