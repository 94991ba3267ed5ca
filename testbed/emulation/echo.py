"""An echo service (RFC 862) on UDP and TCP, and on whichever ports are asked for.

Run as ``python -m testbed.emulation.echo PORT …``. Whoever says ``whoami`` is told the
address and port he is seen with, which shows what NAT did to him.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast


def _answer(said: bytes, peer: tuple[str, int]) -> bytes:
    return f"{peer[0]} {peer[1]}".encode() if said.strip() == b"whoami" else said


class _Udp(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(_answer(data, addr), addr)


async def _tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    peer = writer.get_extra_info("peername")
    while said := await reader.read(1 << 16):
        writer.write(_answer(said, peer))
        await writer.drain()
    writer.close()


async def _serve(ports: list[int]) -> None:
    loop = asyncio.get_running_loop()
    for port in ports:
        await loop.create_datagram_endpoint(_Udp, local_addr=("0.0.0.0", port))  # noqa: S104 - inside a namespace
        await asyncio.start_server(_tcp, "0.0.0.0", port)  # noqa: S104 - as above
    await loop.create_future()


if __name__ == "__main__":
    asyncio.run(_serve([int(port) for port in sys.argv[1:]]))
