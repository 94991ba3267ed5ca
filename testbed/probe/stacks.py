"""Kernels that send for their machines, and tell what they take for themselves.

A packet socket sees what comes in at an interface; what becomes of it there, it does
not see. A raw IP socket gets a copy of what its kernel delivers locally, after all
chains of iptables, INPUT last. So a node has received what its raw socket got, and what
came in and did not come there was forwarded, rejected or dropped.

One thing changes by being watched so: to SCTP a kernel without its module would answer
"protocol unreachable", and does not where a raw socket takes it. Source: raw(7).
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.model import Transport
from testbed.probe.filters import all_but_udp_port, attach_filter
from testbed.probe.receive import SO_TIMESTAMPNS
from testbed.probe.recorder import Tap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from testbed.probe.places import Place

NO_ETHERNET = bytes(12) + b"\x08\x00"
"""What lo has for an Ethernet header, put before the packets of a raw socket."""

_PROTOCOLS = {
    Transport.ICMP: socket.IPPROTO_ICMP,
    Transport.TCP: socket.IPPROTO_TCP,
    Transport.UDP: socket.IPPROTO_UDP,
    Transport.SCTP: socket.IPPROTO_SCTP,
}
_RECEIVE_BUFFER = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A machine's IP stack, open for sending and for seeing what it takes.

    Attributes:
        place: whose it is.
        sender: takes whole IP packets; routes and OUTPUT chains hold for them.
        taps: what it delivers to its own machine, a tap for each transport.
    """

    place: Place
    sender: socket.socket
    taps: Mapping[Transport, Tap]


@contextlib.contextmanager
def stacks(
    places: Iterable[Place], transports: Iterable[Transport], *, vxlan_port: int
) -> Iterator[dict[str, Stack]]:
    """Open the stacks of places for the length of a ``with`` block.

    They come by the names of the places' machines.

    Args:
        places: whose.
        transports: what will be sent; ICMP is watched in any case, for answers.
        vxlan_port: where tunnels come in, which are for Open vSwitch; what a node's
            kernel does for it is not what the node takes.
    """
    watched = [item for item in _PROTOCOLS if item in {Transport.ICMP, *transports}]
    with contextlib.ExitStack() as stack:
        yield {
            place.machine.name: _open(stack, place, watched, vxlan_port)
            for place in places
        }


def _open(
    stack: contextlib.ExitStack,
    place: Place,
    watched: list[Transport],
    vxlan_port: int,
) -> Stack:
    def sockets() -> tuple[socket.socket, list[socket.socket]]:
        return _sender(), [_listener(item, vxlan_port) for item in watched]

    sender, listeners = place.machine.call(sockets)
    for item in (sender, *listeners):
        stack.enter_context(item)
    label = f"{place.name} kernel"
    return Stack(
        place=place,
        sender=sender,
        taps={
            transport: Tap(place.machine, "", label, listener)
            for transport, listener in zip(watched, listeners, strict=True)
        },
    )


def _sender() -> socket.socket:
    sender = socket.socket(
        socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_RAW
    )
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    return sender


def _listener(transport: Transport, vxlan_port: int) -> socket.socket:
    listener = socket.socket(
        socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _PROTOCOLS[transport]
    )
    if transport is Transport.UDP:
        attach_filter(listener, all_but_udp_port(vxlan_port))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return listener
