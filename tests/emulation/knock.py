"""Who hears whom: run on a machine to test on, and in the machines of a testbed.

``knock.py listen FILE`` is a service that notes each knock in a file; ``knock.py from
all|here TARGETS`` knocks, and prints as JSON who was let in where. Targets are JSON:
``[[address, port], …]``.
"""

from __future__ import annotations

import contextlib
import errno
import json
import select
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PORT = 4711
NAME = f"\0testbed-{PORT}"
"""A name for a UNIX socket that is in no file system, but in a network namespace."""
PATIENCE = 1.0

Target: TypeAlias = tuple[str, int]


def listen(notes: Path) -> None:
    """Be heard on all addresses, by TCP and UDP, and under a name."""
    tcp = socket.create_server(("0.0.0.0", PORT), backlog=512)  # noqa: S104 - all
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("0.0.0.0", PORT))  # noqa: S104 - all
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(NAME)
    unix.listen()
    with notes.open("w", buffering=1) as heard:
        while True:
            for ready in select.select([tcp, udp, unix], [], [])[0]:
                if ready is udp:
                    ready.recv(99)
                else:
                    ready.accept()[0].close()
                heard.write("heard\n")


def knock(target: Target) -> socket.socket | None:
    """A TCP connection begun, with a UDP packet sent ahead of it."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        contextlib.suppress(OSError),
    ):
        udp.sendto(b"?", target)
    tcp = socket.socket()
    tcp.settimeout(0)
    return tcp if tcp.connect_ex(target) in (0, errno.EINPROGRESS) else None


def is_named() -> bool:
    """Whether somebody listens under the name."""
    with socket.socket(socket.AF_UNIX) as unix:
        return unix.connect_ex(NAME) == 0


def let_in(
    knocks: Mapping[tuple[str, Target], socket.socket | None],
) -> list[tuple[str, Target]]:
    """Which of the connections came about."""
    waiting = {tcp: who for who, tcp in knocks.items() if tcp}
    found = []
    deadline = time.monotonic() + PATIENCE
    while waiting and (rest := deadline - time.monotonic()) > 0:
        for tcp in select.select([], list(waiting), [], rest)[1]:
            who = waiting.pop(tcp)
            if tcp.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                found.append(who)
            tcp.close()
    return sorted(found)


def from_here(targets: Sequence[Target]) -> dict[str, object]:
    """Knock as the process that this is."""
    return {
        "let in": let_in({("here", target): knock(target) for target in targets}),
        "named": ["here"] if is_named() else [],
    }


def from_all(targets: Sequence[Target]) -> dict[str, object]:
    """Knock from every machine of the testbed whose sandbox this process is in."""
    from testbed.emulation import machines  # noqa: PLC0415 - not there for the others

    everyone = machines.load()

    def knocking(target: Target) -> Callable[[], socket.socket | None]:
        return lambda: knock(target)

    return {
        "let in": let_in(
            {
                (machine.name, target): machine.call(knocking(target))
                for machine in everyone
                for target in targets
            }
        ),
        "named": [machine.name for machine in everyone if machine.call(is_named)],
        "kinds": sorted({machine.kind for machine in everyone}),
    }


def main() -> None:
    """Do what the command line says."""
    match sys.argv[1:]:
        case ["listen", notes]:
            listen(Path(notes))
        case ["from", where, text]:
            targets = [(address, port) for address, port in json.loads(text)]
            found = (from_all if where == "all" else from_here)(targets)
            json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
