"""Gratuitous ARP: a node tells the underlay that it has an address now."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from testbed.emulation.machines import Machine

_BROADCAST = b"\xff" * 6
_ETH_P_ARP = 0x0806
_HEADER = struct.Struct("!6s6sH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_REQUEST, _REPLY = 1, 2


def announce(machine: Machine, ip: IPv4Address) -> None:
    """Broadcast an ARP reply and an ARP request in which an address names itself.

    Source: openshift/origin release-3.11 pkg/network/node/egressip.go, which runs
    ``arping -A`` and then ``arping -U``.
    """

    def send() -> None:
        kind = socket.SOCK_RAW
        with socket.socket(socket.AF_PACKET, kind, socket.htons(_ETH_P_ARP)) as wire:
            wire.bind(("eth0", _ETH_P_ARP))
            mac: bytes = wire.getsockname()[4]
            for operation in (_REPLY, _REQUEST):
                wire.send(_frame(operation, mac, ip))

    machine.call(send)


def _frame(operation: int, mac: bytes, ip: IPv4Address) -> bytes:
    ethernet = _HEADER.pack(_BROADCAST, mac, _ETH_P_ARP)
    return ethernet + _ARP.pack(
        1, 0x0800, 6, 4, operation, mac, ip.packed, _BROADCAST, ip.packed
    )
