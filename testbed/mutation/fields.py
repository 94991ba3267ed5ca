"""Which packets a match takes, as bits: enough to tell whether two matches overlap.

A match is, for each field it names, the bits that a packet must have there. A protocol
is two fields, ethertype and IP protocol.

Source: ovs-fields(7)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, NamedTuple

from testbed.errors import SwitchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_IP, _ARP = 0x0800, 0x0806
_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "sctp": 132}
_ADDRESSES = {"nw_src", "nw_dst", "arp_spa", "arp_tpa", "tun_src", "tun_dst"}
_CT_FLAGS = ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat")
_FRAGMENTS = {
    "no": (0, 3),
    "yes": (1, 1),
    "first": (1, 3),
    "later": (3, 3),
    "not_later": (0, 2),
}
_EXACT = (1 << 64) - 1
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


class Bits(NamedTuple):
    """What a field must be, as far as the mask goes."""

    value: int
    mask: int


@dataclass(frozen=True)
class Match:
    """The packets that a flow's match takes."""

    items: tuple[str, ...]

    @cached_property
    def fields(self) -> Mapping[str, Bits]:
        """The bits of each field that it names.

        Raises:
            SwitchError: an item is none of those that the SDN uses.
        """
        return dict(_fields(self.items))

    def overlaps(self, other: Match) -> bool:
        """Whether a packet could be taken by both."""
        mine, theirs = self.fields, other.fields
        return all(
            not (mine[name].value ^ theirs[name].value)
            & mine[name].mask
            & theirs[name].mask
            for name in mine.keys() & theirs.keys()
        )

    def contains(self, other: Match) -> bool:
        """Whether it takes every packet that the other does."""
        theirs = other.fields
        return all(
            name in theirs
            and theirs[name].mask & bits.mask == bits.mask
            and not (theirs[name].value ^ bits.value) & bits.mask
            for name, bits in self.fields.items()
        )


def _fields(items: Iterable[str]) -> Iterable[tuple[str, Bits]]:
    for item in items:
        name, _, value = item.partition("=")
        if name in _PROTOCOLS:
            yield "nw_proto", Bits(_PROTOCOLS[name], _EXACT)
        if name in ("ip", *_PROTOCOLS):
            yield "eth_type", Bits(_IP, _EXACT)
        elif name == "arp":
            yield "eth_type", Bits(_ARP, _EXACT)
        else:
            try:
                yield name, _bits(name, value)
            except (KeyError, ValueError) as error:
                raise SwitchError(f"cannot tell what this matches: {item}") from error


def _bits(name: str, value: str) -> Bits:
    if name in _ADDRESSES:
        network = IPv4Network(value)
        return Bits(int(network.network_address), int(network.netmask))
    if name == "ct_state":
        return _ct_state(value)
    if name == "nw_frag":
        return Bits(*_FRAGMENTS[value])
    number, _, mask = value.partition("/")
    return Bits(_number(number), _number(mask) if mask else _EXACT)


def _ct_state(value: str) -> Bits:
    bits = mask = 0
    for sign, flag in re.findall(r"([+-])([a-z]+)", value):
        bit = 1 << _CT_FLAGS.index(flag)
        mask |= bit
        bits |= bit if sign == "+" else 0
    return Bits(bits, mask)


def _number(text: str) -> int:
    return int(text.replace(":", ""), 16) if _MAC.fullmatch(text) else int(text, 0)
