"""Blocks of a pcapng file, as bytes. Pure.

Scapy's writer knows neither descriptions and resolutions of interfaces, nor comments on
the section, nor what was lost.

Source: draft-ietf-opsawg-pcapng, sections 3 and 4
"""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Option: TypeAlias = tuple[int, bytes]

_SECTION, _INTERFACE, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 5, 6
_BYTE_ORDER = 0x1A2B3C4D
_ETHERNET = 1
_END = 0
_COMMENT = 1
_SYSTEM, _APPLICATION = 3, 4
_NAME, _DESCRIPTION, _MAC, _RESOLUTION = 2, 3, 6, 9
_FLAGS = 2
_DROPPED = 5
_NANOSECONDS = 9
"""Minus the power of ten that a unit of time is."""
_LONGEST = 0xFFFC
"""Bytes of an option's value, padded."""


class Direction(enum.IntEnum):
    """Which way a packet passed its interface."""

    INBOUND = 1
    OUTBOUND = 2


def section(comment: str, *, system: str, application: str) -> bytes:
    """What a file begins with: what it is about, and what wrote it."""
    body = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1)
    options = [
        (_COMMENT, comment.encode()),
        (_SYSTEM, system.encode()),
        (_APPLICATION, application.encode()),
    ]
    return _block(_SECTION, body, options)


def interface(name: str, description: str, *, mac: str = "") -> bytes:
    """An Ethernet interface; packets refer to it by its number in the file, from 0.

    Its packets' times are in nanoseconds.
    """
    options = [(_NAME, name.encode()), (_DESCRIPTION, description.encode())]
    if mac:
        options.append((_MAC, bytes.fromhex(mac.replace(":", ""))))
    options.append((_RESOLUTION, bytes([_NANOSECONDS])))
    return _block(_INTERFACE, struct.pack("<HHI", _ETHERNET, 0, 0), options)


def packet(
    frame: bytes,
    *,
    interface: int,
    nanoseconds: int,
    direction: Direction,
    comments: Sequence[str] = (),
) -> bytes:
    """A whole frame as it passed an interface, ``nanoseconds`` after the epoch."""
    high, low = divmod(nanoseconds, 1 << 32)
    size = len(frame)
    head = struct.pack("<IIIII", interface, high, low, size, size)
    options = [(_COMMENT, comment.encode()) for comment in comments]
    options.append((_FLAGS, struct.pack("<I", direction | _reception(frame) << 2)))
    return _block(_PACKET, head + _padded(frame), options)


def statistics(*, interface: int, nanoseconds: int, dropped: int) -> bytes:
    """How many packets of an interface did not get into the file."""
    high, low = divmod(nanoseconds, 1 << 32)
    body = struct.pack("<III", interface, high, low)
    return _block(_STATISTICS, body, [(_DROPPED, struct.pack("<Q", dropped))])


def _reception(frame: bytes) -> int:
    """Unicast, multicast or broadcast, by the destination's MAC."""
    if frame[:6] == b"\xff" * 6:
        return 3
    return 2 if frame[0] & 1 else 1


def _block(kind: int, body: bytes, options: Iterable[Option]) -> bytes:
    content = body + b"".join(
        struct.pack("<HH", code, len(value)) + _padded(value)
        for code, value in (
            *((code, _shortened(value)) for code, value in options),
            (_END, b""),
        )
    )
    length = struct.pack("<I", len(content) + 12)
    return struct.pack("<I", kind) + length + content + length


def _shortened(value: bytes) -> bytes:
    """What fits; text is cut between two characters."""
    if len(value) <= _LONGEST:
        return value
    return value[:_LONGEST].decode(errors="ignore").encode()


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)
