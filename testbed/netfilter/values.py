"""Numbers, marks and addresses as iptables spells them."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address
from typing import Final

from testbed.netfilter.arguments import UnreadableRuleError

ALL_ONES: Final = 0xFFFFFFFF
_HIGHEST_PORT: Final = 0xFFFF


class NotUnderstoodError(ValueError):
    """Something that ``iptables`` may well take, but that is not understood here."""


def number(text: str, highest: int) -> int:
    """A number, decimal or as ``0x…``.

    Raises:
        NotUnderstoodError: it is a name.
        UnreadableRuleError: it is higher than that, or below 0.
    """
    try:
        value = int(text, 0)
    except ValueError as error:
        raise NotUnderstoodError from error
    if not 0 <= value <= highest:
        raise UnreadableRuleError(f"{text} is not between 0 and {highest}")
    return value


def value_and_mask(text: str) -> tuple[int, int]:
    """``0x1/0x1``, or a value alone, which means all 32 bits."""
    value, slash, mask = text.partition("/")
    return number(value, ALL_ONES), number(mask, ALL_ONES) if slash else ALL_ONES


def network(text: str) -> tuple[int, int]:
    """Value and mask of ``10.0.0.0/8`` or ``10.0.0.0/255.0.0.0``; any mask will do.

    Raises:
        NotUnderstoodError: it is a name, which only the node can look up.
    """
    address, slash, length = text.partition("/")
    if not slash:
        mask = ALL_ONES
    elif length.isdecimal():
        mask = ALL_ONES << (32 - number(length, 32)) & ALL_ONES
    else:
        mask = _address(length)
    return _address(address) & mask, mask


def address_range(text: str) -> tuple[int, int]:
    """First and last of ``10.0.0.1-10.0.0.9``, or of one address.

    Raises:
        NotUnderstoodError: it is neither.
    """
    first, dash, last = text.partition("-")
    low = _address(first)
    return low, _address(last) if dash else low


def port_range(text: str, separator: str = ":") -> tuple[int, int]:
    """First and last of ``80``, ``1024:65535``, ``:1023`` or ``1024:``."""
    first, between, last = text.partition(separator)
    low = number(first or "0", _HIGHEST_PORT)
    if not between:
        return low, low
    return low, number(last or str(_HIGHEST_PORT), _HIGHEST_PORT)


def _address(text: str) -> int:
    try:
        return int(IPv4Address(text))
    except AddressValueError as error:
        raise NotUnderstoodError from error
