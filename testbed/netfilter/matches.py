"""What a rule asks of a packet, made into tests once per rule.

Each test answers yes, no, or ``None`` for "could not tell". What only the past could
tell is assumed, and said with the rule: nobody has come lately (``recent``), and no
limit is reached (``limit``).

Source: iptables(8), iptables-extensions(8)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from testbed.model import Transport
from testbed.netfilter import extensions, protocols
from testbed.netfilter.values import NotUnderstoodError, network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from testbed.netfilter.arguments import Module, Option
    from testbed.netfilter.branch import Branch

    Test: TypeAlias = Callable[[Branch], bool | None]
    """Whether a packet is what a rule asks for; ``None`` where that cannot be told."""

_TRANSPORTS: Final = {
    "icmp": Transport.ICMP,
    "1": Transport.ICMP,
    "tcp": Transport.TCP,
    "6": Transport.TCP,
    "udp": Transport.UDP,
    "17": Transport.UDP,
    "sctp": Transport.SCTP,
    "132": Transport.SCTP,
}


@dataclass(slots=True, kw_only=True)
class Matches:
    """All that one rule asks for.

    Addresses and protocol stand for themselves: most rules fail by them, and a
    comparison is quicker than a call.

    Attributes:
        source: what the source must be under ``source_mask``; the same for destination.
        transport: ``None`` for any.
        tests: all must say yes.
        chance: how likely it is that the rule matches when all else does.
        unknown: what is not understood here, in the rule's words.
        assumed: what was assumed of a past that nobody knows; empty if nothing was.
        is_impossible: no packet can match, of those that there are here.
        needs_history: it matches only whom it has seen before.
    """

    source: int = 0
    source_mask: int = 0
    destination: int = 0
    destination_mask: int = 0
    transport: Transport | None = None
    tests: list[Test] = field(default_factory=list)
    chance: float = 1.0
    unknown: list[str] = field(default_factory=list)
    assumed: str = ""
    is_impossible: bool = False
    needs_history: bool = False


def compile_matches(general: Iterable[Option], modules: Iterable[Module]) -> Matches:
    """Make tests of one rule's words.

    Raises:
        UnreadableRuleError: an option lacks its value, or has an impossible one.
    """
    matches = Matches()
    for option in general:
        try:
            _general(matches, option)
        except NotUnderstoodError:
            matches.unknown.append(str(option))
    for module in modules:
        try:
            _MODULES[module.name](matches, module)
        except (KeyError, NotUnderstoodError):
            matches.unknown.append(str(module))
    return matches


def _general(matches: Matches, option: Option) -> None:
    match option.name:
        case "-s" | "-d":
            _address(matches, option)
        case "-p":
            _protocol(matches, option)
        case "-i" | "-o":
            matches.tests.append(_interface(option))
        case "-f":
            # No packet here is a fragment.
            matches.is_impossible |= not option.is_negated


def _address(matches: Matches, option: Option) -> None:
    networks = [network(text) for text in option.value.split(",")]
    is_source, wanted = option.name == "-s", not option.is_negated
    if len(networks) > 1 or not wanted:

        def test(branch: Branch) -> bool:
            ip = branch.source if is_source else branch.destination
            return any(ip & mask == value for value, mask in networks) is wanted

        matches.tests.append(test)
    elif is_source:
        matches.source, matches.source_mask = networks[0]
    else:
        matches.destination, matches.destination_mask = networks[0]


def _protocol(matches: Matches, option: Option) -> None:
    name, wanted = option.value.lower(), not option.is_negated
    transport = _TRANSPORTS.get(name)
    if transport is None:
        # All protocols, or one that no packet here has, as vrrp or 50.
        matches.is_impossible |= wanted is not (name in ("all", "0"))
    elif wanted:
        matches.transport = transport
    else:
        matches.tests.append(lambda branch: branch.transport is not transport)


def _interface(option: Option) -> Test:
    """``eth+`` is every name that begins so."""
    name, is_in, wanted = option.value, option.name == "-i", not option.is_negated
    if not name.endswith("+"):
        if is_in:
            return lambda branch: (branch.in_interface == name) is wanted
        return lambda branch: (branch.out_interface == name) is wanted
    prefix = name[:-1]
    if is_in:
        return lambda branch: branch.in_interface.startswith(prefix) is wanted
    return lambda branch: branch.out_interface.startswith(prefix) is wanted


def _remark(_matches: Matches, _module: Module) -> None:
    """Words for people."""


_MODULES: Final[dict[str, Callable[[Matches, Module], None]]] = {
    "addrtype": extensions.addrtype,
    "comment": _remark,
    "connmark": extensions.connmark,
    "conntrack": extensions.conntrack,
    "hashlimit": extensions.hashlimit,
    "icmp": protocols.protocol,
    "iprange": extensions.iprange,
    "limit": extensions.limit,
    "mark": extensions.mark,
    "multiport": protocols.multiport,
    "physdev": extensions.physdev,
    "protocol": protocols.protocol,
    "recent": extensions.recent,
    "sctp": protocols.protocol,
    "state": extensions.conntrack,
    "statistic": extensions.statistic,
    "tcp": protocols.protocol,
    "udp": protocols.protocol,
}
"""Who understands which match."""
