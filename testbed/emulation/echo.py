"""An echo service (RFC 862) on UDP and TCP, and on whichever ports are asked for.

Who says ``whoami`` is told the address and port he is seen with, which shows what NAT
did to him; who says ``hostname`` is told who answers, which shows whom a service chose.

``python -m testbed.emulation.echo PORT …`` serves where it is run. ``echoing`` serves
in any number of machines at once, without a process in each.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import sys
import threading
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from testbed.emulation.machines import Machine


@contextlib.contextmanager
def echoing(machines: Iterable[Machine], ports: Iterable[int]) -> Iterator[None]:
    """Echo in machines until the ``with`` block ends; ``hostname`` is the machine's.

    Args:
        machines: where it is served.
        ports: on which ports of each, on UDP and TCP.

    Raises:
        OSError: a port is taken.
    """
    with contextlib.ExitStack() as stack, asyncio.Runner() as runner:
        listeners = [
            listener
            for machine in machines
            for listener in machine.call(
                functools.partial(_listeners, stack, machine.name, ports)
            )
        ]
        end = asyncio.Event()
        thread = threading.Thread(target=runner.run, args=(_serve(listeners, end),))
        loop = runner.get_loop()
        thread.start()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(end.set)
            thread.join()


class _Listener(NamedTuple):
    hostname: str
    tcp: socket.socket
    udp: socket.socket


def _listeners(
    stack: contextlib.ExitStack, hostname: str, ports: Iterable[int]
) -> list[_Listener]:
    """Listen on these ports of the network namespace that the thread is in."""
    listeners = []
    for port in ports:
        tcp = stack.enter_context(socket.socket(type=socket.SOCK_STREAM))
        udp = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for listener in (tcp, udp):
            listener.bind(("0.0.0.0", port))  # noqa: S104 - inside a namespace
        tcp.listen()
        listeners.append(_Listener(hostname, tcp, udp))
    return listeners


async def _serve(listeners: Iterable[_Listener], end: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        for hostname, tcp, udp in listeners:
            transport, _ = await loop.create_datagram_endpoint(
                functools.partial(_Udp, hostname), sock=udp
            )
            stack.callback(transport.close)
            server = await asyncio.start_server(
                functools.partial(_tcp, hostname), sock=tcp
            )
            stack.callback(server.close)
        await end.wait()


def _answer(said: bytes, peer: tuple[str, int], hostname: str) -> bytes:
    match said.strip():
        case b"whoami":
            return f"{peer[0]} {peer[1]}".encode()
        case b"hostname":
            return hostname.encode()
    return said


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, hostname: str) -> None:
        self._hostname = hostname

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(_answer(data, addr, self._hostname), addr)


async def _tcp(
    hostname: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    peer = writer.get_extra_info("peername")
    with contextlib.suppress(ConnectionError), contextlib.closing(writer):
        while said := await reader.read(1 << 16):
            writer.write(_answer(said, peer, hostname))
            await writer.drain()


def _main() -> None:
    with contextlib.ExitStack() as stack:
        ports = [int(port) for port in sys.argv[1:]]
        listeners = _listeners(stack, socket.gethostname(), ports)
        asyncio.run(_serve(listeners, asyncio.Event()))


if __name__ == "__main__":
    _main()
