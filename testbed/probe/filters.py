"""What a socket is given and what not: programs of the kernel's packet filter.

They are in the classic machine's code. Source: Linux Documentation/networking/filter.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_PROGRAM = struct.Struct("@HP")
_INSTRUCTION = struct.Struct("@HBBI")

Instruction: TypeAlias = "tuple[int, int, int, int]"
"""Operation, where to go on if it is true and if it is not, and an operand."""

NOTHING: tuple[Instruction, ...] = ((0x06, 0, 0, 0),)
"""Take no packet."""


def all_but_udp_port(port: int) -> tuple[Instruction, ...]:
    """Take all packets, from their IP header on, but for those to a UDP port."""
    return (
        (0xB1, 0, 0, 0),  # x = length of IP's header
        (0x48, 0, 0, 2),  # a = two bytes at x + 2, the destination port
        (0x15, 0, 1, port),
        *NOTHING,
        (0x06, 0, 0, 0xFFFFFFFF),
    )


def attach_filter(sock: socket.socket, program: Sequence[Instruction]) -> None:
    """Have a socket take only what a program says, from now on."""
    code = b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code)
    sock.setsockopt(
        socket.SOL_SOCKET,
        _SO_ATTACH_FILTER,
        _PROGRAM.pack(len(program), ctypes.addressof(buffer)),
    )


def detach_filter(sock: socket.socket) -> None:
    """Have a socket take everything again."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
