"""The parts of a flow's match and actions as values."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbed.openflow import Flow

_VNIDS = 1 << 24
_OUTPUT = re.compile(r"output:\"?([-\w.]+)\"?")


def at(match: Mapping[str, str], name: str) -> IPv4Address:
    """One address.

    Raises:
        ValueError: it is none, or a range.
        KeyError: the match has no such field.
    """
    return IPv4Address(match[name])


def network_at(match: Mapping[str, str], name: str) -> IPv4Network:
    """A range of addresses, or one.

    Raises:
        ValueError: it is none.
        KeyError: the match has no such field.
    """
    return IPv4Network(match[name])


def vnid_at(match: Mapping[str, str], name: str) -> int:
    """The VNID that a register must hold.

    Raises:
        ValueError: it is none.
        KeyError: the match has no such field.
    """
    return _vnid(match[name])


def port_at(match: Mapping[str, str]) -> int:
    """The port that TCP or UDP goes to.

    Raises:
        ValueError: it is none.
        KeyError: the match has none.
    """
    port = int(match["tp_dst"])
    if not 0 < port < 1 << 16:
        raise ValueError(f"{port} is no port")
    return port


def loaded(flow: Flow, into: str) -> int | None:
    """The number that a flow loads into a register; ``None`` where it loads none.

    Raises:
        ValueError: it is no VNID, nor anything else that 3.11 loads.
    """
    end = f"->{into}" if into.endswith("]") else f"->{into}[]"
    for action in flow.actions:
        if action.startswith("load:") and action.endswith(end):
            return _vnid(action[5 : -len(end)])
    return None


def set_field(flow: Flow, name: str) -> str:
    """What a flow sets a field to; empty where it does not."""
    end = f"->{name}"
    for action in flow.actions:
        if action.startswith("set_field:") and action.endswith(end):
            return action[10 : -len(end)]
    return ""


def peers_in(flow: Flow) -> tuple[IPv4Address, ...]:
    """The nodes that a flow sends to through tunnels.

    Raises:
        ValueError: one is no address.
    """
    return tuple(
        IPv4Address(action[10:-9])
        for action in flow.actions
        if action.startswith("set_field:") and action.endswith("->tun_dst")
    )


def outputs(flow: Flow) -> tuple[str, ...]:
    """The ports, by number or name, that a flow sends to."""
    found = (_OUTPUT.fullmatch(action) for action in flow.actions)
    return tuple(item[1] for item in found if item)


def _vnid(text: str) -> int:
    number = int(text, 0)
    if not 0 <= number < _VNIDS:
        raise ValueError(f"{text} is no VNID")
    return number
