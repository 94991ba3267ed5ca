"""Many packets are read from a socket at once, each whole and with its time."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from testbed.probe.receive import SO_TIMESTAMPNS, Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        listener.bind(("127.0.0.1", 0))
        yield listener


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 150])
def test_all_that_waits_is_read_in_order(listener: socket.socket, count: int) -> None:
    packets = [bytes([number]) * (number + 1) for number in range(count)]
    for packet in packets:
        listener.sendto(packet, listener.getsockname())

    received = list(Receiver().read(listener.fileno()))

    assert [packet for _, _, packet in received] == packets


def test_a_large_packet_is_read_whole(listener: socket.socket) -> None:
    packet = bytes(range(256)) * 200
    listener.sendto(packet, listener.getsockname())

    ((_, _, received),) = Receiver().read(listener.fileno())

    assert received == packet


def test_each_packet_has_the_time_when_it_passed(listener: socket.socket) -> None:
    before = time.time_ns()
    listener.sendto(b"first", listener.getsockname())
    between = time.time_ns()
    listener.sendto(b"second", listener.getsockname())

    (first, _, _), (second, _, _) = Receiver().read(listener.fileno())

    assert before <= first <= between <= second <= time.time_ns()


def test_what_cannot_be_read_is_an_error() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        list(Receiver().read(-1))


def test_the_buffers_may_be_used_again(listener: socket.socket) -> None:
    receiver = Receiver()
    for packet in (b"long enough", b"short"):
        listener.sendto(packet, listener.getsockname())

        ((_, _, received),) = receiver.read(listener.fileno())

        assert received == packet
