"""The words of one rule, sorted by what they belong to.

``iptables-save`` prints a rule as arguments of ``iptables``: what every rule may ask
for (``-s``, ``-p``), then each match with its options (``-m tcp --dport 80``), then the
target with its own (``-j DNAT --to-destination …``). People write them in any order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORD: Final = re.compile(r'\s*((?:"(?:[^"\\]|\\.)*"|[^\s"])+)')
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED: Final = re.compile(r"\\(.)")

_GENERAL: Final = {
    "-s": "-s",
    "--src": "-s",
    "--source": "-s",
    "-d": "-d",
    "--dst": "-d",
    "--destination": "-d",
    "-p": "-p",
    "--proto": "-p",
    "--protocol": "-p",
    "-i": "-i",
    "--in-interface": "-i",
    "-o": "-o",
    "--out-interface": "-o",
    "-f": "-f",
    "--fragment": "-f",
    "-c": "-c",
    "--set-counters": "-c",
}
"""What needs no match to be named before it, and how it is called here."""
_OF_PROTOCOL: Final = {
    "--dport": "--dport",
    "--destination-port": "--dport",
    "--sport": "--sport",
    "--source-port": "--sport",
    "--tcp-flags": "--tcp-flags",
    "--syn": "--syn",
    "--tcp-option": "--tcp-option",
    "--icmp-type": "--icmp-type",
    "--chunk-types": "--chunk-types",
}
"""What ``-p`` alone brings with it."""
_FREE_TEXT: Final = {
    "--comment",
    "--log-prefix",
    "--nflog-prefix",
    "--string",
    "--hex-string",
    "--ulog-prefix",
}
"""Options whose value may begin with a dash."""


class UnreadableRuleError(ValueError):
    """Words that no ``iptables`` would take; the message says which."""


@dataclass(slots=True, kw_only=True)
class Option:
    """One option: its name, its values, and whether a ``!`` turns it round."""

    name: str
    values: list[str] = field(default_factory=list)
    is_negated: bool = False

    def __str__(self) -> str:
        negation = ["!"] if self.is_negated else []
        return " ".join([*negation, self.name, *self.values])

    @property
    def value(self) -> str:
        """Its one value.

        Raises:
            UnreadableRuleError: it has none, or several.
        """
        if len(self.values) != 1:
            raise UnreadableRuleError(f"{self.name} takes one value")
        return self.values[0]


@dataclass(slots=True, kw_only=True)
class Module:
    """A match or a target with its options."""

    name: str
    options: list[Option] = field(default_factory=list)

    def __str__(self) -> str:
        return " ".join(["-m", self.name, *map(str, self.options)])


@dataclass(slots=True, kw_only=True)
class Arguments:
    """A rule's words, sorted.

    Attributes:
        general: ``-s``, ``-d``, ``-p``, ``-i``, ``-o``, ``-f``.
        matches: each ``-m`` with its options; ports, flags and ICMP types, which need
            none, are in one called ``protocol``.
        target: what ``-j`` or ``-g`` names; ``None`` for a rule that only counts.
        is_goto: whether it was ``-g``.
    """

    general: list[Option]
    matches: list[Module]
    target: Module | None
    is_goto: bool


def split_words(line: str) -> list[str]:
    r"""The words of a line; ``"…"`` is one word, in which ``\`` takes away a meaning.

    Raises:
        UnreadableRuleError: a quotation mark has no partner.
    """
    if '"' not in line:
        return line.split()
    words, position, end = [], 0, len(line.rstrip())
    while position < end:
        found = _WORD.match(line, position)
        if found is None:
            raise UnreadableRuleError("a quotation mark has no partner")
        words.append(_QUOTED.sub(_unquoted, found[1]))
        position = found.end()
    return words


def sort_words(words: Sequence[str]) -> Arguments:
    """Sort what follows ``-A CHAIN``.

    Raises:
        UnreadableRuleError: a word belongs to nothing.
    """
    protocol = Module(name="protocol")
    sorted_words = Arguments(general=[], matches=[protocol], target=None, is_goto=False)
    module: Module | None = None
    for option in _options(words):
        name = option.name
        if name in _GENERAL:
            option.name = _GENERAL[name]
            sorted_words.general.append(option)
        elif name in ("-m", "--match"):
            module = Module(name=option.value)
            sorted_words.matches.append(module)
        elif name in ("-j", "--jump", "-g", "--goto"):
            if sorted_words.target is not None:
                raise UnreadableRuleError("it has two targets")
            module = sorted_words.target = Module(name=option.value)
            sorted_words.is_goto = name in ("-g", "--goto")
        elif name in _OF_PROTOCOL:
            option.name = _OF_PROTOCOL[name]
            protocol.options.append(option)
        elif module is None:
            raise UnreadableRuleError(f"{name} belongs to nothing")
        else:
            module.options.append(option)
    if not protocol.options:
        sorted_words.matches.remove(protocol)
    return sorted_words


def _options(words: Sequence[str]) -> list[Option]:
    """Each option with what follows it; a ``!`` may stand before or after its name."""
    options: list[Option] = []
    is_negated = False
    takes_any = False
    for word in words:
        if takes_any:
            options[-1].values.append(word)
            takes_any = False
        elif word == "!":
            if is_negated:
                raise UnreadableRuleError("two ! in a row")
            is_negated = True
        elif word.startswith("-") and len(word) > 1:
            options.append(Option(name=word, is_negated=is_negated))
            is_negated = False
            takes_any = word in _FREE_TEXT
        elif not options:
            raise UnreadableRuleError(f"{word} belongs to nothing")
        else:
            options[-1].values.append(word)
            options[-1].is_negated |= is_negated
            is_negated = False
    if is_negated or takes_any:
        raise UnreadableRuleError("it ends too early")
    return options


def _unquoted(quoted: re.Match[str]) -> str:
    return _ESCAPED.sub(r"\1", quoted[1])
