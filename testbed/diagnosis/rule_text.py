"""Rules of iptables, so written that those which do the same are the same.

Versions of ``iptables-save`` differ in the order of options, in what they leave out and
in how they write numbers; ``iptables-restore`` takes any of it.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, NamedTuple

from testbed.netfilter.arguments import (
    Module,
    UnreadableRuleError,
    sort_words,
    split_words,
)

if TYPE_CHECKING:
    from testbed.netfilter.arguments import Option

_LEFT_OUT = {"--probability", "--mask", "--rsource", "--name"}
"""Chance follows from how many there are, the others from a rule's other words."""

_MARKS = {"--mark", "--set-xmark", "--set-mark"}
_PROTOCOLS = {"tcp", "udp", "sctp"}
_ALL_BITS = 0xFFFFFFFF
_COMMENT = re.compile(r'--comment (?:"([^"]*)"|(\S+))')


class RuleWords(NamedTuple):
    """What a rule asks for and does, in an order of ours."""

    general: tuple[str, ...]
    matches: tuple[str, ...]
    target: str


@functools.lru_cache(maxsize=1 << 16)
def words_of(rule: str) -> RuleWords:
    """The words of a rule, from ``-A CHAIN`` on; of one that cannot be read, itself."""
    try:
        found = sort_words(split_words(rule)[2:])
    except (UnreadableRuleError, IndexError):
        return RuleWords((), (), rule)
    matches = [
        _module(module)
        for module in found.matches
        if module.options or module.name not in _PROTOCOLS
    ]
    target = ""
    if found.target:
        if found.target.name == "REJECT" and not found.target.options:
            target = "REJECT --reject-with icmp-port-unreachable"
        else:
            target = _module(found.target)
    return RuleWords(
        tuple(sorted(map(_option, found.general))),
        tuple(sorted(matches)),
        target,
    )


def comment_of(rule: str) -> str:
    """What a rule says that it is for."""
    found = _COMMENT.search(rule)
    return (found[1] or found[2] or "") if found else ""


def target_of(rule: str) -> str:
    """The chain or target that a rule leads to, without its options."""
    return words_of(rule).target.partition(" ")[0]


def _module(module: Module) -> str:
    options = sorted(
        _option(option) for option in module.options if option.name not in _LEFT_OUT
    )
    return " ".join([module.name, *options])


def _option(option: Option) -> str:
    values = option.values
    if option.name in _MARKS and len(values) == 1:
        values = [_mark(values[0])]
    elif option.name in ("-s", "-d") and len(values) == 1:
        values = [values[0].removesuffix("/32")]
    name = "--set-xmark" if option.name == "--set-mark" else option.name
    return " ".join(["!"] * option.is_negated + [name, *values])


def _mark(text: str) -> str:
    value, _, mask = text.partition("/")
    try:
        return f"{int(value, 0):#x}/{int(mask, 0) if mask else _ALL_BITS:#x}"
    except ValueError:
        return text
