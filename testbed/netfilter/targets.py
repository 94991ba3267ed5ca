"""What rules do to packets that match.

Source: iptables(8), iptables-extensions(8); Linux net/netfilter/xt_*.c, nf_nat_core.c
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from testbed.netfilter.arguments import UnreadableRuleError
from testbed.netfilter.values import (
    ALL_ONES,
    NotUnderstoodError,
    address_range,
    port_range,
    value_and_mask,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from testbed.netfilter.arguments import Module

    Options: TypeAlias = Mapping[str, str]

_PORT_UNREACHABLE: Final = "icmp-port-unreachable"
_REJECT_ALIASES: Final = {
    "net-unreach": "icmp-net-unreachable",
    "host-unreach": "icmp-host-unreachable",
    "proto-unreach": "icmp-proto-unreachable",
    "port-unreach": _PORT_UNREACHABLE,
    "net-prohib": "icmp-net-prohibited",
    "host-prohib": "icmp-host-prohibited",
    "admin-prohib": "icmp-admin-prohibited",
    "tcp-rst": "tcp-reset",
}
_HARMLESS: Final = frozenset(
    {
        "AUDIT",
        "CHECKSUM",
        "CLASSIFY",
        "CONNSECMARK",
        "DSCP",
        "LOG",
        "NFLOG",
        "SECMARK",
        "SET",
        "TCPMSS",
        "TOS",
        "TRACE",
        "TTL",
        "ULOG",
    }
)
"""Targets that change nothing about where a packet goes, and go on to the next rule."""


@dataclass(frozen=True, slots=True)
class Accept:
    """The packet goes on, past the rest of the table's chains."""

    def __str__(self) -> str:
        return "accept"


@dataclass(frozen=True, slots=True)
class Drop:
    """Nobody is told."""

    def __str__(self) -> str:
        return "drop"


@dataclass(frozen=True, slots=True)
class Reject:
    """The sender is told."""

    reject_with: str

    def __str__(self) -> str:
        return f"reject with {self.reject_with}"


@dataclass(frozen=True, slots=True)
class Return:
    """On, behind the rule that jumped here; in a built-in chain to its policy."""

    def __str__(self) -> str:
        return "return"


@dataclass(frozen=True, slots=True)
class Jump:
    """Into another chain; with ``is_goto`` it does not come back here."""

    chain: str
    is_goto: bool

    def __str__(self) -> str:
        return f"{'go' if self.is_goto else 'jump'} to {self.chain}"


@dataclass(frozen=True, slots=True)
class Nat:
    """Another source or destination, for the whole connection.

    Attributes:
        is_source: whether it is the source.
        addresses: first and last to choose from; ``None`` to leave it.
        ports: the same of ports; one outside the range is replaced.
        is_random: the port is replaced in any case.
    """

    is_source: bool
    addresses: tuple[int, int] | None
    ports: tuple[int, int] | None
    is_random: bool = False


@dataclass(frozen=True, slots=True)
class Masquerade:
    """The source becomes the address of the interface that the packet leaves by."""

    ports: tuple[int, int] | None
    is_random: bool = False


@dataclass(frozen=True, slots=True)
class Redirect:
    """The destination becomes the machine itself."""

    ports: tuple[int, int] | None
    is_random: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """The packet's mark, or its connection's, has bits cleared and then flipped."""

    clear: int
    flip: int
    is_connmark: bool = False


@dataclass(frozen=True, slots=True)
class CopyMark:
    """The connection's mark becomes the packet's, or the other way round."""

    nfmask: int
    ctmask: int
    to_packet: bool


@dataclass(frozen=True, slots=True)
class NoTrack:
    """Connection tracking takes no notice of the packet."""

    def __str__(self) -> str:
        return "not tracked"


@dataclass(frozen=True, slots=True)
class GoOn:
    """Nothing that would be seen here; the next rule is tried."""

    def __str__(self) -> str:
        return "go on"


@dataclass(frozen=True, slots=True)
class Unknown:
    """A target that is not understood here, in the rule's words."""

    text: str


Target: TypeAlias = (
    Accept
    | Drop
    | Reject
    | Return
    | Jump
    | Nat
    | Masquerade
    | Redirect
    | Mark
    | CopyMark
    | NoTrack
    | GoOn
    | Unknown
)


def compile_target(
    module: Module | None, chains: Collection[str], *, is_goto: bool
) -> Target:
    """Read one rule's target.

    Args:
        module: what ``-j`` or ``-g`` named, and its options.
        chains: the chains of the rule's table.
        is_goto: whether it was ``-g``.

    Raises:
        UnreadableRuleError: ``-g`` leads to no chain, or an option has an impossible
            value.
    """
    if module is None:
        return GoOn()
    if module.name in chains:
        return Jump(module.name, is_goto)
    if is_goto:
        raise UnreadableRuleError(f"there is no chain {module.name}")
    if module.name in _HARMLESS:
        return GoOn()
    options = {option.name: " ".join(option.values) for option in module.options}
    try:
        return _TARGETS[module.name](options)
    except (KeyError, NotUnderstoodError):
        return Unknown(f"-j {' '.join([module.name, *map(str, module.options)])}")


def _reject(options: Options) -> Target:
    said = options.get("--reject-with", _PORT_UNREACHABLE)
    return Reject(_REJECT_ALIASES.get(said, said))


def _dnat(options: Options) -> Target:
    return _nat(options["--to-destination"], options, is_source=False)


def _snat(options: Options) -> Target:
    return _nat(options["--to-source"], options, is_source=True)


def _nat(to: str, options: Options, *, is_source: bool) -> Target:
    """``10.0.0.1-10.0.0.9:1024-65535``, of which either part may be missing."""
    addresses, colon, ports = to.partition(":")
    return Nat(
        is_source=is_source,
        addresses=address_range(addresses) if addresses else None,
        ports=port_range(ports, "-") if colon else None,
        is_random=_is_random(options),
    )


def _masquerade(options: Options) -> Target:
    return Masquerade(_to_ports(options), _is_random(options))


def _redirect(options: Options) -> Target:
    return Redirect(_to_ports(options), _is_random(options))


def _to_ports(options: Options) -> tuple[int, int] | None:
    return port_range(options["--to-ports"], "-") if "--to-ports" in options else None


def _is_random(options: Options) -> bool:
    return "--random" in options or "--random-fully" in options


def _mark(options: Options) -> Target:
    return _change(options, is_connmark=False)


def _connmark(options: Options) -> Target:
    if "--save-mark" in options or "--restore-mark" in options:
        both = options.get("--mask", hex(ALL_ONES))
        return CopyMark(
            nfmask=value_and_mask(options.get("--nfmask", both))[0],
            ctmask=value_and_mask(options.get("--ctmask", both))[0],
            to_packet="--restore-mark" in options,
        )
    return _change(options, is_connmark=True)


def _change(options: Options, *, is_connmark: bool) -> Target:
    if len(options) != 1:
        raise NotUnderstoodError
    ((name, text),) = options.items()
    value, mask = value_and_mask(text)
    clear, flip = {
        "--set-xmark": (mask, value),
        "--set-mark": (mask | value, value),
        "--and-mark": (value ^ ALL_ONES, 0),
        "--or-mark": (value, value),
        "--xor-mark": (0, value),
    }[name]
    return Mark(clear, flip, is_connmark)


def _ct(options: Options) -> Target:
    return NoTrack() if "--notrack" in options else GoOn()


_TARGETS: Final[dict[str, Callable[[Options], Target]]] = {
    "ACCEPT": lambda _: Accept(),
    "CONNMARK": _connmark,
    "CT": _ct,
    "DNAT": _dnat,
    "DROP": lambda _: Drop(),
    "MARK": _mark,
    "MASQUERADE": _masquerade,
    "NOTRACK": lambda _: NoTrack(),
    "REDIRECT": _redirect,
    "REJECT": _reject,
    "RETURN": lambda _: Return(),
    "SNAT": _snat,
}
