"""The kernel's ARP table, which is one for the whole machine.

Every namespace has its own neighbours, but room for them is shared: by default 1,024
(``gc_thresh3``), of all testbeds and of the machine itself. When it is full, who asks
for an address waits in vain, and answers nobody. What no testbed can change it can
notice: the kernel counts how often that was.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.errors import CommandError, EmulationError
from testbed.process import run, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

_RTM_GETNEIGHTBL = 66
_REQUEST_DUMP = 0x1 | 0x100 | 0x200
_NAME, _LIMIT, _CONFIG, _STATISTICS = 1, 4, 5, 7
_HEADER, _FAMILY, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=B3x"), 4
_ENTRIES = struct.Struct("=HHI")
_OVERFLOWS = struct.Struct("=10QQ")
"""Of ``struct ndt_stats`` the last that every kernel since 4.3 has."""
_ARP = b"arp_cache"

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_NOARP = 0x8913, 0x8914, 0x80
_FLAGS = struct.Struct("16sH22x")

_ROOM_TIMEOUT = 15.0
"""The kernel keeps an entry for 5 s before it gives its room to another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighbourTable:
    """The machine's ARP table at one moment.

    Attributes:
        entries: how many there are in all namespaces together.
        limit: how many there may be.
        overflows: how often one was wanted that there was no room for.
    """

    entries: int
    limit: int
    overflows: int


def neighbour_table() -> NeighbourTable:
    """Look at the machine's ARP table (rtnetlink(7), RTM_GETNEIGHTBL).

    Raises:
        EmulationError: the kernel tells nothing of it.
    """
    for attributes in _tables():
        if attributes.get(_NAME, b"").rstrip(b"\0") == _ARP and _CONFIG in attributes:
            statistics = attributes[_STATISTICS].ljust(_OVERFLOWS.size, b"\0")
            return NeighbourTable(
                entries=_ENTRIES.unpack_from(attributes[_CONFIG])[2],
                limit=struct.unpack("=I", attributes[_LIMIT])[0],
                overflows=_OVERFLOWS.unpack_from(statistics)[-1],
            )
    raise EmulationError("the kernel tells nothing of its ARP table")


def forget_neighbours(own: socket.socket, interface: str) -> None:
    """Empty an interface's part of the table, in the namespace a socket belongs to.

    As the kernel does for an interface that no longer does ARP; it does again at once.
    """
    request = _FLAGS.pack(interface.encode(), 0)
    flags = _FLAGS.unpack(fcntl.ioctl(own, _SIOCGIFFLAGS, request))[1]
    for wanted in (flags | _IFF_NOARP, flags):
        fcntl.ioctl(own, _SIOCSIFFLAGS, _FLAGS.pack(interface.encode(), wanted))


def wait_for_room() -> None:
    """Return when the table has room for an entry again.

    Raises:
        DeadlineError: others keep it full.
    """
    # A loopback has but one neighbour, whatever address is asked for.
    entry = ("0.0.0.0", "dev", "lo")  # noqa: S104 - no address to listen on
    stale = ("lladdr", "00:00:5e:00:53:01", "nud", "stale")

    def fits() -> bool:
        try:
            run(["ip", "neigh", "replace", *entry, *stale])
        except CommandError:
            return False
        run(["ip", "neigh", "delete", *entry])
        return True

    wait_until(fits, timeout=_ROOM_TIMEOUT, what="the kernel's ARP table has room")


def _tables() -> Iterator[dict[int, bytes]]:
    """Yield the attributes of every table that the kernel tells of."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        size = _HEADER.size + _FAMILY.size
        header = _HEADER.pack(size, _RTM_GETNEIGHTBL, _REQUEST_DUMP, 1, 0)
        netlink.send(header + _FAMILY.pack(socket.AF_INET))
        while True:
            data = netlink.recv(1 << 16)
            while data:
                length, kind, _, _, _ = _HEADER.unpack_from(data)
                if kind <= 3:  # NLMSG_ERROR, NLMSG_DONE
                    return
                yield dict(_attributes(data[size:length]))
                data = data[_aligned(length) :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE:
        length, kind = struct.unpack_from("=HH", data)
        yield kind & 0x3FFF, data[_ATTRIBUTE:length]
        data = data[_aligned(length) :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3
