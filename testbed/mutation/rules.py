"""The ways to get one rule of a node's iptables wrong, and which change nothing.

Rules are text, ``-A CHAIN … -j TARGET …``, and are kept in the words in which they are
fed to ``iptables-restore``. What the kernel counts it says in the words of
``iptables-save``; both have the rules of a chain in the same order, which is how one is
found by the other.

Two rules prove that nobody could tell a change: a jump to a chain without rules is not
missed; nor is an ACCEPT after which nothing is left that would do anything.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from testbed.errors import CommandError
from testbed.mutation.mutant import Operator
from testbed.netfilter.difference import rule_differences, rule_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from ipaddress import IPv4Address

_COUNTED = re.compile(r"\[(\d+):\d+\] (-A .*)")
_HASHED = re.compile(r"\b(KUBE-(?:SVC|SEP|FW|XLB|HP))-[A-Z2-7]{16}\b")
_ADDRESS = re.compile(r"\b\d+\.\d+\.\d+\.\d+(?:/32)?(?::\d+)?(?![\d/])")
_OF_SERVICE = re.compile(r"(?<=[\" ])[\w.-]+/[\w.-]+:[\w-]*")
_OF_HOSTPORT = re.compile(r"(?<=\")\S+_\S+ hostport \d+")
_SOURCE_RANGE = re.compile(r"(?<=^-A KUBE-FW-… -s )\S+")
_VALUE = re.compile(r"(--(?:dport|probability|seconds)) \S+")
_BALANCING = re.compile(r"(?<=Balancing rule )\d+")
_EGRESS_MARK = re.compile(r"0x[0-9a-f]{5,}")
_PROTOCOL = re.compile(r"-([pm]) (?:tcp|udp)\b")
_MARKS = {"0x1/0x1": "0x8000/0x8000", "0x8000/0x8000": "0x1/0x1"}
_SET_MARK = re.compile(r"(--(?:set-xmark|mark)) (0x[0-9a-f]+)(/0x[0-9a-f]+)?")
_PASSIVE = {"", "ACCEPT", "RETURN"}


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """One rule of a table, in the words of ``iptables-restore``'s input."""

    table: str
    text: str

    @property
    def chain(self) -> str:
        """The chain that it stands in."""
        return self.text.split(" ", 2)[1]

    @property
    def target(self) -> str:
        """The chain or verdict that it jumps to; empty for none."""
        return self.text.partition(" -j ")[2].partition(" ")[0]

    @property
    def kind(self) -> str:
        """What it has in common with rules of other services, pods and nodes."""
        text = _HASHED.sub(r"\1-…", self.text)
        for pattern, general in (
            (_OF_HOSTPORT, "… hostport …"),
            (_OF_SERVICE, "…"),
            (_ADDRESS, "…"),
            (_SOURCE_RANGE, "…"),
            (_VALUE, r"\1 …"),
            (_BALANCING, "…"),
            (_EGRESS_MARK, "0x…"),
            (_PROTOCOL, r"-\1 …"),
        ):
            text = pattern.sub(general, text)
        return f"{self.table} {text}"

    def __str__(self) -> str:
        return f"{self.table} {self.text}"


@dataclass(frozen=True)
class Ruleset:
    """All the tables that a node was given."""

    text: str

    @cached_property
    def chains(self) -> Mapping[tuple[str, str], Sequence[Rule]]:
        """The rules of each chain, by table and chain, in order."""
        chains: dict[tuple[str, str], list[Rule]] = defaultdict(list)
        for table, line in rule_lines(self.text):
            rule = Rule(table, line)
            chains[table, rule.chain].append(rule)
        return chains

    @cached_property
    def declared(self) -> frozenset[tuple[str, str]]:
        """The chains, those without rules too, by table and chain."""
        table = ""
        found: set[tuple[str, str]] = set()
        for line in self.text.splitlines():
            if line.startswith("*"):
                table = line[1:]
            elif line.startswith(":"):
                found.add((table, line[1:].split(" ", 1)[0]))
        return frozenset(found)

    @cached_property
    def rules(self) -> frozenset[Rule]:
        """All of them."""
        return frozenset(rule for chain in self.chains.values() for rule in chain)

    def counted(self, saved: str) -> Counter[Rule]:
        """What each rule has counted, as ``iptables-save -c`` tells.

        Raises:
            CommandError: the kernel has other chains or rules.
        """
        counts: Counter[Rule] = Counter()
        seen: Counter[tuple[str, str]] = Counter()
        for table, line in rule_lines(saved):
            found = _COUNTED.fullmatch(line)
            packets, text = (int(found[1]), found[2]) if found else (0, line)
            chain = table, text.split(" ", 2)[1]
            rules = self.chains.get(chain, ())
            if seen[chain] == len(rules):
                raise CommandError(["iptables-save"], 0, f"nobody made {text}")
            counts[rules[seen[chain]]] += packets
            seen[chain] += 1
        return counts

    def differs_from(self, saved: str) -> list[str]:
        """What ``iptables-save`` tells of that is not here, and the other way round."""
        return rule_differences(self.text, saved)

    def why_equivalent(self, rule: Rule, operator: Operator) -> str:
        """Why nobody could tell that a rule is wrong; empty where somebody could."""
        into = rule.table, rule.target
        if into in self.declared and not self.chains.get(into):
            return f"{rule.target} has no rules"
        if (
            operator is Operator.DELETED
            and rule.target == "ACCEPT"
            and not any(self._acts(later) for later in self._after(rule))
        ):
            return "nothing that comes after it would do anything"
        return ""

    def _after(self, rule: Rule, seen: frozenset[str] = frozenset()) -> Iterator[Rule]:
        """Yield what a packet may come to that a rule does not take."""
        chain = self.chains[rule.table, rule.chain]
        yield from chain[chain.index(rule) + 1 :]
        if rule.chain in seen:
            return
        for callers in self.chains.values():
            for caller in callers:
                if caller.table == rule.table and caller.target == rule.chain:
                    yield from self._after(caller, seen | {rule.chain})

    def _acts(self, rule: Rule) -> bool:
        if (rule.table, rule.target) in self.declared:
            into = self.chains.get((rule.table, rule.target), ())
            return any(self._acts(inner) for inner in into)
        return rule.target not in _PASSIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleChange:
    """One way to get one rule wrong; ``new`` is empty where it is missing."""

    operator: Operator
    text: str
    new: str


def rule_changes(
    rule: Rule, *, endpoints: Sequence[IPv4Address], nodes: Sequence[IPv4Address]
) -> Iterator[RuleChange]:
    """Yield every way to get a rule wrong, equivalent ones too.

    A masquerade that is removed is a rule deleted: the one that masquerades, or the one
    that marks for it.

    Args:
        rule: the rule.
        endpoints: addresses of pods, which a destination could be changed to.
        nodes: addresses of nodes, which a source could be changed to.
    """
    yield RuleChange(operator=Operator.DELETED, text="", new="")
    head, _, target = rule.text.rpartition(" -j ")
    verdict, _, options = target.partition(" ")
    other = {"ACCEPT": "DROP", "DROP": "ACCEPT", "REJECT": "DROP"}.get(verdict)
    if other:
        yield RuleChange(
            operator=Operator.TARGET,
            text=f"{verdict} → {other}",
            new=f"{head} -j {other}",
        )
    if verdict in ("DNAT", "SNAT"):
        option, _, place = options.partition(" ")
        address, _, port = place.partition(":")
        others = endpoints if verdict == "DNAT" else nodes
        elsewhere = next((str(ip) for ip in others if str(ip) != address), address)
        yield RuleChange(
            operator=Operator.ADDRESS,
            text=f"{address} → {elsewhere}",
            new=f"{head} -j {verdict} {option} {elsewhere}{':' if port else ''}{port}",
        )
        if port:
            yield RuleChange(
                operator=Operator.PORT,
                text=f"{port} → {int(port) + 1}",
                new=f"{head} -j {verdict} {option} {address}:{int(port) + 1}",
            )
    for found in _SET_MARK.finditer(rule.text):
        mark = found[2] + (found[3] or "")
        changed = _MARKS.get(mark) or f"{int(found[2], 16) ^ 2:#x}{found[3] or ''}"
        yield RuleChange(
            operator=Operator.MARK,
            text=f"{found[1]} {mark} → {changed}",
            new=f"{rule.text[: found.start()]}{found[1]} {changed}"
            f"{rule.text[found.end() :]}",
        )
