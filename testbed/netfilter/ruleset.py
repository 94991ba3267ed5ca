"""A machine's iptables rules, read from the text of ``iptables-save``.

Read once, walked thousands of times: each rule's matches become tests and its target a
value when the text is read. What is not understood stays in its place, and makes a
packet that comes to it inconclusive.

Source: iptables-save(8), iptables-restore(8); iptables/iptables-restore.c
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from testbed.errors import DumpError
from testbed.netfilter.arguments import (
    UnreadableRuleError,
    sort_words,
    split_words,
)
from testbed.netfilter.matches import compile_matches
from testbed.netfilter.packet import RuleHit
from testbed.netfilter.targets import Jump, Unknown, compile_target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from testbed.model import Transport
    from testbed.netfilter.arguments import Arguments
    from testbed.netfilter.matches import Matches, Test
    from testbed.netfilter.targets import Target

TABLES: Final = ("raw", "mangle", "nat", "filter", "security")
_NO_POLICY: Final = "-"
_COUNTERS: Final = re.compile(r"\[(\d+):(\d+)\]\s*")
_CHAIN: Final = re.compile(r":(\S+)\s+(ACCEPT|DROP|-)(?:\s+\[\d+:\d+\])?")
_REMARKS: Final = ("# Warning", "# Table")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a chain.

    Attributes:
        table: the table it is in.
        chain: the chain it is in.
        text: it as it was read, from ``-A`` on.
        line: where it was read, from 1.
        counters: packets and bytes that it has counted; ``None`` where the text has
            none.
        target: what it does.
        unknown: the parts that are not understood, in the rule's words.
        chance: how likely it matches when all else does.
        needs_history: it matches only whom it has seen before.
        remark: what has to be said with it: chance, and what was assumed.
        hit: that a packet matched it, where it does to all packets the same.
    """

    table: str
    chain: str
    text: str
    line: int
    counters: tuple[int, int] | None
    target: Target
    unknown: tuple[str, ...]
    chance: float
    needs_history: bool
    remark: str
    hit: RuleHit = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hit", self.hit_with(str(self.target)))

    def hit_with(self, effect: str, *, matched: bool = True) -> RuleHit:
        """That a packet came to this rule, and what the rule did."""
        return RuleHit(
            table=self.table,
            chain=self.chain,
            rule=self.text,
            line=self.line,
            effect=effect + self.remark,
            matched=matched,
        )


Step: TypeAlias = "tuple[int, int, int, int, Transport | None, tuple[Test, ...], Rule]"
"""A rule as it is walked: source mask and value, destination mask and value,
transport, tests, and the rule itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain of a table.

    Attributes:
        name: its name.
        policy: what a built-in chain does at its end, ``ACCEPT`` or ``DROP``; ``None``
            for all others, from whose end a packet goes back.
        line: where it was declared.
        rules: all of them, in order.
        steps: those that a packet may match at all, as they are walked.
    """

    name: str
    policy: str | None
    line: int
    rules: tuple[Rule, ...]
    steps: tuple[Step, ...] = field(repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Ruleset:
    """All tables of a machine.

    Attributes:
        tables: the chains of each table, by name.
        warnings: what ``iptables-save`` itself remarked, as that there are rules of
            the other kind (legacy, nft), which it cannot show.
    """

    tables: Mapping[str, Mapping[str, Chain]]
    warnings: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, source: str = "iptables-save") -> Ruleset:
        """Read what ``iptables-save`` prints, or ``iptables-restore`` takes.

        With or without counters, legacy or nft. A line ``> command`` before the first
        table, as debug scripts write, is passed over; of a table that comes twice the
        second counts, as for ``iptables-restore``.

        Args:
            text: the text; an empty one is a machine without rules.
            source: what errors call it.

        Raises:
            DumpError: it is something else, or was cut off.
        """
        return _Reader(source).read(text)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Every rule of every table, in the order of the text."""
        found = (
            rule
            for chains in self.tables.values()
            for chain in chains.values()
            for rule in chain.rules
        )
        return tuple(sorted(found, key=lambda rule: rule.line))


class _Words(NamedTuple):
    """A rule as it was read."""

    line: int
    text: str
    counters: tuple[int, int] | None
    arguments: Arguments


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A chain while its rules are read."""

    policy: str | None
    line: int
    rules: list[_Words] = field(default_factory=list)


class _Reader:
    """One text, line by line."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._tables: dict[str, Mapping[str, Chain]] = {}
        self._warnings: list[str] = []
        self._table = ""
        self._drafts: dict[str, _Draft] = {}

    def read(self, text: str) -> Ruleset:
        number = 0
        for number, raw in enumerate(text.splitlines(), start=1):
            line = raw.strip()
            if line.startswith("#"):
                if line.startswith(_REMARKS):
                    self._warnings.append(line.removeprefix("#").strip())
            elif line and not (line.startswith(">") and not self._table):
                try:
                    self._line(number, line)
                except UnreadableRuleError as error:
                    raise self._error(number, f"{error}: {line}") from error
        if self._table:
            raise self._error(
                number, f"table {self._table} has no COMMIT: the text was cut off"
            )
        return Ruleset(tables=self._tables, warnings=tuple(self._warnings))

    def _line(self, number: int, line: str) -> None:
        if line.startswith("*"):
            self._begin(line[1:].strip())
        elif not self._table:
            raise UnreadableRuleError("no table has begun here")
        elif line == "COMMIT":
            self._commit()
        elif line.startswith(":"):
            self._declare(number, line)
        else:
            self._append(number, line)

    def _begin(self, table: str) -> None:
        if self._table:
            raise UnreadableRuleError(f"table {self._table} has no COMMIT")
        if table not in TABLES:
            raise UnreadableRuleError("there is no such table")
        self._table = table
        self._drafts = {}

    def _declare(self, number: int, line: str) -> None:
        found = _CHAIN.fullmatch(line)
        if found is None:
            raise UnreadableRuleError("this is no chain with its policy")
        policy = None if found[2] == _NO_POLICY else found[2]
        self._drafts[found[1]] = _Draft(policy=policy, line=number)

    def _append(self, number: int, line: str) -> None:
        counters = _COUNTERS.match(line)
        text = line[counters.end() :] if counters else line
        verb, chain, *rest = [*split_words(text), "", ""]
        if verb not in ("-A", "--append", "-I", "--insert"):
            raise UnreadableRuleError("this is no rule")
        if chain not in self._drafts:
            raise UnreadableRuleError(f"there is no chain {chain} in {self._table}")
        words = rest[:-2]
        rules = self._drafts[chain].rules
        position = len(rules)
        if verb in ("-I", "--insert"):
            is_numbered = bool(words) and words[0].isdecimal()
            position = int(words.pop(0)) - 1 if is_numbered else 0
        counted = (int(counters[1]), int(counters[2])) if counters else None
        rules.insert(position, _Words(number, text, counted, sort_words(words)))

    def _commit(self) -> None:
        chains = {name: self._chain(name) for name in self._drafts}
        self._refuse_circles(chains)
        self._tables[self._table] = chains
        self._table = ""

    def _chain(self, name: str) -> Chain:
        draft = self._drafts[name]
        rules, steps = [], []
        for words in draft.rules:
            try:
                matches = compile_matches(
                    words.arguments.general, words.arguments.matches
                )
                rule = self._rule(name, words, matches)
            except UnreadableRuleError as error:
                raise self._error(words.line, f"{error}: {words.text}") from error
            rules.append(rule)
            if not matches.is_impossible and matches.chance > 0:
                steps.append(_step(matches, rule))
        return Chain(
            name=name,
            policy=draft.policy,
            line=draft.line,
            rules=tuple(rules),
            steps=tuple(steps),
        )

    def _rule(self, chain: str, words: _Words, matches: Matches) -> Rule:
        arguments = words.arguments
        target = compile_target(
            arguments.target, self._drafts, is_goto=arguments.is_goto
        )
        unknown = matches.unknown
        if isinstance(target, Unknown):
            unknown = [*unknown, target.text]
        remarks = [matches.assumed] if matches.assumed else []
        if matches.chance < 1:
            remarks.append(f"with a chance of {matches.chance:.5g}")
        return Rule(
            table=self._table,
            chain=chain,
            text=words.text,
            line=words.line,
            counters=words.counters,
            target=target,
            unknown=tuple(unknown),
            chance=matches.chance,
            needs_history=matches.needs_history,
            remark=f" ({', '.join(remarks)})" if remarks else "",
        )

    def _refuse_circles(self, chains: Mapping[str, Chain]) -> None:
        """No kernel takes chains that lead back to themselves."""
        done: set[str] = set()
        for start in chains:
            path: dict[str, Iterator[Rule]] = {start: iter(chains[start].rules)}
            while path:
                name, rules = next(reversed(path.items()))
                for rule in rules:
                    target = rule.target
                    if isinstance(target, Jump) and target.chain not in done:
                        if target.chain in path:
                            what = f"chains lead in a circle: {rule.text}"
                            raise self._error(rule.line, what)
                        path[target.chain] = iter(chains[target.chain].rules)
                        break
                else:
                    done.add(name)
                    del path[name]

    def _error(self, line: int, what: str) -> DumpError:
        return DumpError(f"{self._source}:{line}: {what}")


def _step(matches: Matches, rule: Rule) -> Step:
    return (
        matches.source_mask,
        matches.source,
        matches.destination_mask,
        matches.destination,
        matches.transport,
        tuple(matches.tests),
        rule,
    )
