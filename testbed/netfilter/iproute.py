"""What ``ip address`` and ``ip route`` print, as text or JSON, read into values.

Text is brought into the form of the JSON first, so that both are read in one way.

Source: iproute2 ip/ipaddress.c, ip/iproute.c
"""

from __future__ import annotations

import itertools
import json
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from testbed.errors import DumpError
from testbed.netfilter.links import (
    EVERYWHERE,
    MAIN,
    Address,
    Interface,
    NextHop,
    Route,
    RouteType,
    Scope,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_INTERFACE: Final = re.compile(r"\d+: ([^:@\s]+)(?:@\S+)?: <")
_KEYS: Final = {
    "via": "gateway",
    "dev": "dev",
    "table": "table",
    "proto": "protocol",
    "scope": "scope",
    "src": "prefsrc",
    "metric": "metric",
    "weight": "weight",
    "tos": "tos",
    "pref": "pref",
    "brd": "broadcast",
    "peer": "address",
    "master": "master",
}
"""Words that lead packets and have a value, and the keys of their values in JSON."""
_FLAGS: Final = ("dead", "secondary")
_TYPES: Final = {str(kind) for kind in RouteType}
_TABLE_NUMBERS: Final = {"253": "default", "254": "main", "255": "local"}
_NO_TOS: Final = (None, "0", "0x0", "0x00", "default")

_T = TypeVar("_T")


class _Entry(NamedTuple):
    """An address or a route in the form of JSON, and where it was read."""

    place: str
    values: dict[str, Any]


def parse_addresses(text: str, source: str = "ip address") -> tuple[Interface, ...]:
    """Read the output of ``ip address``.

    Raises:
        DumpError: it is something else.
    """
    if _is_json(text):
        entries = _json_entries(text, source)
    else:
        entries = list(_interface_entries(text, source))
    return tuple(_made(_interface, entry) for entry in entries)


def parse_routes(text: str, source: str = "ip route") -> tuple[Route, ...]:
    """Read the output of ``ip route show``, with or without ``table all``.

    Raises:
        DumpError: it is something else.
    """
    if _is_json(text):
        entries = _json_entries(text, source)
    else:
        entries = list(_route_entries(text, source))
    routes = [_made(_route, entry) for entry in entries]
    return tuple(route for route in routes if route is not None)


def route_of(words: Sequence[str]) -> Route | None:
    """The route that words as ``10.0.0.0/8 via 10.1.1.1 dev eth0`` tell of.

    ``None`` for one that no plain IPv4 packet takes: of IPv6, or of a type of service.

    Raises:
        ValueError: they tell of none.
    """
    return _route({"words": words})


def address_of(words: Sequence[str]) -> Address:
    """The address that words as ``10.1.1.2/24 brd 10.1.1.255 scope global`` tell of.

    Raises:
        ValueError: they tell of none.
    """
    local, slash, length = words[0].partition("/")
    values = _values(words)
    if not slash and "address" in values:
        values["address"], _, length = values["address"].partition("/")
    return _address({"local": local, "prefixlen": int(length or "32"), **values})


def _is_json(text: str) -> bool:
    return text.lstrip().startswith("[")


def _json_entries(text: str, source: str) -> list[_Entry]:
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise DumpError(f"{source}:{error.lineno}: {error.msg}") from error
    return [
        _Entry(f"{source}: entry {number}", entry)
        for number, entry in enumerate(entries, start=1)
        if entry  # of what it was told to leave out, ip -json leaves {}
    ]


def _interface_entries(text: str, source: str) -> Iterator[_Entry]:
    entry: _Entry | None = None
    for place, line in _lines(text, source):
        words = line.split()
        found = _INTERFACE.match(line)
        if found:
            if entry:
                yield entry
            values = {"ifname": found[1], "addr_info": [], **_values(words)}
            entry = _Entry(place, values)
        elif entry is None or not line[0].isspace():
            raise DumpError(f"{place}: this is no interface: {line}")
        elif words[0] == "inet":
            entry.values["addr_info"].append(words[1:])
    if entry:
        yield entry


def _route_entries(text: str, source: str) -> Iterator[_Entry]:
    entry: _Entry | None = None
    for place, line in _lines(text, source):
        words = line.split()
        if not line[0].isspace():
            if entry:
                yield entry
            entry = _Entry(f"{place}: {line}", {"words": words})
        elif words[0] == "nexthop" and entry:
            entry.values.setdefault("nexthops", []).append(_values(words))
    if entry:
        yield entry


def _lines(text: str, source: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith(">"):
            yield f"{source}:{number}", line


def _route_values(words: Sequence[str]) -> dict[str, Any]:
    kind, *rest = words if words[0] in _TYPES else ("unicast", *words)
    return {"type": kind, "dst": rest[0], **_values(rest)}


def _values(words: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {"flags": [word for word in words if word in _FLAGS]}
    for word, value in itertools.pairwise(words):
        if word in _KEYS and value not in ("inet", "inet6"):
            values[_KEYS[word]] = value
    return values


def _made(make: Callable[[dict[str, Any]], _T], entry: _Entry) -> _T:
    try:
        return make(entry.values)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DumpError(f"{entry.place}: cannot read this: {error}") from error


def _interface(values: dict[str, Any]) -> Interface:
    return Interface(
        name=values["ifname"],
        addresses=tuple(
            address_of(info) if isinstance(info, list) else _address(info)
            for info in values.get("addr_info", [])
            if isinstance(info, list) or info.get("family") == "inet"
        ),
        master=values.get("master"),
    )


def _address(values: dict[str, Any]) -> Address:
    on_link = values.get("address", values["local"])
    broadcast = values.get("broadcast")
    return Address(
        ip=IPv4Address(values["local"]),
        network=IPv4Network(f"{on_link}/{values['prefixlen']}", strict=False),
        scope=_scope(values),
        is_secondary=bool(
            values.get("secondary") or "secondary" in values.get("flags", ())
        ),
        broadcast=None if broadcast is None else IPv4Address(broadcast),
    )


def _route(values: dict[str, Any]) -> Route | None:
    if "words" in values:
        values = _route_values(values["words"]) | values
    if _is_ipv6(values) or values.get("tos") not in _NO_TOS:
        return None
    table = str(values.get("table", MAIN))
    source = values.get("prefsrc")
    return Route(
        network=(
            EVERYWHERE if values["dst"] == "default" else IPv4Network(values["dst"])
        ),
        hops=tuple(
            _hop(hop)
            for hop in values.get("nexthops", [values])
            if "dev" in hop and "dead" not in hop.get("flags", ())
        ),
        type=RouteType(values.get("type", RouteType.UNICAST)),
        table=_TABLE_NUMBERS.get(table, table),
        metric=int(values.get("metric", 0)),
        source=None if source is None else IPv4Address(source),
        scope=_scope(values),
    )


def _is_ipv6(values: dict[str, Any]) -> bool:
    """A preference is something that only IPv6 has."""
    if ":" in values["dst"]:
        IPv6Network(values["dst"])  # or it is no route at all
        return True
    return ":" in values.get("gateway", "") or "pref" in values


def _hop(values: dict[str, Any]) -> NextHop:
    gateway = values.get("gateway")
    return NextHop(
        interface=values["dev"],
        gateway=None if gateway is None else IPv4Address(gateway),
        weight=int(values.get("weight", 1)),
    )


def _scope(values: dict[str, Any]) -> Scope:
    """Names of one's own, which /etc/iproute2/rt_scopes allows, are good everywhere."""
    name = str(values.get("scope", "global")).upper()
    return Scope[name] if name in Scope.__members__ else Scope.GLOBAL
