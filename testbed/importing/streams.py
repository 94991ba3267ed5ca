"""Bytes read once, front to back, however they are packed, and never too many.

What is wrong with a stream (cut off, corrupt, too large) is told once, and then it has
ended: whoever reads on finds no more, so that what came before still counts.
"""

from __future__ import annotations

import bz2
import enum
import lzma
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from testbed.importing.remarks import Place, Remark, Sort

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 1 << 18
"""Bytes read at a time."""

_XZ_MEMORY = 256 << 20
"""Bytes that unpacking xz may take; ``xz -9`` needs 65 MiB."""


class Compression(enum.Enum):
    """How a file may be packed, by what it begins with."""

    GZIP = b"\x1f\x8b"
    BZIP2 = b"BZh"
    XZ = b"\xfd7zXZ\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of an input is read; what is beyond is left out, and told.

    Attributes:
        unpacked: bytes that may come out of files and archives, all together.
        kept: bytes of text that may be kept word for word.
        members: files, all together.
        depth: archives and compressions within each other.
    """

    unpacked: int = 4 << 30
    kept: int = 512 << 20
    members: int = 200_000
    depth: int = 5


class Meter:
    """What has been read so far, held against what may be.

    ``progress`` is told the bytes of the input that were read, and the current file.
    """

    def __init__(
        self,
        limits: Limits,
        remarks: list[Remark],
        progress: Callable[[int, str], None] = lambda _done, _what: None,
    ) -> None:
        self.limits = limits
        self.remarks = remarks
        self.current = ""
        self._progress = progress
        self._unpacked = self._kept = self._members = self._read = 0
        self._told = set[tuple[Place, str]]()

    @property
    def left(self) -> int:
        """Bytes that may still be unpacked."""
        return max(0, self.limits.unpacked - self._unpacked)

    def read(self, count: int) -> None:
        """Note that ``count`` bytes of the input itself were read."""
        self._read += count
        self._progress(self._read, self.current)

    def allowed(self, found: bytes, name: str) -> bytes:
        """Note what came out, and return what of it may; told when that is less."""
        left = self.left
        self._unpacked += len(found)
        if len(found) <= left:
            return found
        size = in_bytes(self.limits.unpacked)
        self.leave_unread(name, f"reading ends here, after {size} (see --max-size)")
        return found[:left]

    def may_keep(self, count: int, name: str) -> bool:
        """Note that ``count`` bytes of text are kept; false when too many."""
        if self._kept + count <= self.limits.kept:
            self._kept += count
            return True
        size = in_bytes(self.limits.kept)
        self.leave_unread(name, f"is left out: more than {size} of text would be kept")
        return False

    def may_open(self, name: str) -> bool:
        """Note that one more file is there; false, and told once, when too many."""
        self._members += 1
        self.current = name
        if self._members == self.limits.members + 1:
            text = (
                f"is left out, and all after it: more than {self.limits.members} files"
            )
            self.leave_unread(name, text)
        return self._members <= self.limits.members

    def leave_unread(self, name: str, text: str, line: int = 0) -> None:
        """Tell, once, of what cannot or may not be read, and might have mattered."""
        self._tell(Sort.UNREAD, Place(name, line), text)

    def pass_over(self, name: str, text: str) -> None:
        """Tell, once, of what is none of a network's."""
        self._tell(Sort.PASSED_OVER, Place(name), text)

    def _tell(self, sort: Sort, place: Place, text: str) -> None:
        if (place, text) in self._told:
            return
        self._told.add((place, text))
        self.remarks.append(Remark(sort=sort, subject=str(place), text=text))


class Stream:
    """Bytes that come from ``source``, whose beginning may be looked at first.

    ``source`` takes how many bytes are wanted and gives some of them, none at the end.
    ``is_broken`` says that the end came too early, and was told.
    """

    def __init__(self, source: Callable[[int], bytes], name: str) -> None:
        self.name = name
        self.is_broken = False
        self._source = source
        self._buffer = b""
        self._start = 0

    @property
    def ahead(self) -> int:
        """Bytes that have come from the source and were not read yet."""
        return len(self._buffer) - self._start

    def peek(self, size: int) -> bytes:
        """The next bytes, ``size`` or all that are left; they stay to be read."""
        while self.ahead < size and (more := self._source(CHUNK)):
            self._buffer = self._buffer[self._start :] + more
            self._start = 0
        return self._buffer[self._start : self._start + size]

    def read(self, size: int = CHUNK) -> bytes:
        """Some of the next bytes, at most ``size``; none at the end."""
        if self._start == len(self._buffer):
            self._buffer, self._start = self._source(CHUNK), 0
        taken = self._buffer[self._start : self._start + size]
        self._start += len(taken)
        return taken

    def exactly(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer only at the end."""
        parts = []
        while size and (part := self.read(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def part(self, size: int, name: str) -> Stream:
        """The next ``size`` bytes as a stream, which is to be read to its end.

        It is broken where there are fewer; that is not told.
        """
        left = size

        def source(wanted: int) -> bytes:
            nonlocal left
            taken = self.read(min(wanted, left)) if left else b""
            left -= len(taken)
            stream.is_broken = stream.is_broken or (left > 0 and not taken)
            return taken

        stream = Stream(source, name)
        return stream

    def skip(self, size: int) -> bool:
        """Pass over bytes; false when there are fewer."""
        while size and (part := self.read(min(size, CHUNK))):
            size -= len(part)
        return not size


def in_bytes(count: int) -> str:
    """A size as a person reads it."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


class _Unpacker(Protocol):
    """What bz2's and lzma's decompressors have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """zlib's decompressor, used as the others are."""

    def __init__(self) -> None:
        self._tool = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        return self._tool.eof

    @property
    def needs_input(self) -> bool:
        return not self._tool.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._tool.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._tool.decompress(self._tool.unconsumed_tail + data, max_length)


def _unpacker(compression: Compression) -> _Unpacker:
    match compression:
        case Compression.GZIP:
            return _Gzip()
        case Compression.BZIP2:
            return bz2.BZ2Decompressor()
        case Compression.XZ:
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY)


def unpacked(packed: Stream, compression: Compression, meter: Meter) -> Stream:
    """What a compressed stream holds; several may follow each other, as in a file."""
    return _Unpacked(packed, compression, meter).stream


class _Unpacked:
    def __init__(self, packed: Stream, compression: Compression, meter: Meter) -> None:
        self.stream = Stream(self._read, packed.name)
        self._packed = packed
        self._compression = compression
        self._meter = meter
        self._tool = _unpacker(compression)
        self._pending = b""

    def _read(self, size: int) -> bytes:
        while not self.stream.is_broken and (not self._tool.eof or self._begins_anew()):
            data = b""
            if self._tool.needs_input:
                data, self._pending = self._pending or self._packed.read(), b""
            try:
                found = self._tool.decompress(data, size)
            except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
                said = str(error).lower()
                return self._end(f"is broken; what comes before counts: {said}")
            if found:
                return self._metered(found)
            if not data and not self._tool.eof and self._tool.needs_input:
                return self._end("is cut off; what comes before the cut counts")
        return b""

    def _begins_anew(self) -> bool:
        """Whether another compressed stream follows.

        What else follows is padding, as tapes and some tools leave it.
        """
        self._pending = self._tool.unused_data or self._packed.read()
        if not self._pending.startswith(self._compression.value):
            return False
        self._tool = _unpacker(self._compression)
        return True

    def _metered(self, found: bytes) -> bytes:
        name = self._meter.current or self.stream.name
        allowed = self._meter.allowed(found, name)
        self.stream.is_broken = len(allowed) < len(found)
        return allowed

    def _end(self, text: str) -> bytes:
        self.stream.is_broken = True
        if not self._packed.is_broken:
            self._meter.leave_unread(self._packed.name, text)
        return b""
