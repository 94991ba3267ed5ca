"""Probes sent and seen by one thread: a window of them in flight, and their controls.

A queue on the way holds some 250 packets, and what does not fit is lost; so only a
window of probes is under way at a time. A probe leaves the window when it, or one that
went the same way after it, comes in somewhere. Where nothing comes in any more, a
control is sent after them: when that is heard, they have been dropped or handled.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import select
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from testbed.probe.passage import ETHERTYPE_ARP, Passage
from testbed.probe.stacks import NO_ETHERNET
from testbed.probe.templates import NONCE_SIZE
from testbed.probe.watches import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from testbed.probe.frames import Launch
    from testbed.probe.paths import Door, Path, Probe
    from testbed.probe.receive import Receiver
    from testbed.probe.recorder import Recorder
    from testbed.probe.watches import Watch

_STALL = 0.001
"""Seconds without room in the window after which is asked for what is under way."""

_ENDS = {Role.POD, Role.HOST}
_NOBODY: collections.deque[int] = collections.deque(maxlen=0)
"""What waits for a way that nothing can prove."""


class _Asked(NamedTuple):
    """A control under way: when it was sent, and after which probe."""

    path: Path
    upto: int
    since: float


class Pump:
    """Sends the probes of one batch, and notes all that is seen of them.

    Args:
        recorder: keeps what is seen.
        receiver: reads the taps while the recorder's thread rests.
        batch: the twelve bytes by which the probes are known.
        count: how many there will be.
        watches: what to read.
        window: how many probes may be under way.
        patience: seconds that a control may take.

    Attributes:
        probes: what was sent, in order.
        seen: of each probe, at which taps.
        taken: of each probe, by which kernels; most are taken by none.
        arrived: of each probe, whether it came in at a pod, a machine outside or a
            kernel.
        answered: of each probe, whether anything of it came back to its sender.
        failures: why probes could not be sent.
        unmarked: what came in without a nonce at those who ask, with their names.
        slowest: seconds that the slowest control took.
    """

    def __init__(  # noqa: PLR0913 - each is another thing
        self,
        recorder: Recorder,
        receiver: Receiver,
        *,
        batch: bytes,
        count: int,
        watches: Iterable[Watch],
        window: int,
        patience: float,
    ) -> None:
        self._recorder = recorder
        self._receiver = receiver
        self._batch = batch
        self._watches = {watch.tap.socket.fileno(): watch for watch in watches}
        self._window = window
        self._patience = patience
        self._poll = select.epoll()
        self._count = self._next_control = count
        self._queues: list[collections.deque[int]] = []
        self._senders: list[str] = []
        self._paths: dict[Path, None] = {}
        self._in_flight = self._last = 0
        self._asked: dict[int, _Asked] = {}
        self._sent: list[Passage] = []
        self._dropped = [watch.dropped for watch in self._watches.values()]
        self.probes: list[Probe] = []
        self.seen: list[list[Passage]] = []
        self.taken: dict[int, list[tuple[str, Passage]]] = {}
        self.arrived, self.answered = bytearray(count), bytearray(count)
        self.failures: dict[int, OSError] = {}
        self.unmarked: list[tuple[str, Passage]] = []
        self.slowest = 0.0

    def __enter__(self) -> Self:
        for descriptor in self._watches:
            self._poll.register(descriptor, select.EPOLLIN)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._poll.close()

    def send(self, probe: Probe) -> None:
        """Send one more probe, when there is room for it."""
        number = len(self.probes)
        self.probes.append(probe)
        self.seen.append([])
        self._senders.append(probe.door.place.name)
        if probe.paths:
            self._queues.append(probe.paths[0].waiting)
            self._paths[probe.paths[0]] = None
        else:
            self._queues.append(_NOBODY)
        if self._in_flight >= self._window:
            self._wait_for_room()
        self._send(number, probe)

    def prove(self, paths: Iterable[Path]) -> None:
        """Send a control on each way, and wait until all are heard or given up."""
        for path in paths:
            while len(self._asked) >= self._window:
                self._wait_for_controls()
            if not path.broken:
                self._ask(path)
        while self._asked:
            self._wait_for_controls()

    def wait(self, until: Callable[[], bool], deadline: float) -> None:
        """Read on until something has come true, or until a moment of the clock."""
        while not until() and (left := deadline - time.monotonic()) > 0:
            self._collect(left)
        self._collect(0)

    def lost(self) -> list[str]:
        """The taps that had no room for all that passed them."""
        return [
            str(watch.tap)
            for watch, before in zip(self._watches.values(), self._dropped, strict=True)
            if watch.dropped != before
        ]

    def _send(self, number: int, probe: Probe) -> None:
        route, data, door, paths = probe
        if route.leads_nowhere:
            self.failures[number] = OSError(errno.ENETUNREACH, "it leads nowhere")
            return
        now = time.time_ns()
        try:
            self._hand_over(door, probe)
        except OSError as error:
            self.failures[number] = error
            return
        if door.tap is not None:
            passage = Passage(now, door.tap, sent=True, frame=data)
            self.seen[number].append(passage)
            self._sent.append(passage)
        self._last = number
        if paths and not paths[0].broken:
            paths[0].waiting.append(number)
            self._in_flight += 1

    def _hand_over(self, door: Door, launch: Launch | Probe) -> None:
        """Hand a packet over; where too many wait already, be patient."""
        try:
            door.send(launch)
        except BlockingIOError:
            deadline = time.monotonic() + self._patience
            while True:
                self._collect(_STALL)
                with contextlib.suppress(BlockingIOError):
                    door.send(launch)
                    return
                if time.monotonic() > deadline:
                    raise

    def _wait_for_room(self) -> None:
        """Wait until a probe leaves the window; where none does, ask on their ways."""
        since = time.monotonic()
        while self._in_flight >= self._window:
            self._collect(_STALL)
            now = time.monotonic()
            if self._in_flight < self._window or now - since < _STALL:
                continue
            since = now
            asked = {item.path for item in self._asked.values()}
            for path in self._paths:
                if path.waiting and path not in asked:
                    self._ask(path)
            self._give_up_overdue()

    def _ask(self, path: Path) -> None:
        """Send a way's control."""
        number = self._next_control
        self._next_control += 1
        launch = path.control(number)
        self._asked[number] = _Asked(path, self._last, time.monotonic())
        now = time.time_ns()
        try:
            self._hand_over(path.door, launch)
        except OSError as error:
            del self._asked[number]
            self._break(path, f"no control could be sent {path.name}: {error.strerror}")
            return
        if path.door.tap is not None:
            self._sent.append(Passage(now, path.door.tap, sent=True, frame=launch.data))

    def _wait_for_controls(self) -> None:
        first = min(item.since for item in self._asked.values())
        self._collect(max(first + self._patience - time.monotonic(), 0))
        self._give_up_overdue()

    def _give_up_overdue(self) -> None:
        now = time.monotonic()
        for number, (path, _, since) in list(self._asked.items()):
            if now - since >= self._patience:
                del self._asked[number]
                self._break(path, f"the positive control {path.name} did not arrive")

    def _break(self, path: Path, reason: str) -> None:
        path.broken = path.broken or reason
        self._in_flight -= len(path.waiting)
        path.waiting.clear()

    def _heard(self, number: int, passage: Passage) -> None:
        asked = self._asked.get(number)
        if asked is None or passage.tap is not asked.path.hearer:
            return
        del self._asked[number]
        self.slowest = max(self.slowest, time.monotonic() - asked.since)
        waiting = asked.path.waiting
        while waiting and waiting[0] <= asked.upto:
            waiting.popleft()
            self._in_flight -= 1

    def _collect(self, timeout: float) -> bool:
        """Read what has come in; wait for something if there is nothing yet."""
        events = self._poll.poll(timeout)
        if self._sent:
            self._recorder.keep(self._sent)
            self._sent = []
        for descriptor, _ in events:
            watch = self._watches[descriptor]
            if watch.role is Role.KERNEL:
                self._read_kernel(descriptor, watch)
            else:
                self._read_tap(descriptor, watch)
        return bool(events)

    def _read_tap(self, descriptor: int, watch: Watch) -> None:
        # What is done for each frame is done with local names, which are faster.
        batch, seen, queues = self._batch, self.seen, self._queues
        senders, count = self._senders, self._count
        tap, name, is_asker = watch.tap, watch.name, watch.is_asker
        is_end, is_wire = watch.role in _ENDS, watch.role is Role.WIRE
        arrived, answered, new = self.arrived, self.answered, tuple.__new__
        kept, released = [], 0
        for nanoseconds, sent, frame in self._receiver.read(descriptor):
            passage = new(Passage, (nanoseconds, tap, sent, frame))
            kept.append(passage)
            if frame[-NONCE_SIZE:-4] != batch:
                if is_asker and not sent:
                    self.unmarked.append((name, passage))
                continue
            number = int.from_bytes(frame[-4:], "big")
            if number >= count:
                if not sent:
                    self._heard(number, passage)
                continue
            seen[number].append(passage)
            if sent or is_wire:
                continue
            if is_end or frame[12:14] == ETHERTYPE_ARP:
                arrived[number] = 1
                if name == senders[number]:
                    answered[number] = 1
            queue = queues[number]
            while queue and queue[0] <= number:
                queue.popleft()
                released += 1
        self._in_flight -= released
        self._recorder.keep(kept)

    def _read_kernel(self, descriptor: int, watch: Watch) -> None:
        for nanoseconds, _, packet in self._receiver.read(descriptor):
            frame = NO_ETHERNET + packet
            passage = Passage(nanoseconds, watch.tap, sent=False, frame=frame)
            if packet[-NONCE_SIZE:-4] != self._batch:
                if watch.is_asker:
                    self.unmarked.append((watch.name, passage))
                continue
            number = int.from_bytes(packet[-4:], "big")
            if number >= self._count:
                self._heard(number, passage)
                continue
            self.taken.setdefault(number, []).append((watch.name, passage))
            self.arrived[number] = 1
            if watch.name == self._senders[number]:
                self.answered[number] = 1
            queue = self._queues[number]
            while queue and queue[0] <= number:
                queue.popleft()
                self._in_flight -= 1
