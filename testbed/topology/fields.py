"""The types of the API's fields: what each accepts, and how it says no."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import AfterValidator, PlainValidator

from testbed.topology.problem import shown

if TYPE_CHECKING:
    import enum

    E = TypeVar("E", bound=enum.StrEnum)

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_RANGE = re.compile(r"([0-9.]+)/([0-9]{1,2})")
_OFPORT = re.compile(r"[0-9]{1,5}")


def one_of(choices: type[E]) -> PlainValidator:
    """Accept the value of a member, as the API spells it."""

    def member(value: object) -> E:
        if isinstance(value, str) and value in list(choices):
            return choices(value)
        raise ValueError(f"must be {' or '.join(choices)}, not {shown(value)}")

    return PlainValidator(member)


def between(low: int, high: int) -> AfterValidator:
    """Accept a number of that range."""

    def check(value: int) -> int:
        if low <= value <= high:
            return value
        raise ValueError(f"must be {low} to {high}, not {value}")

    return AfterValidator(check)


def _name(value: str) -> str:
    if _NAME.fullmatch(value):
        return value
    raise ValueError(
        f"must be lower-case letters, digits, '-' and '.', not {shown(value)}"
    )


def _address(value: object) -> IPv4Address:
    try:
        if isinstance(value, str):
            return IPv4Address(value)
    except ValueError:
        pass
    raise ValueError(f"must be an IPv4 address, not {shown(value)}")


def _network(value: object) -> IPv4Network:
    parts = _RANGE.fullmatch(value) if isinstance(value, str) else None
    try:
        address, length = parts.groups() if parts else ("", "")
        network = IPv4Network((address, int(length)), strict=False)
    except ValueError:
        raise ValueError(
            f"must be an IPv4 network such as 10.128.0.0/14, not {shown(value)}"
        ) from None
    if str(network.network_address) != address:
        raise ValueError(f"{value} has host bits set; its network is {network}")
    if network.prefixlen > 30:
        raise ValueError(f"{value} has no room for two addresses")
    return network


def _netid(value: int) -> int:
    if value == 0 or 10 <= value < 1 << 24:
        return value
    raise ValueError(f"must be 0 or 10 to {(1 << 24) - 1}, not {value}")


def _cluster_ip(value: object) -> IPv4Address | str:
    return value if value == "None" and isinstance(value, str) else _address(value)


def _target_port(value: object) -> int | str:
    match value:
        case bool():
            pass
        case int() if 1 <= value <= 65535:
            return value
        case str() if _PORT_NAME.fullmatch(value):
            return value
    raise ValueError(
        f"must be 1 to 65535 or the name of a container's port, not {shown(value)}"
    )


def _ofport(value: object) -> int:
    if isinstance(value, str) and _OFPORT.fullmatch(value) and 3 <= int(value) < 0xFF00:
        return int(value)
    raise ValueError(f'must be "3" to "65279", in quotes, not {shown(value)}')


Name = Annotated[str, AfterValidator(_name)]
Address = Annotated[IPv4Address, PlainValidator(_address)]
Network = Annotated[IPv4Network, PlainValidator(_network)]
PortNumber = Annotated[int, between(1, 65535)]

NetID = Annotated[int, AfterValidator(_netid)]
"""A VNID; 1 to 9 are reserved. Source: openshift/origin release-3.11 pkg/network."""

ClusterIP = Annotated[IPv4Address | str, PlainValidator(_cluster_ip)]
"""An address, or the word ``None`` for a headless service."""

TargetPort = Annotated[int | str, PlainValidator(_target_port)]
"""The API's only number or string."""

OFPort = Annotated[int, PlainValidator(_ofport)]
"""An annotation's string; below 3 are vxlan0 and tun0, from 0xff00 OpenFlow's own."""
