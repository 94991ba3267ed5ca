"""The types of the API's fields: what each accepts, and how it says no."""

from __future__ import annotations

import re
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import AfterValidator, PlainValidator

from testbed.topology.problem import shown

if TYPE_CHECKING:
    import enum

    E = TypeVar("E", bound=enum.StrEnum)

_PORT_NAME = re.compile(r"(?!.*--)(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_RANGE = re.compile(r"([0-9.]+)/([0-9]{1,2})")
_OFPORT = re.compile(r"[0-9]{1,5}")
_COOKIE = re.compile(r"0x[0-9a-f]{1,8}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_QUANTITY = re.compile(r"([0-9]+|[0-9]*\.[0-9]+)([eE][0-9]{1,2}|[kMGTP]|[KMGTP]i|)")
_DOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


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
    if _is_domain(value):
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


def _any_range(value: object) -> IPv4Network:
    parts = _RANGE.fullmatch(value) if isinstance(value, str) else None
    try:
        address, length = parts.groups() if parts else ("", "")
        return IPv4Network((address, int(length)), strict=False)
    except ValueError:
        raise ValueError(
            f"must be an IPv4 network such as 10.128.0.0/14, not {shown(value)}"
        ) from None


def _range(value: object) -> IPv4Network:
    network = _any_range(value)
    if str(network.network_address) != str(value).partition("/")[0]:
        raise ValueError(f"{value} has host bits set; its network is {network}")
    return network


def _network(value: object) -> IPv4Network:
    network = _range(value)
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


def _vnid_text(value: object) -> int:
    if isinstance(value, str) and value.isdecimal() and int(value) < 1 << 24:
        return int(value)
    raise ValueError(f'must be "0" to "{(1 << 24) - 1}", in quotes, not {shown(value)}')


def _cookie(value: object) -> int:
    if isinstance(value, str) and _COOKIE.fullmatch(value):
        return int(value, 16)
    raise ValueError(f'must be "0x0" to "0xffffffff", in quotes, not {shown(value)}')


def _mac(value: object) -> str:
    # The lowest bit of the first octet means many.
    if isinstance(value, str) and _MAC.fullmatch(value) and not int(value[:2], 16) & 1:
        return value
    raise ValueError(
        f'must be one machine\'s MAC such as "0e:58:0a:80:00:01", not {shown(value)}'
    )


def _true(value: object) -> bool:
    if isinstance(value, str):
        return value == "true"
    raise ValueError(f'must be a string such as "true", not {shown(value)}')


def _bandwidth(value: object) -> int:
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError(
            f"must be bits per second such as 10M, in quotes, not {shown(value)}"
        )
    number, unit = found.groups()
    if unit[:1] in ("e", "E"):
        factor = Decimal(10) ** int(unit[1:])
    elif unit:
        base = 1024 if unit.endswith("i") else 1000
        factor = Decimal(base) ** (1 + "kMGTP".index(unit[0].replace("K", "k")))
    else:
        factor = Decimal(1)
    bits = Decimal(number) * factor
    if not 1000 <= bits <= Decimal(10) ** 15:
        raise ValueError(f"must be 1k to 1P, not {value}")
    return int(bits)


def _dns_name(value: str) -> str:
    if _is_domain(value):
        return value
    raise ValueError(f"must be a DNS name such as www.example.com, not {shown(value)}")


def _is_domain(value: str) -> bool:
    return len(value) <= 253 and _DOMAIN.fullmatch(value) is not None


def _label_key(value: str) -> str:
    domain, slash, name = value.rpartition("/")
    if name and _LABEL_VALUE.fullmatch(name) and (not slash or _is_domain(domain)):
        return value
    raise ValueError("must be a label's key, such as app or example.com/app")


def _label_value(value: str) -> str:
    if _LABEL_VALUE.fullmatch(value):
        return value
    raise ValueError(
        "must be at most 63 letters, digits, '-', '_' and '.', with a letter or digit "
        f"at both ends, not {shown(value)}"
    )


Name = Annotated[str, AfterValidator(_name)]
Address = Annotated[IPv4Address, PlainValidator(_address)]
Network = Annotated[IPv4Network, PlainValidator(_network)]
"""A range for machines, as a subnet."""

Range = Annotated[IPv4Network, PlainValidator(_range)]
"""A range of any size, down to one address."""

AnyRange = Annotated[IPv4Network, PlainValidator(_any_range)]
"""A range of which the API accepts any address as its name."""

PortNumber = Annotated[int, between(1, 65535)]

NetID = Annotated[int, AfterValidator(_netid)]
"""A VNID; 1 to 9 are reserved. Source: openshift/origin release-3.11 pkg/network."""

ClusterIP = Annotated[IPv4Address | str, PlainValidator(_cluster_ip)]
"""An address, or the word ``None`` for a headless service."""

TargetPort = Annotated[int | str, PlainValidator(_target_port)]
"""The API's only number or string."""

OFPort = Annotated[int, PlainValidator(_ofport)]
"""An annotation's string; below 3 are vxlan0 and tun0, from 0xff00 OpenFlow's own."""

VNIDText = Annotated[int, PlainValidator(_vnid_text)]
"""An annotation's string that holds a VNID."""

Cookie = Annotated[int, PlainValidator(_cookie)]
"""An annotation's string that holds a flow's cookie, as OVS prints it."""

MAC = Annotated[str, PlainValidator(_mac)]
"""An annotation's string that holds a MAC, in lower case."""

TrueText = Annotated[bool, PlainValidator(_true)]
"""An annotation's string; anything but ``true`` means no."""

Bandwidth = Annotated[int, PlainValidator(_bandwidth)]
"""An annotation's string in bits/s. Source: kubernetes release-1.11
pkg/util/bandwidth/utils.go and apimachinery's resource.Quantity."""

DNSName = Annotated[str, AfterValidator(_dns_name)]

LabelKey = Annotated[str, AfterValidator(_label_key)]
LabelValue = Annotated[str, AfterValidator(_label_value)]
Labels = dict[LabelKey, LabelValue]
"""Source: kubernetes release-1.11 apimachinery's validation.IsQualifiedName and
IsValidLabelValue."""
