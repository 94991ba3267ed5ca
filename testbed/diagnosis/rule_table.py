"""One table of a node's iptables beside what the SDN would have made of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from testbed.diagnosis.finding import Evidence, Finding, Severity
from testbed.diagnosis.rule_text import target_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbed.importing.evidence import Text
    from testbed.replay.rules import Rule, Table

BUILT_IN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
_SYNC = (
    "restart the node's sdn pod; the SDN puts its rules back every 30 seconds, so see "
    "who takes them away (firewalld, configuration management)"
)


@dataclass(frozen=True, kw_only=True)
class RuleTable:
    """One table of one node.

    Attributes:
        node: the node's name.
        text: where its rules were collected.
        name: the table: ``nat``.
        should: what 3.11 would have in it.
        has: what was collected of it.
        egress_known: whether objects tell all egress IPs.
    """

    node: str
    text: Text
    name: str
    should: Table
    has: Table
    egress_known: bool

    @cached_property
    def wanted(self) -> dict[str, list[Rule]]:
        """The rules that should be there, by chain."""
        return _by_chain(self.should.rules)

    @cached_property
    def found(self) -> dict[str, list[Rule]]:
        """The rules that are there, by chain."""
        return _by_chain(self.has.rules)

    @cached_property
    def declared(self) -> frozenset[str]:
        """The chains that are there, empty ones included."""
        return frozenset(self.has.policies) | frozenset(self.found)

    def evidence(self, rule: Rule) -> Evidence:
        """A collected rule, and where it stands."""
        return Evidence(rule.text, str(self.text.at(self.text.line + rule.line - 1)))

    def missing(self, rule: Rule) -> Evidence:
        """A rule that was not collected, and where it is not."""
        return Evidence(f"missing in {self.name}: {rule.text}", self.text.file)

    def finding(  # noqa: PLR0913 - a finding has as many parts
        self,
        check: str,
        what: str,
        breaks: str,
        evidence: list[Evidence],
        *,
        bugs: tuple[str, ...] = (),
        severity: Severity = Severity.CRITICAL,
        advice: str = _SYNC,
        weight: int = 100,
    ) -> Finding:
        """A finding about this table's node."""
        return Finding(
            check=check,
            severity=severity,
            nodes=(self.node,),
            what=what,
            breaks=breaks,
            evidence=tuple(evidence),
            bugs=bugs,
            advice=advice,
            weight=weight,
        )


def is_about_egress(rule: Rule) -> bool:
    """Whether a rule follows from egress IPs or an EgressNetworkPolicy."""
    target = target_of(rule.text)
    return target == "SNAT" or (target == "REJECT" and " -d " in rule.text)


def _by_chain(found: Iterable[Rule]) -> dict[str, list[Rule]]:
    chains: dict[str, list[Rule]] = {}
    for rule in found:
        chains.setdefault(rule.chain, []).append(rule)
    return chains
