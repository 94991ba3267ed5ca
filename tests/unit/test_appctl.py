"""Many requests under way at once, to a daemon made by hand."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from testbed.errors import SwitchError
from testbed.ovs import Appctl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Serve: TypeAlias = Callable[[socket.socket], None]

WINDOW = 256


@contextlib.contextmanager
def daemon(path: Path, serve: Serve) -> Iterator[Path]:
    """Serve each connection in a thread of its own, until the client ends it."""
    control_socket = path / "daemon.ctl"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(control_socket))
        listener.listen()
        threads: list[threading.Thread] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    thread = threading.Thread(target=serving, args=[connection])
                    thread.start()
                    threads.append(thread)

        def serving(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                serve(connection)

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield control_socket
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for thread in [accepting, *threads]:
                thread.join()


def requests(connection: socket.socket) -> Iterator[dict[str, Any]]:
    """What is asked, until the client ends the connection."""
    text = ""
    while chunk := connection.recv(1 << 16):
        text += chunk.decode()
        *whole, text = re.split(r"(?<=\]\})", text)
        yield from map(json.loads, whole)


def answer(connection: socket.socket, request: dict[str, Any], result: str) -> None:
    reply = {"id": request["id"], "result": result, "error": None}
    connection.sendall(json.dumps(reply, ensure_ascii=False).encode())


def echo(connection: socket.socket) -> None:
    for request in requests(connection):
        argument = request["params"][0]
        if argument == "no":
            refusal = {"id": request["id"], "result": None, "error": "not that one\n"}
            connection.sendall(json.dumps(refusal).encode())
        else:
            answer(connection, request, argument)


def test_replies_are_in_the_order_of_the_arguments(tmp_path: Path) -> None:
    numbers = [str(number) for number in range(10 * WINDOW)]

    with daemon(tmp_path, echo) as path, Appctl(path) as appctl:
        assert list(appctl.pipelined("echo", ([n] for n in numbers))) == numbers


def test_what_is_refused_costs_no_other_its_reply(tmp_path: Path) -> None:
    with daemon(tmp_path, echo) as path, Appctl(path) as appctl:
        first, refused, last = appctl.pipelined("echo", [["a"], ["no"], ["b"]])

    assert (first, last) == ("a", "b")
    assert isinstance(refused, SwitchError)
    assert str(refused) == "echo: not that one"


def test_no_more_is_asked_than_the_window_takes(tmp_path: Path) -> None:
    arguments = iter([str(number)] for number in range(10 * WINDOW))

    with daemon(tmp_path, echo) as path, Appctl(path) as appctl:
        replies = appctl.pipelined("echo", arguments)
        assert next(arguments) == [str(WINDOW)]

        assert next(replies) == "0"
        assert next(arguments) == [str(WINDOW + 1)]


def test_the_first_are_under_way_before_a_reply_is_taken(tmp_path: Path) -> None:
    asked = threading.Event()

    def notice(connection: socket.socket) -> None:
        for _ in requests(connection):
            asked.set()

    with daemon(tmp_path, notice) as path, Appctl(path) as appctl:
        replies = appctl.pipelined("echo", [["a"]])
        assert asked.wait(timeout=10)
        del replies


def test_callers_take_turns_on_one_connection(tmp_path: Path) -> None:
    with daemon(tmp_path, echo) as path, Appctl(path) as appctl:
        one = appctl.pipelined("echo", ([f"one {n}"] for n in range(WINDOW)))
        other = appctl.pipelined("echo", ([f"other {n}"] for n in range(WINDOW)))
        assert next(other) == "other 0"
        assert appctl("echo", "single") == "single"

        assert list(one) == [f"one {n}" for n in range(WINDOW)]
        assert list(other) == [f"other {n}" for n in range(1, WINDOW)]


def test_replies_that_nobody_takes_disturb_no_other(tmp_path: Path) -> None:
    with daemon(tmp_path, echo) as path, Appctl(path) as appctl:
        left = appctl.pipelined("echo", ([f"left {n}"] for n in range(WINDOW)))
        assert next(left) == "left 0"
        del left

        assert appctl("echo", "mine") == "mine"


def test_few_requests_take_one_connection_and_many_are_dealt_out(
    tmp_path: Path,
) -> None:
    served: list[list[str]] = []

    def counted(connection: socket.socket) -> None:
        mine: list[str] = []
        served.append(mine)
        for request in requests(connection):
            mine.append(request["method"])
            answer(connection, request, "")

    with daemon(tmp_path, counted) as path, Appctl(path) as appctl:
        assert len(list(appctl.pipelined("few", [["a"]] * 10))) == 10
        assert len(served) == 1

        assert len(list(appctl.pipelined("many", [["a"]] * 1000))) == 1000
        assert [mine.count("many") for mine in served] == [250] * 4


def test_a_reply_in_pieces_is_put_together(tmp_path: Path) -> None:
    may_go_on = threading.Event()
    text = 'a {"brace": "}"} and an ä'

    def in_pieces(connection: socket.socket) -> None:
        first, second = islice(requests(connection), 2)
        reply = {"id": second["id"], "result": text, "error": None}
        before, umlaut, after = json.dumps(reply, ensure_ascii=False).partition("ä")
        whole = json.dumps({"id": first["id"], "result": "", "error": None})
        connection.sendall(f"{whole}{before}".encode() + umlaut.encode()[:1])
        may_go_on.wait(timeout=10)
        connection.sendall(umlaut.encode()[1:] + after.encode())
        connection.recv(1)

    with daemon(tmp_path, in_pieces) as path, Appctl(path) as appctl:
        replies = appctl.pipelined("get", [["a"], ["b"]])
        assert [next(replies)] == [""]
        may_go_on.set()
        assert next(replies) == text


def test_neither_side_waits_for_the_other_to_read(tmp_path: Path) -> None:
    """A daemon that reads no more while its replies are not taken."""
    long = "x" * (1 << 18)

    with daemon(tmp_path, echo) as path, Appctl(path) as appctl:
        assert set(appctl.pipelined("echo", [[long]] * 64)) == {long}


def test_a_daemon_that_dies_is_an_error_after_the_replies_it_gave(
    tmp_path: Path,
) -> None:
    def die_early(connection: socket.socket) -> None:
        asked = requests(connection)
        for request, _ in zip(asked, range(3), strict=False):
            answer(connection, request, "alive")

    with daemon(tmp_path, die_early) as path, Appctl(path) as appctl:
        replies = appctl.pipelined("echo", [["a"]] * 5)

        assert [next(replies) for _ in range(3)] == ["alive"] * 3
        with pytest.raises(SwitchError, match=r"closed the connection|reset by peer"):
            next(replies)


def test_a_reply_to_another_request_is_an_error(tmp_path: Path) -> None:
    def confused(connection: socket.socket) -> None:
        for request in requests(connection):
            answer(connection, request | {"id": 7}, "to whom?")

    with (
        daemon(tmp_path, confused) as path,
        Appctl(path) as appctl,
        pytest.raises(SwitchError, match="to whom"),
    ):
        list(appctl.pipelined("echo", [["a"]]))


def test_a_late_reply_is_not_taken_for_anothers(tmp_path: Path) -> None:
    may_answer = threading.Event()

    def late(connection: socket.socket) -> None:
        for request in requests(connection):
            may_answer.wait(timeout=10)
            answer(connection, request, request["params"][0])

    with daemon(tmp_path, late) as path, Appctl(path, timeout=1) as appctl:
        with pytest.raises(SwitchError, match=r"echo .* timed out"):
            appctl("echo", "first")

        may_answer.set()
        assert appctl("echo", "second") == "second"


def test_nobody_can_be_asked_once_it_is_closed(tmp_path: Path) -> None:
    with daemon(tmp_path, echo) as path:
        appctl = Appctl(path)
        appctl.close()
        appctl.close()

        with pytest.raises(SwitchError):
            appctl("echo", "a")
        with pytest.raises(SwitchError):
            list(appctl.pipelined("echo", [["a"]]))
