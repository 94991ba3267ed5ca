"""Matches that look beyond a packet's headers: connections, marks, chance, addresses.

Source: iptables-extensions(8); Linux net/netfilter/xt_*.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from testbed.netfilter.links import RouteType
from testbed.netfilter.packet import CtState
from testbed.netfilter.values import (
    NotUnderstoodError,
    address_range,
    value_and_mask,
)

if TYPE_CHECKING:
    from testbed.netfilter.arguments import Module, Option
    from testbed.netfilter.branch import Branch
    from testbed.netfilter.matches import Matches, Test

_NO_HISTORY: Final = "who came lately is not known, so nobody did"
_WITHIN_LIMIT: Final = "taken to be within its limit"
_OF_CONNECTION: Final = {"SNAT", "DNAT"}


def conntrack(matches: Matches, module: Module) -> None:
    """``-m conntrack --ctstate`` and the older ``-m state --state``."""
    for option in module.options:
        names = frozenset(option.value.split(","))
        is_state = option.name in ("--ctstate", "--state")
        if not is_state or not names <= {*CtState, *_OF_CONNECTION}:
            raise NotUnderstoodError
        matches.tests.append(_ct_state(names, wanted=not option.is_negated))


def _ct_state(names: frozenset[str], *, wanted: bool) -> Test:
    if not names & _OF_CONNECTION:
        return lambda branch: (branch.ct_state in names) is wanted

    def test(branch: Branch) -> bool:
        found = (
            branch.ct_state in names
            or ("SNAT" in names and branch.is_source_translated)
            or ("DNAT" in names and branch.is_destination_translated)
        )
        return found is wanted

    return test


def mark(matches: Matches, module: Module) -> None:
    """The packet's mark."""
    matches.tests += [_mark(option, of_packet=True) for option in module.options]


def connmark(matches: Matches, module: Module) -> None:
    """The mark of the packet's connection."""
    matches.tests += [_mark(option, of_packet=False) for option in module.options]


def _mark(option: Option, *, of_packet: bool) -> Test:
    if option.name != "--mark":
        raise NotUnderstoodError
    value, mask = value_and_mask(option.value)
    wanted = not option.is_negated
    if of_packet:
        return lambda branch: (branch.mark & mask == value) is wanted

    def test(branch: Branch) -> bool | None:
        if not branch.has_connection:
            return False  # whether negated or not: Linux net/netfilter/xt_connmark.c
        has = branch.connmark
        return None if has is None else (has & mask == value) is wanted

    return test


def statistic(matches: Matches, module: Module) -> None:
    """Chance; so is which of every n packets this one is, for nobody knows that."""
    options = {option.name: option for option in module.options}
    try:
        mode = options["--mode"].value
        option = options[{"random": "--probability", "nth": "--every"}[mode]]
        number = float(option.value)
        chance = number if mode == "random" else 1 / number
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise NotUnderstoodError from error
    if not 0 <= chance <= 1:
        raise NotUnderstoodError
    is_negated = any(option.is_negated for option in module.options)
    matches.chance *= 1 - chance if is_negated else chance


def addrtype(matches: Matches, module: Module) -> None:
    """Whether an address is the machine's own, or what else it is."""
    tests = []
    limit = ""
    for option in module.options:
        match option.name:
            case "--src-type" | "--dst-type":
                tests.append(option)
            case "--limit-iface-in" | "--limit-iface-out":
                limit = option.name
            case _:
                raise NotUnderstoodError
    matches.tests += [_address_type(option, limit) for option in tests]


def _address_type(option: Option, limit: str) -> Test:
    types = frozenset(option.value.lower().split(","))
    if not types <= {*RouteType}:
        raise NotUnderstoodError
    is_source, wanted = option.name == "--src-type", not option.is_negated

    def test(branch: Branch) -> bool:
        ip = branch.source if is_source else branch.destination
        interface = None
        if limit == "--limit-iface-in":
            interface = branch.in_interface
        elif limit:
            interface = branch.out_interface
        return (branch.routes.address_type(ip, interface) in types) is wanted

    return test


def recent(matches: Matches, module: Module) -> None:
    """Who came lately, as kube-proxy remembers a client's endpoint."""
    for option in module.options:
        match option.name:
            case "--set":
                matches.is_impossible |= option.is_negated
            case "--rcheck" | "--update" | "--remove":
                matches.assumed = _NO_HISTORY
                matches.needs_history |= not option.is_negated


def limit(matches: Matches, _module: Module) -> None:
    """So many in a time; this packet is the only one."""
    matches.assumed = _WITHIN_LIMIT


def hashlimit(matches: Matches, module: Module) -> None:
    """So many in a time for each; one packet is within all limits, and above none."""
    matches.assumed = _WITHIN_LIMIT
    for option in module.options:
        match option.name:
            case "--hashlimit-above":
                matches.is_impossible |= not option.is_negated
            case "--hashlimit" | "--hashlimit-upto":
                matches.is_impossible |= option.is_negated


def physdev(matches: Matches, module: Module) -> None:
    """Ports of Linux bridges, as docker0 is one; all else comes and goes by none.

    Of what comes by a bridge it depends on ``bridge-nf-call-iptables`` whether iptables
    is told the port.
    """
    for option in module.options:
        if option.name not in (
            "--physdev-in",
            "--physdev-is-in",
            "--physdev-out",
            "--physdev-is-out",
            "--physdev-is-bridged",
        ):
            raise NotUnderstoodError
        matches.tests.append(_physdev(option))


def _physdev(option: Option) -> Test:
    is_in, wanted = option.name.endswith("-in"), not option.is_negated

    def test(branch: Branch) -> bool | None:
        if is_in and branch.routes.is_bridge(branch.in_interface):
            return None
        return not wanted

    return test


def iprange(matches: Matches, module: Module) -> None:
    """Addresses between two."""
    for option in module.options:
        if option.name not in ("--src-range", "--dst-range"):
            raise NotUnderstoodError
        matches.tests.append(_iprange(option))


def _iprange(option: Option) -> Test:
    first, last = address_range(option.value)
    is_source, wanted = option.name == "--src-range", not option.is_negated

    def test(branch: Branch) -> bool:
        ip = branch.source if is_source else branch.destination
        return (first <= ip <= last) is wanted

    return test
