"""Every wire of the cluster, watched by one thread from before the first packet.

A socket belongs to the network namespace it was opened in. So one AF_PACKET socket per
interface is opened inside its machine, and from then on this process sends and sees
there without entering it again.
"""

from __future__ import annotations

import collections
import contextlib
import select
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from testbed.errors import EmulationError
from testbed.patience import patience
from testbed.probe.filters import NOTHING, attach_filter, detach_filter
from testbed.probe.receive import SO_TIMESTAMPNS, Receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    from testbed.emulation.machines import Machine

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_STATISTICS = struct.Struct("II")
_ICMP_RATEMASK = Path("/proc/sys/net/ipv4/icmp_ratemask")
_RECEIVE_BUFFER = 4 << 20
_BARRIER_TIMEOUT = 5.0

RING = 200_000
"""Frames of one scenario that are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Tap:
    """An interface of a machine, open for sending and seeing whole frames.

    It is only ever the same as itself.
    """

    machine: Machine
    interface: str
    label: str
    socket: socket.socket

    @classmethod
    def open(cls, machine: Machine, interface: str, label: str) -> Tap:
        """Open an interface; what passes it from now on is not lost.

        Its machine answers each packet from then on. Linux would send a peer no more
        than one ICMP error a second, and to the rest it would seem there was none.
        """

        def tapped() -> socket.socket:
            _ICMP_RATEMASK.write_text("0")
            return _packet_socket(interface)

        return cls(machine, interface, label, machine.call(tapped))

    @property
    def mac(self) -> str:
        """The interface's MAC address."""
        return str(self.socket.getsockname()[4].hex(":"))

    def __str__(self) -> str:
        return self.label


class Sighting(NamedTuple):
    """One frame at one tap: a tuple, because there may be 100,000 in a second.

    ``nanoseconds`` since the epoch are the kernel's. ``sent`` tells a frame that left
    its machine through the interface from one that came in.
    """

    nanoseconds: int
    tap: Tap
    sent: bool
    frame: bytes


class Recorder:
    """Keeps the last frames of all taps, in the order they were read.

    What it could not keep is counted (``lost``).

    Args:
        taps: what to record.
        size: how many frames to keep.
    """

    def __init__(self, taps: Iterable[Tap], *, size: int = RING) -> None:
        self._size = size
        self._first = self._next_number = 0
        self._taps: dict[int, Tap] = {}
        self._poll = select.epoll()
        self._ring: collections.deque[Sighting] = collections.deque()
        self._forgotten: collections.Counter[Tap] = collections.Counter()
        self._missed: collections.Counter[Tap] = collections.Counter()
        self._receiver = Receiver()
        self._news = threading.Condition()
        self._wake, self._waker = socket.socketpair()
        self._asked = self._answered = 0
        self._ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._poll.register(self._wake.fileno(), select.EPOLLIN)
        self.watch(taps)

    def watch(self, taps: Iterable[Tap]) -> None:
        """Record these taps, too, from now on."""
        with self._news:
            for tap in taps:
                self._taps[tap.socket.fileno()] = tap
                self._poll.register(tap.socket.fileno(), select.EPOLLIN)

    def forget(self, taps: Iterable[Tap]) -> None:
        """Record these taps no more, and close them."""
        with self._news:
            gone = tuple(taps)
            for tap in gone:
                del self._taps[tap.socket.fileno()]
                self._missed[tap] += _missed(tap)
                self._poll.unregister(tap.socket.fileno())
            _close(tap.socket for tap in gone)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended = True
        self._waker.send(b"\0")
        self._thread.join()
        _close(tap.socket for tap in self._taps.values())
        for end in (self._wake, self._waker):
            end.close()
        self._poll.close()

    def send(self, tap: Tap, frame: bytes) -> None:
        """Send a frame, and note it: a packet socket does not see what it sends."""
        with self._news:
            self.keep([Sighting(time.time_ns(), tap, sent=True, frame=frame)])
            self._news.notify_all()
        tap.socket.send(frame)

    @contextlib.contextmanager
    def lent(self) -> Iterator[Receiver]:
        """Have the caller read the taps for the length of a ``with`` block.

        Yields what to read them with. The thread rests, and whoever reads hands what is
        seen to ``keep``.
        """
        with self._news:
            yield self._receiver

    def take_numbers(self, count: int) -> int:
        """The first of so many numbers that no probe of this cluster has had."""
        first = self._next_number
        self._next_number += count
        return first

    def keep(self, seen: Sequence[Sighting]) -> None:
        """Keep what somebody else has read."""
        self._ring.extend(seen)
        while len(self._ring) > self._size:
            self._forgotten[self._ring.popleft().tap] += 1
            self._first += 1

    def clear(self) -> None:
        """Forget what was seen."""
        with self._news:
            self._first += len(self._ring)
            self._ring.clear()
            self._forgotten.clear()
            self._missed.clear()
            for tap in self._taps.values():
                _missed(tap)

    def lost(self) -> dict[Tap, int]:
        """How many frames of each tap were not kept since the last ``clear``.

        Those that the ring had no room for, and those that the kernel dropped because
        they were not read in time. Taps that lost none are left out.
        """
        with self._news:
            for tap in self._taps.values():
                self._missed[tap] += _missed(tap)
            return dict(+(self._forgotten + self._missed))

    def sightings(self, needle: bytes = b"") -> tuple[Sighting, ...]:
        """What was seen so far of the frames that contain these bytes, by time."""
        with self._news:
            found = [seen for seen in self._ring if needle in seen.frame]
        return tuple(sorted(found, key=lambda seen: seen.nanoseconds))

    def wait_for(
        self, wanted: Callable[[Sighting], bool], *, timeout: float
    ) -> Sighting | None:
        """The first frame wanted, if it is seen within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        looked_at = 0
        with self._news:
            while True:
                new = max(looked_at - self._first, 0)
                for seen in list(self._ring)[new:]:
                    if wanted(seen):
                        return seen
                looked_at = self._first + len(self._ring)
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self._news.wait(remaining):
                    return None

    def settle(self) -> None:
        """Return when everything that had reached a tap's socket has been read.

        Raises:
            EmulationError: the reading thread is gone.
        """
        with self._news:
            self._asked += 1
            ticket = self._asked
            self._waker.send(b"\0")
            if not self._news.wait_for(
                lambda: self._answered >= ticket, patience(_BARRIER_TIMEOUT)
            ):
                raise EmulationError("the taps are not being read any more")

    def _read(self) -> None:
        """The thread: read until nothing is left, then answer who waits for that."""
        while not self._ended:
            asked = self._asked
            # While somebody waits for silence, silence is an answer.
            timeout = 0 if asked > self._answered else None
            ready = [descriptor for descriptor, _ in self._poll.poll(timeout)]
            if self._wake.fileno() in ready:
                self._wake.recv(512)
                ready.remove(self._wake.fileno())
            with self._news:
                for descriptor in ready:
                    if tap := self._taps.get(descriptor):
                        self.keep(
                            [
                                Sighting(nanoseconds, tap, sent, frame)
                                for nanoseconds, sent, frame in self._receiver.read(
                                    descriptor
                                )
                            ]
                        )
                if not ready:
                    self._answered = asked
                self._news.notify_all()


def _missed(tap: Tap) -> int:
    """How many frames the kernel dropped since it was last asked (packet(7))."""
    statistics = tap.socket.getsockopt(
        _SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size
    )
    return int(_STATISTICS.unpack(statistics)[1])


@contextlib.contextmanager
def muted(taps: Iterable[Tap]) -> Iterator[None]:
    """Have taps see nothing for the length of a ``with`` block, at no cost."""
    quiet = tuple(taps)
    for tap in quiet:
        attach_filter(tap.socket, NOTHING)
    try:
        yield
    finally:
        for tap in quiet:
            detach_filter(tap.socket)


def _close(sockets: Iterable[socket.socket]) -> None:
    """Close packet sockets side by side, for the kernel takes 12 ms over each."""
    with ThreadPoolExecutor() as pool:
        for closing in [pool.submit(item.close) for item in sockets]:
            closing.result()


def _packet_socket(interface: str) -> socket.socket:
    # Without a protocol it takes nothing before it is bound, from no interface; and to
    # bind it then costs nothing, where otherwise the kernel waits 15 ms.
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    tap.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    tap.bind((interface, _ETH_P_ALL))
    return tap
