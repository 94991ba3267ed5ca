"""Every wire of the cluster, watched by one thread from before the first packet.

A socket belongs to the network namespace it was opened in. So one AF_PACKET socket per
interface is opened inside its machine, and from then on this process sends and sees
there without entering it again.
"""

from __future__ import annotations

import collections
import errno
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from testbed.errors import EmulationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from testbed.emulation.machines import Machine

_ETH_P_ALL = 3
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("qq")
_RECEIVE_BUFFER = 4 << 20
_RING = 200_000
_LARGEST_FRAME = 1 << 16
_BARRIER_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Tap:
    """An interface of a machine, open for sending and seeing whole frames."""

    machine: Machine
    interface: str
    label: str
    socket: socket.socket

    @classmethod
    def open(cls, machine: Machine, interface: str, label: str) -> Tap:
        """Open an interface; what passes it from now on is not lost."""
        return cls(
            machine, interface, label, machine.call(lambda: _packet_socket(interface))
        )

    @property
    def mac(self) -> str:
        """The interface's MAC address."""
        return str(self.socket.getsockname()[4].hex(":"))

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True, slots=True)
class Sighting:
    """One frame at one tap.

    ``time`` is the kernel's, in seconds since the epoch. ``sent`` tells a frame that
    left its machine through the interface from one that came in.
    """

    time: float
    tap: Tap
    sent: bool
    frame: bytes


class Recorder:
    """Keeps the last 200,000 frames of all taps, in the order they were read."""

    def __init__(self, taps: Iterable[Tap]) -> None:
        self._taps: dict[int, Tap] = {}
        self._poll = select.epoll()
        self._ring: collections.deque[Sighting] = collections.deque(maxlen=_RING)
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
            for tap in taps:
                del self._taps[tap.socket.fileno()]
                self._poll.unregister(tap.socket.fileno())
                tap.socket.close()

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
        for end in (self._wake, self._waker, *(t.socket for t in self._taps.values())):
            end.close()
        self._poll.close()

    def send(self, tap: Tap, frame: bytes) -> None:
        """Send a frame, and note it: a packet socket does not see what it sends."""
        with self._news:
            self._ring.append(Sighting(time.time(), tap, sent=True, frame=frame))
        tap.socket.send(frame)

    def clear(self) -> None:
        """Forget what was seen."""
        with self._news:
            self._ring.clear()

    def sightings(self, needle: bytes = b"") -> tuple[Sighting, ...]:
        """What was seen so far of the frames that contain these bytes, by time."""
        with self._news:
            found = [seen for seen in self._ring if needle in seen.frame]
        return tuple(sorted(found, key=lambda seen: seen.time))

    def wait_for(
        self, wanted: Callable[[Sighting], bool], *, timeout: float
    ) -> Sighting | None:
        """The first frame wanted, if it is seen within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        looked_at = 0
        with self._news:
            while True:
                for seen in list(self._ring)[looked_at:]:
                    if wanted(seen):
                        return seen
                looked_at = len(self._ring)
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
                lambda: self._answered >= ticket, _BARRIER_TIMEOUT
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
                        self._ring.extend(_drain(tap))
                if not ready:
                    self._answered = asked
                self._news.notify_all()


def _drain(tap: Tap) -> Iterator[Sighting]:
    while True:
        try:
            frame, ancillary, _, address = tap.socket.recvmsg(_LARGEST_FRAME, 64)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.ENETDOWN:
                return  # its machine is being taken away
            raise
        seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
        yield Sighting(
            seconds + nanoseconds / 1e9,
            tap,
            address[2] == socket.PACKET_OUTGOING,
            frame,
        )


def _packet_socket(interface: str) -> socket.socket:
    tap = socket.socket(
        socket.AF_PACKET,
        socket.SOCK_RAW | socket.SOCK_NONBLOCK,
        socket.htons(_ETH_P_ALL),
    )
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    tap.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    tap.bind((interface, 0))
    return tap
