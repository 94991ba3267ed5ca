"""What ``iptables-save`` printed, as tables and chains to be restored again. Pure.

``iptables-restore`` reads more than ``iptables-save`` prints: some options name a
program to be run. So a rule is taken only if it is of the words that a saved rule has;
what is not is left out, and said.

Source: iptables-save(8), iptables-restore(8); iptables/xshared.c, libxtables/xtables.c
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from testbed.netfilter.arguments import UnreadableRuleError, split_words
from testbed.netfilter.difference import canonical
from testbed.topology.problem import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TABLES = ("raw", "mangle", "nat", "filter", "security")
_BUILT_IN = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}
_CHAIN = re.compile(r":(\S{1,28}) +(ACCEPT|DROP|-)(?: +\[\d+:\d+\])?\s*$")
_RULE = re.compile(r"(?:\[\d+:\d+\] +)?(-A (\S{1,28})(?: +(.*))?)$")
_SHORT = {"-A", "-s", "-d", "-p", "-i", "-o", "-m", "-j", "-g", "-f"}
_NUMBER = re.compile(r"-\d+")
_NAMES_AN_EXTENSION = {"-m", "-j", "-g"}
_NEVER_SAVED = ("--modprobe", "--match", "--jump", "--goto", "--table")
"""Of these the first runs a program, the next name files to be loaded."""
_SHORTEST = len("--m")
"""An option may be shortened as long as it means one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule as it is printed, from ``-A`` on, and the line that it was in."""

    chain: str
    text: str
    line: int = 0

    @property
    def words(self) -> str:
        """The same in words that do not depend on who wrote it."""
        return canonical(self.text)


@dataclass(slots=True, kw_only=True)
class Table:
    """The chains of a table with their policies, and its rules in their order."""

    policies: dict[str, str] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)

    def of(self, chain: str) -> list[Rule]:
        """The rules of one chain."""
        return [rule for rule in self.rules if rule.chain == chain]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleText:
    """A machine's tables.

    ``text`` is what they were read from; ``remarks`` say what of it was left out, and
    where.
    """

    tables: Mapping[str, Table]
    text: str
    remarks: tuple[str, ...] = ()


def read_rules(text: str, file: str = "") -> RuleText:
    """Read what ``iptables-save`` printed, with counters or without.

    Several outputs one after the other count as the last of each table. A chain that
    rules are in or jump to, and that nothing declares, stays undeclared.
    """
    reader = _Reader()
    remarks: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        why = reader.why_not(bare, number)
        if why:
            remarks.append(printable(f"{file}:{number}: left out: {bare}: {why}"))
    return RuleText(tables=reader.tables, text=text, remarks=tuple(remarks))


class _Reader:
    """Takes a text line by line, and says of each why it is left out."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self._table: Table | None = None

    def why_not(self, line: str, number: int) -> str:
        if not line or line.startswith("#"):
            return ""
        if line == "COMMIT":
            self._table = None
        elif line.startswith("*"):
            self._table = None
            if line[1:] not in TABLES:
                return "there is no such table"
            self._table = self.tables[line[1:]] = Table()
        elif self._table is None:
            return "it is in no table"
        elif chain := _CHAIN.match(line):
            self._table.policies[chain[1]] = chain[2]
        elif (rule := _RULE.match(line)) is None:
            return "it is nothing that iptables-save prints"
        elif not (why := _why_not(rule[1])):
            self._table.rules.append(Rule(chain=rule[2], text=rule[1], line=number))
        else:
            return why
        return ""


def table_lines(name: str, table: Table) -> Iterator[tuple[str, int]]:
    """Yield a table's lines as ``iptables-restore`` takes them, each with its origin.

    The origin is the line that the rule was in, 0 for what was in none. Policies are
    for the chains that every table has; others get ``-``.
    """
    yield f"*{name}", 0
    for chain, policy in table.policies.items():
        yield f":{chain} {policy if chain in _BUILT_IN else '-'} [0:0]", 0
    for rule in table.rules:
        yield rule.text, rule.line
    yield "COMMIT", 0


def text_of(tables: Mapping[str, Table]) -> str:
    """Tables as one input of ``iptables-restore``."""
    lines = (line for name in tables for line, _ in table_lines(name, tables[name]))
    return "".join(f"{line}\n" for line in lines)


def _why_not(rule: str) -> str:
    """Why a rule is not to be given to ``iptables-restore``; empty if nothing.

    Which word is an option and which a value is for ``iptables`` to say, and may be
    made to look otherwise. So no word may be an option that a saved rule does not have,
    wherever it stands and whether it is quoted or not.
    """
    if not rule.isprintable():
        return "it holds control characters"
    try:
        words = split_words(rule)
    except UnreadableRuleError as error:
        return str(error)
    if words.count("-A") > 1:
        return "it has two commands"
    for before, word in pairwise(words):
        if before in _NAMES_AN_EXTENSION and "/" in word:
            return f"{before} takes a name"
        if word.startswith("-") and not _is_saved(word):
            return f"no saved rule has {word}"
    return ""


def _is_saved(option: str) -> bool:
    """Whether what looks like an option may stand in a saved rule."""
    if option.startswith("--"):
        name = option.partition("=")[0]
        return len(name) < _SHORTEST or not any(
            o.startswith(name) for o in _NEVER_SAVED
        )
    return option in {*_SHORT, "-"} or _NUMBER.fullmatch(option) is not None
