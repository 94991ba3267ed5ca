"""Conversations through the kernels of places: echo servers, and questions to them."""

from __future__ import annotations

import contextlib
import socket
from contextvars import ContextVar
from typing import TYPE_CHECKING

from testbed.emulation import echo
from testbed.patience import patience

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from ipaddress import IPv4Address

    from testbed.probe.places import Place

ECHO_PORT = 7
_PATIENCE = ContextVar("patience", default=3.0)
"""Seconds that an answer may take."""
_LONGEST = 1 << 10


@contextlib.contextmanager
def echoing(
    places: Iterable[Place], ports: Iterable[int] = (ECHO_PORT,)
) -> Iterator[None]:
    """Echo at places, on UDP and TCP, for the length of a ``with`` block.

    Raises:
        OSError: a port is taken.
    """
    with echo.echoing([place.machine for place in places], ports):
        yield


@contextlib.contextmanager
def impatient(seconds: float) -> Iterator[None]:
    """Have ``ask`` wait no longer than this, for the length of a ``with`` block."""
    token = _PATIENCE.set(seconds)
    try:
        yield
    finally:
        _PATIENCE.reset(token)


def ask(
    place: Place, ip: IPv4Address, port: int, question: str, *, udp: bool = False
) -> str:
    """What an echo service answers to a place, over a connection of its own.

    Args:
        place: who asks.
        ip: whom.
        port: the service's port.
        question: ``whoami`` or ``hostname``; all else comes back.
        udp: whether to ask over UDP instead of TCP.

    Raises:
        OSError: nobody answers, or somebody refuses.
    """
    seconds = patience(_PATIENCE.get())

    def converse() -> str:
        kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, kind) as client:
            client.settimeout(seconds)
            client.connect((str(ip), port))
            client.sendall(question.encode())
            return client.recv(_LONGEST).decode()

    return place.machine.call(converse)


def say(place: Place, ip: IPv4Address, port: int, words: bytes) -> None:
    """Send a UDP datagram from a place, and wait for nothing."""

    def speak() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(words, (str(ip), port))

    place.machine.call(speak)
