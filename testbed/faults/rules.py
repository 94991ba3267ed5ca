"""iptables rules of a node that are missing or out of order."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from testbed.errors import NotFoundError
from testbed.faults.fault import Fault
from testbed.host.iptables import node_rules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from testbed.model import Cluster

_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, kw_only=True)
class IptablesFlushed(Fault):
    """A table of iptables has no rules, as after ``iptables -F``; its chains stay.

    Attributes:
        table: ``nat`` or ``filter``.
    """

    table: str

    @property
    def told(self) -> str:
        """Which table is empty."""
        return f"{self.on} has no rules in iptables' table {self.table}"

    def check(self, cluster: Cluster) -> None:
        """See that there is such a table."""
        _table(self, cluster, self.table)

    def rules(self, computed: str) -> str:
        """The tables, this one without rules."""
        return _joined(
            line
            for table, line in _lines(computed)
            if table != self.table or not _is_rule(line)
        )


@dataclass(frozen=True, kw_only=True)
class RuleDeleted(Fault):
    """One rule of iptables is missing.

    Attributes:
        table: its table.
        rule: the rule as ``iptables-save`` prints it, ``-A CHAIN …``, or a part of it
            that no other rule of the table has.
    """

    table: str
    rule: str

    @property
    def told(self) -> str:
        """Which rule is missing."""
        return f"{self.on} lacks the rule {self.rule} of iptables' table {self.table}"

    def resolved(self, cluster: Cluster) -> Self:
        """The same with the whole rule."""
        resolved = super().resolved(cluster)
        rules = _table(resolved, cluster, self.table)
        wanted = _SPACES.sub(" ", self.rule.strip())
        found = [rule for rule in rules if rule == wanted] or [
            rule for rule in rules if wanted in rule
        ]
        if len(found) == 1:
            return dataclasses.replace(resolved, rule=found[0])
        if found:
            there, more = "; ".join(found[:5]), len(found[5:])
            rest = f" and {more} more" if more else ""
            raise NotFoundError(
                f"{self.kind}: {wanted!r} is in {len(found)} rules of table "
                f"{self.table}: {there}{rest}"
            )
        close = get_close_matches(wanted, rules, n=3, cutoff=0.3)
        near = f"; near it are: {'; '.join(close)}" if close else ""
        raise NotFoundError(
            f"{self.kind}: {resolved.node} has no rule {wanted!r} in table "
            f"{self.table}{near}"
        )

    def rules(self, computed: str) -> str:
        """All rules but that."""
        return _joined(
            line
            for table, line in _lines(computed)
            if (table, line) != (self.table, self.rule)
        )


@dataclass(frozen=True, kw_only=True)
class ChainReordered(Fault):
    """The rules of a chain are in another order than they should be.

    Attributes:
        table: the chain's table.
        chain: its name.
        first: the rule that has come to the top, or a part of it; empty where the
            whole chain is the other way round.
    """

    table: str
    chain: str
    first: str = ""

    @property
    def told(self) -> str:
        """Which chain is out of order."""
        how = f"{self.first} first in" if self.first else "the other way round"
        if self.first:
            return f"{self.on} has {how} chain {self.chain} of table {self.table}"
        return f"{self.on} has chain {self.chain} of table {self.table} {how}"

    def check(self, cluster: Cluster) -> None:
        """See that the chain has an order."""
        rules = _table(self, cluster, self.table)
        own = [rule for rule in rules if _chain(rule) == self.chain]
        if not own:
            chains = dict.fromkeys(map(_chain, rules))
            close = get_close_matches(self.chain, chains) or list(chains)[:8]
            raise NotFoundError(
                f"{self.kind}: table {self.table} has no rules in chain {self.chain}; "
                f"there are: {', '.join(close)}"
            )
        if len(own) < 2:
            raise NotFoundError(f"{self.kind}: {self.chain} has only one rule")
        if not any(self.first in rule for rule in own):
            raise NotFoundError(
                f"{self.kind}: {self.chain} has no rule {self.first!r}; there are: "
                f"{'; '.join(own)}"
            )

    def rules(self, computed: str) -> str:
        """The rules, those of the chain in their wrong order."""
        lines = list(_lines(computed))
        places = [
            number
            for number, (table, line) in enumerate(lines)
            if table == self.table and _is_rule(line) and _chain(line) == self.chain
        ]
        own = [lines[place] for place in places]
        if self.first:
            own.sort(key=lambda item: self.first not in item[1])
        else:
            own.reverse()
        for place, item in zip(places, own, strict=True):
            lines[place] = item
        return _joined(line for _, line in lines)


def _table(fault: Fault, cluster: Cluster, table: str) -> list[str]:
    """The rules that a table of the node should have.

    Raises:
        NotFoundError: it has no such table.
    """
    found: dict[str, list[str]] = {}
    for name, line in _lines(node_rules(cluster, cluster.node(fault.node))):
        rules = found.setdefault(name, [])
        if _is_rule(line):
            rules.append(line)
    if table not in found:
        raise NotFoundError(
            f"{fault.kind}: no table {table}; there are: {', '.join(found)}"
        )
    return found[table]


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """The lines of ``iptables-restore``'s input, each with its table."""
    table = ""
    for line in text.splitlines():
        table = line[1:] if line.startswith("*") else table
        yield table, line


def _is_rule(line: str) -> bool:
    return line.startswith("-A ")


def _chain(rule: str) -> str:
    return rule.split(" ", 2)[1]


def _joined(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
