"""What the taps could not keep is counted, and what they kept is found."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from testbed.probe.recorder import Recorder, Sighting, Tap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.probe import LiveCluster

SIZE = 10


@pytest.fixture
def tap(cluster: LiveCluster) -> Tap:
    """Another tap at a pod's eth0."""
    pod = cluster.pods[0]
    return Tap.open(pod.machine, "eth0", "another")


@pytest.fixture
def small(tap: Tap) -> Iterator[Recorder]:
    """A recorder with room for ten frames; closes the tap."""
    with Recorder([tap], size=SIZE) as recorder:
        yield recorder


def send(recorder: Recorder, tap: Tap, number: int) -> bytes:
    """Send a frame that nobody takes."""
    frame = bytes(Ether(dst="02:00:00:00:00:01", type=0x88B5) / Raw(bytes([number])))
    recorder.send(tap, frame)
    return frame


def test_the_last_frames_are_kept_and_the_others_counted(
    small: Recorder, tap: Tap
) -> None:
    frames = [send(small, tap, number) for number in range(SIZE + 3)]

    assert [seen.frame for seen in small.sightings(b"\x88\xb5")] == frames[3:]
    assert small.lost()[tap] >= 3


def test_what_was_forgotten_on_purpose_is_not_lost(small: Recorder, tap: Tap) -> None:
    for number in range(SIZE + 3):
        send(small, tap, number)

    small.clear()

    assert small.lost() == {}


def test_a_frame_is_found_though_the_ring_has_gone_round(
    small: Recorder, tap: Tap
) -> None:
    for number in range(SIZE * 3):
        send(small, tap, number)
    looking = threading.Event()

    def wanted(seen: Sighting) -> bool:
        looking.set()
        return b"\x88\xb5\xff" in seen.frame

    def send_it() -> None:
        looking.wait(5)
        send(small, tap, 0xFF)

    late = threading.Thread(target=send_it)
    late.start()
    found = small.wait_for(wanted, timeout=5)

    late.join()
    assert found


def test_frames_that_the_kernel_had_no_room_for_are_counted(tap: Tap) -> None:
    sender = Tap.open(tap.machine, "eth0", "sender")
    with Recorder([tap]) as recorder, sender.socket:
        with recorder._news:  # nobody reads meanwhile
            frame = bytes(Ether(dst="02:00:00:00:00:01", type=0x88B5) / (b"x" * 1400))
            sender.socket.settimeout(5)
            for _ in range(8_000):
                sender.socket.send(frame)

        assert recorder.lost()[tap] > 0


def test_times_are_whole_nanoseconds_in_order(small: Recorder, tap: Tap) -> None:
    for number in range(3):
        send(small, tap, number)

    times = [seen.nanoseconds for seen in small.sightings(b"\x88\xb5")]

    assert times == sorted(times)
    assert all(isinstance(time, int) for time in times)
