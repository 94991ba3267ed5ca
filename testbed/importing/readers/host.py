"""What ``ip``, ``ovs-ofctl show`` and ``ovs-vsctl`` print of a node, as values.

Source: ip-address(8), ip-route(8), ovs-ofctl(8), ovs-vsctl(8).
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NumberedLines: TypeAlias = "Iterable[tuple[int, str]]"

_LINK = re.compile(r"\d+: ([-\w.]+)(?:@(\S+?))?: <([A-Z0-9_,-]*)>(?:.* mtu (\d{1,9}))?")
_ON_ONE_LINE = re.compile(r"\d+: ([-\w.]+)(?:@\S+)?\s+inet ([\d./]+)")
_INET = re.compile(r"\s+inet ([\d./]+)")
_ETHER = re.compile(r"link/ether ([0-9a-f:]{17})")
_PEER = re.compile(r"if(\d+)")
_ROUTE = re.compile(r"(?:[a-z]+ )??(default|[\d.]+(?:/\d+)?)(?: |$)")
_PORT = re.compile(r"\s*(\d{1,10}|LOCAL)\((?:\"?)([^\")]+)\"?\): addr:([0-9a-f:]{17})")
_OUT_KEY = re.compile(r"\b(?:out_)?key=\"?(\d{1,8})\b")
_DST_PORT = re.compile(r"dst_port=\"?(\d{1,5})")
_RECORD = re.compile(r"(\w+) +: \"?(.*?)\"?\s*$")
_ID = re.compile(r"\bip=\"?([\d.]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface; ``mtu`` is 0 and ``mac`` empty where it is not told.

    ``is_one_of_a_pair`` is whether its other end is elsewhere (``eth0@if12``).
    """

    name: str
    line: int
    mtu: int = 0
    mac: str = ""
    addresses: tuple[IPv4Interface, ...] = ()
    is_one_of_a_pair: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route; what it does not say is ``None``."""

    destination: IPv4Network
    dev: str
    line: int
    via: IPv4Address | None = None
    src: IPv4Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port of br0; ``ip`` is the pod's, where OVSDB says it."""

    name: str
    ofport: int | None
    line: int
    mac: str = ""
    ip: IPv4Address | None = None


def interfaces(lines: NumberedLines) -> tuple[Interface, ...]:
    """Read ``ip addr``, with or without ``-o``; the first of each name counts."""
    links: dict[str, tuple[int, int, str, bool]] = {}
    addresses: dict[str, list[IPv4Interface]] = {}
    name = ""
    for number, text in lines:
        if link := _LINK.match(text):
            name = link[1]
            ether = _ETHER.search(text)
            is_pair = _PEER.match(link[2] or "") is not None
            links.setdefault(
                name, (number, int(link[4] or 0), ether[1] if ether else "", is_pair)
            )
        elif one := _ON_ONE_LINE.match(text):
            name = one[1]
            links.setdefault(name, (number, 0, "", False))
            _add(addresses, name, one[2])
        elif name and (inet := _INET.match(text)):
            _add(addresses, name, inet[1])
        elif name and (ether := _ETHER.search(text)) and not links[name][2]:
            line, mtu, _, is_pair = links[name]
            links[name] = line, mtu, ether[1], is_pair
    return tuple(
        Interface(
            name=name,
            line=line,
            mtu=mtu,
            mac=mac,
            addresses=tuple(dict.fromkeys(addresses.get(name, ()))),
            is_one_of_a_pair=is_pair,
        )
        for name, (line, mtu, mac, is_pair) in links.items()
    )


def routes(lines: NumberedLines) -> Iterator[Route]:
    """Read ``ip route``; what is no route by address is passed over."""
    for number, text in lines:
        found = _ROUTE.match(text)
        if found is None:
            continue
        words = text[found.end() :].split()
        options = dict(pairwise(words))
        with contextlib.suppress(ValueError):
            yield Route(
                destination=IPv4Network(
                    "0.0.0.0/0" if found[1] == "default" else found[1], strict=False
                ),
                dev=options.get("dev", ""),
                line=number,
                via=IPv4Address(options["via"]) if "via" in options else None,
                src=IPv4Address(options["src"]) if "src" in options else None,
            )


def ports(lines: NumberedLines) -> Iterator[Port]:
    """Read ``ovs-ofctl show`` or ``dump-ports-desc``."""
    for number, text in lines:
        if found := _PORT.match(text):
            ofport = int(found[1]) if found[1] != "LOCAL" else None
            yield Port(name=found[2], ofport=ofport, line=number, mac=found[3])


def recorded_ports(lines: NumberedLines) -> Iterator[Port]:
    """Read ``ovs-vsctl list interface``: one record after the other."""
    record: dict[str, str] = {}
    first = 0
    for number, text in (*lines, (0, "")):
        found = _RECORD.match(text)
        if (found is None or found[1] in record) and "name" in record:
            yield _port(record, first)
            record = {}
        if found:
            first = first if record else number
            record[found[1]] = found[2]


def vxlan_ports(lines: NumberedLines) -> Iterator[tuple[int, int]]:
    """The UDP ports that ``ovs-vsctl`` has for vxlan0, each with its line."""
    for number, text in lines:
        if "remote_ip" in text and (found := _DST_PORT.search(text)):
            yield int(found[1]), number


def vxlan_keys(lines: NumberedLines) -> Iterator[tuple[int, int]]:
    """The VNIDs that ``ovs-vsctl`` has vxlan0 write in flows' place, with their lines.

    Source: ovs-vswitchd.conf.db(5), ``options:key`` and ``options:out_key``.
    """
    for number, text in lines:
        if "remote_ip" in text and (found := _OUT_KEY.search(text)):
            yield int(found[1]), number


def _port(record: dict[str, str], line: int) -> Port:
    ofport = record.get("ofport", "")
    found = _ID.search(record.get("external_ids", ""))
    ip = None
    with contextlib.suppress(ValueError):
        ip = IPv4Address(found[1]) if found else None
    return Port(
        name=record["name"],
        ofport=int(ofport) if ofport.isdecimal() and len(ofport) < 6 else None,
        line=line,
        mac=record.get("mac_in_use", ""),
        ip=ip,
    )


def _add(addresses: dict[str, list[IPv4Interface]], name: str, text: str) -> None:
    with contextlib.suppress(ValueError):
        addresses.setdefault(name, []).append(IPv4Interface(text))
