"""A node's replay as a fault: what was collected, and what came of it since. Pure.

Three states of a node are put together: what 3.11 would program for the objects as
they were collected (``base``), what was collected, and what it would program for the
objects as they are now. What is the same in the first and the last, the SDN had no
reason to touch: it is as collected, missing or changed or too much as it was there.
What differs, it has programmed anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from testbed.faults.fault import Programming
from testbed.replay.rules import TABLES, Table, read_rules, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbed.openflow import Flow
    from testbed.replay.rules import Rule

_REWRITTEN = ("KUBE-",)
"""Chains that kube-proxy writes anew as a whole, when anything in them changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed(Programming):
    """What was collected of one node, in the place of what 3.11 would have programmed.

    Attributes:
        node: the node's name.
        base: the flows that were computed when the testbed was built.
        collected: its br0's flows; ``None`` where they were not collected.
        base_rules: the iptables that were computed then, the testbed's marks with them.
        rules_collected: its iptables; ``None`` where they were not collected.
    """

    node: str
    base: tuple[Flow, ...] = field(repr=False)
    collected: tuple[Flow, ...] | None = field(repr=False)
    base_rules: str = field(default="", repr=False)
    rules_collected: str | None = field(default=None, repr=False)

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """The collected flows, with what an ``apply`` has changed since."""
        if self.collected is None:
            return tuple(computed)
        was = {_key(flow): flow for flow in self.base}
        now = {_key(flow): flow for flow in computed}
        there = {_key(flow): flow for flow in self.collected}
        there |= {key: flow for key, flow in now.items() if was.get(key) != flow}
        return tuple(
            flow for key, flow in there.items() if key in now or key not in was
        )

    def rules(self, computed: str) -> str:
        """The collected rules, with what an ``apply`` has changed since.

        The node's own (filter and nat) bring along all other tables that were
        collected. What the testbed marks packets with in mangle, as the userspace
        datapath cannot, comes after what was collected there.
        """
        if self.rules_collected is None:
            return computed
        was = read_rules(self.base_rules).tables
        now = read_rules(computed).tables
        there = read_rules(self.rules_collected).tables
        if "mangle" in now:
            there_as_well = there.get("mangle", Table())
            had = was.get("mangle", Table())
            return text_of({"mangle": _appended(there_as_well, had, now["mangle"])})
        merged = {
            name: _merged(was.get(name, Table()), there[name], now.get(name, Table()))
            if name in there
            else now[name]
            for name in TABLES
            if name in there or name in now
        }
        return text_of(merged)


def _key(flow: Flow) -> tuple[int, str]:
    return int(flow.table), flow.selector


def _appended(table: Table, had: Table, marks: Table) -> Table:
    """A table with the testbed's own marks, which a collection of its own has, too."""
    ours = {rule.words for rule in (*had.rules, *marks.rules)}
    theirs = [rule for rule in table.rules if rule.words not in ours]
    return Table(
        policies={**marks.policies, **table.policies}, rules=theirs + marks.rules
    )


def _merged(was: Table, there: Table, now: Table) -> Table:
    """A table as collected, but for the chains that are computed otherwise now."""
    policies = dict(there.policies)
    chains = dict.fromkeys([*policies, *(rule.chain for rule in there.rules)])
    rules = {chain: there.of(chain) for chain in chains}
    for chain in dict.fromkeys([*was.policies, *now.policies]):
        if chain not in now.policies:
            policies.pop(chain, None)
            rules.pop(chain, None)
        elif chain not in was.policies or _words(was, chain) != _words(now, chain):
            policies.setdefault(chain, now.policies[chain])
            rules[chain] = _changed(was, rules.get(chain, []), now, chain)
    return Table(policies=policies, rules=[r for chain in rules for r in rules[chain]])


def _words(table: Table, chain: str) -> list[str]:
    return [rule.words for rule in table.of(chain)]


def _changed(was: Table, there: list[Rule], now: Table, chain: str) -> list[Rule]:
    """A chain with the rules that came, and without those that went."""
    before, after = _words(was, chain), _words(now, chain)
    gone = [words for words in before if words not in after]
    if chain.startswith(_REWRITTEN) or not {r.words for r in there}.issuperset(gone):
        return _placeless(now.of(chain))
    kept = [rule for rule in there if rule.words not in gone]
    for number, rule in enumerate(now.of(chain)):
        if rule.words not in before:
            following = after[number + 1 :]
            place = next(
                (n for n, other in enumerate(kept) if other.words in following),
                len(kept),
            )
            kept.insert(place, replace(rule, line=0))
    return kept


def _placeless(rules: list[Rule]) -> list[Rule]:
    return [replace(rule, line=0) for rule in rules]
