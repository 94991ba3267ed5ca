"""``ovs-appctl`` without the fork: long-lived connections to one ovs-vswitchd.

The unixctl protocol is JSON-RPC 1.0 over a UNIX socket (ovs-appctl(8)). The ``ovs``
package has a client, but parses JSON in pure Python: 4.5 ms for the dump of one
bridge, against 0.3 ms here.

A connection takes any number of requests and answers them one by one, in order. But
ovs-vswitchd answers at most ten of a connection before it sees to its other work, so
many requests are dealt out to several connections. Source: lib/unixctl.c
"""

from __future__ import annotations

import codecs
import contextlib
import json
import select
import socket
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Self

from testbed.errors import SwitchError
from testbed.patience import patience

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

_TIMEOUT = 10.0
_CHUNK = 1 << 16
_TURN = 10
"""Requests of one connection that ovs-vswitchd answers before its other work."""
_MOST_LANES = 4
"""Connections. Measured, ten bridges: with 1, ovs-vswitchd takes 59 µs for a trace;
with 4, 48 µs; with 8, 43 µs, but each costs it ten system calls a turn when idle."""
_WINDOW = 256
"""Requests under way for one caller: they keep ovs-vswitchd busy for some 10 ms."""


class Appctl:
    """A daemon's control socket; usable as a context manager.

    Not to be shared between threads.

    Args:
        control_socket: where the daemon listens.
        timeout: seconds after which one that says nothing is taken to hang.

    Raises:
        SwitchError: nobody listens on the socket.
    """

    def __init__(self, control_socket: Path, *, timeout: float = _TIMEOUT) -> None:
        self.path = control_socket
        self._timeout = timeout
        self._poll = select.poll()
        self._lanes: list[_Lane] = []
        self._asked = 0
        self._open_lane()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections; closing twice is harmless."""
        for lane in self._lanes:
            lane.close()

    def wait_for_a_round(self) -> None:
        """Return when the daemon has begun a round of its main loop after this call.

        What a client of OpenFlow was told is done, flows translated anew included, is
        then begun. New connections are taken once a round, behind all of that; the
        first may still come into the round that is under way. Source: vswitchd/
        ovs-vswitchd.c main, lib/unixctl.c unixctl_server_run.

        Raises:
            SwitchError: the daemon hangs or died.
        """
        for _ in range(2):
            with Appctl(self.path, timeout=self._timeout) as fresh:
                fresh("version")

    def __call__(self, command: str, *arguments: str) -> str:
        """Run one command and return its output.

        Raises:
            SwitchError: the daemon refused the command, hangs or died.
        """
        (request,) = self._ask(command, [arguments])
        reply = self._reply(request)
        if isinstance(reply, SwitchError):
            raise reply
        return reply

    def pipelined(
        self, command: str, argument_lists: Iterable[Sequence[str]]
    ) -> Iterator[str | SwitchError]:
        """Run a command with each of these arguments, without waiting in between.

        The first are under way when this returns, more follow as replies are taken.
        The daemon runs them in no particular order. Any number of callers may take
        turns.

        Args:
            command: one that changes nothing, or whose order does not matter.
            argument_lists: the arguments of each time.

        Returns:
            The replies, in the order of the arguments. What the daemon refuses is a
            ``SwitchError`` in its place, and costs no other its reply.

        Raises:
            SwitchError: the daemon hangs or died.
        """
        remaining = iter(argument_lists)
        waiting = deque(self._ask(command, islice(remaining, _WINDOW)))
        return self._replies(command, remaining, waiting)

    def _replies(
        self,
        command: str,
        remaining: Iterator[Sequence[str]],
        waiting: deque[_Request],
    ) -> Iterator[str | SwitchError]:
        while waiting:
            yield self._reply(waiting.popleft())
            if len(waiting) == _WINDOW // 2:
                waiting.extend(self._ask(command, islice(remaining, _WINDOW // 2)))

    def _ask(
        self, command: str, argument_lists: Iterable[Sequence[str]]
    ) -> list[_Request]:
        requests = [_Request(command, arguments) for arguments in argument_lists]
        while len(self._lanes) < min(_MOST_LANES, len(requests) / _TURN):
            self._open_lane()
        for request in requests:
            self._lanes[self._asked % len(self._lanes)].add(request)
            self._asked += 1
        try:
            for lane in self._lanes:
                lane.send()
        except OSError as error:
            raise self._lost(command, error) from error
        return requests

    def _reply(self, request: _Request) -> str | SwitchError:
        try:
            while request.reply is None:
                ready = dict(self._poll.poll(patience(self._timeout) * 1000))
                if not ready:
                    raise TimeoutError("timed out")
                for lane in self._lanes:
                    if events := ready.get(lane.fileno()):
                        lane.exchange(events)
        except OSError as error:
            raise self._lost(request.command, error) from error
        return request.reply

    def _lost(self, command: str, error: OSError) -> SwitchError:
        return SwitchError(f"{command} on {self.path}: {error}")

    def _open_lane(self) -> None:
        try:
            self._lanes.append(_Lane(self.path, self._poll))
        except OSError as error:
            raise SwitchError(
                f"no ovs-vswitchd answers on {self.path}: {error.strerror}"
            ) from error


class _Request:
    """A command under way; its reply, once there is one."""

    __slots__ = ("arguments", "command", "reply")

    def __init__(self, command: str, arguments: Sequence[str]) -> None:
        self.command = command
        self.arguments = arguments
        self.reply: str | SwitchError | None = None


class _Lane:
    """One connection, and the requests that it has yet to answer, in order.

    It never waits: not for the daemon to read, which may itself be waiting until its
    replies are read, nor for a reply.
    """

    def __init__(self, control_socket: Path, poll: select.poll) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(control_socket))
        except OSError:
            self._socket.close()
            raise
        self._socket.settimeout(0)
        self._poll = poll
        self._poll.register(self._socket, select.POLLIN)
        self._unsent = bytearray()
        self._text = codecs.getincrementaldecoder("utf-8")()
        self._unread = ""
        self._waiting: deque[_Request] = deque()
        self._added = 0
        self._answered = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def add(self, request: _Request) -> None:
        """Have a request sent, after those before it."""
        message = {
            "id": self._added,
            "method": request.command,
            "params": request.arguments,
        }
        self._unsent += json.dumps(message).encode()
        self._waiting.append(request)
        self._added += 1

    def exchange(self, events: int) -> None:
        """Read and write as much as ``poll`` says is possible.

        Raises:
            OSError: the connection broke.
        """
        if events & select.POLLOUT:
            self.send()
        if events & ~select.POLLOUT:
            self._receive()

    def send(self) -> None:
        """Write what the daemon takes now; the rest when it takes more.

        Raises:
            OSError: the connection broke.
        """
        if not self._unsent:
            return
        with contextlib.suppress(BlockingIOError):
            del self._unsent[: self._socket.send(self._unsent)]
        events = select.POLLIN | (select.POLLOUT if self._unsent else 0)
        self._poll.modify(self._socket, events)

    def _receive(self) -> None:
        chunk = self._socket.recv(_CHUNK)
        if not chunk:
            raise ConnectionResetError("the daemon closed the connection")
        text = self._text.decode(chunk)
        self._unread += text
        if "}" not in text:
            return  # a long reply, still coming
        start = 0
        while start < len(self._unread):
            try:
                reply, start = _DECODER.raw_decode(self._unread, start)
            except json.JSONDecodeError:
                break  # the last one is still coming
            self._answer(reply)
        self._unread = self._unread[start:]

    def _answer(self, reply: dict[str, object]) -> None:
        if not self._waiting or reply["id"] != self._answered:
            raise ConnectionError(f"a reply to nothing that was asked: {reply}")
        self._answered += 1
        request = self._waiting.popleft()
        if reply["error"] is None:
            request.reply = str(reply["result"] or "")
        else:
            error = str(reply["error"]).strip()
            request.reply = SwitchError(f"{request.command}: {error}")


_DECODER = json.JSONDecoder()
