"""The sockets that are read while probes are under way, and what each can tell."""

from __future__ import annotations

import enum
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from testbed.probe.places import Places
    from testbed.probe.recorder import Tap
    from testbed.probe.stacks import Stack
    from testbed.probe.whereabouts import Whereabouts

_SO_MEMINFO = 55
_MEMINFO = struct.Struct("@9I")
_DROPS = 8
"""The last of a socket's numbers: the packets it had no room for. Source: socket(7)."""


class Role(enum.Enum):
    """What a tap is to its place.

    What comes in at a pod's eth0 is the pod's; at a machine outside, what is for its
    address; at a node, what its ``KERNEL`` says that it took. At ``TUN0`` and ``WIRE``
    a node's kernel and its bridges meet others.
    """

    POD = enum.auto()
    HOST = enum.auto()
    TUN0 = enum.auto()
    WIRE = enum.auto()
    KERNEL = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Watch:
    """A socket that is read while probes are under way.

    Attributes:
        tap: what is read.
        name: the place whose tap it is.
        role: what it is to the place.
        own: the place's own addresses, as they are on the wire.
        is_asker: whether the place is sent answers that have no nonce.
    """

    tap: Tap
    name: str
    role: Role
    own: frozenset[bytes] = frozenset()
    is_asker: bool = False

    @property
    def dropped(self) -> int:
        """How many packets the socket has had no room for."""
        numbers = self.tap.socket.getsockopt(
            socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size
        )
        return int(_MEMINFO.unpack(numbers)[_DROPS])


def watches(
    places: Places,
    whereabouts: Whereabouts,
    stacks: Mapping[str, Stack],
    *,
    askers: Collection[str],
    wires: bool,
) -> Iterator[Watch]:
    """Yield all that is to be read.

    Args:
        places: whose taps.
        whereabouts: which addresses are a node's own.
        stacks: the kernels that are listened to.
        askers: the places that are sent answers without nonce.
        wires: whether to read the nodes' wires, too.
    """
    for pod in places.pods:
        yield Watch(
            tap=pod.tap, name=pod.name, role=Role.POD, is_asker=pod.name in askers
        )
    for host in (*places.external_hosts, *places.rogues, *places.ghosts):
        yield Watch(
            tap=host.tap,
            name=host.name,
            role=Role.HOST,
            own=frozenset({host.ip.packed}),
            is_asker=host.name in askers,
        )
    for node in places.nodes:
        own = whereabouts.own(whereabouts.cluster.node(node.name))
        taps = {Role.TUN0: node.tap} | ({Role.WIRE: node.wire} if wires else {})
        for role, tap in taps.items():
            yield Watch(
                tap=tap,
                name=node.name,
                role=role,
                own=frozenset(ip.packed for ip in own),
                is_asker=node.name in askers,
            )
    for stack in stacks.values():
        name = stack.place.name
        for tap in stack.taps.values():
            yield Watch(tap=tap, name=name, role=Role.KERNEL, is_asker=name in askers)
