"""Findings about a node's iptables: the SDN's own rules, and what stands in their way.

Rules of others are nobody's mistake. The SDN's chains, the jumps to them, and the two
marks of Kubernetes must be there, and in their order.

Source: openshift/origin release-3.11 pkg/network/node/iptables.go
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.diagnosis.finding import Evidence, Finding, Severity
from testbed.diagnosis.rule_effects import effect_of
from testbed.diagnosis.rule_order import disorder, strays
from testbed.diagnosis.rule_table import BUILT_IN, RuleTable, is_about_egress
from testbed.diagnosis.rule_text import target_of, words_of
from testbed.diagnosis.service_rules import service_rules
from testbed.host.iptables import node_rules
from testbed.replay.rules import read_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from testbed.diagnosis.node import Node
    from testbed.diagnosis.rule_effects import Effect
    from testbed.diagnosis.service_rules import KnownServices
    from testbed.importing.evidence import Text
    from testbed.replay.rules import Rule, Table

_KUBERNETES = (
    "KUBE-FIREWALL",
    "KUBE-FORWARD",
    "KUBE-MARK-DROP",
    "KUBE-MARK-MASQ",
    "KUBE-POSTROUTING",
)


def rules(
    node: Node, services: KnownServices, *, egress_known: bool
) -> Iterator[Finding]:
    """Find what is wrong with a node's rules.

    Args:
        node: the node.
        services: what its rules about services should be.
        egress_known: whether objects tell all egress IPs.
    """
    if node.iptables is None:
        return
    text, read = node.iptables
    wanted = read_rules(node_rules(node.cluster, node.host)).tables
    for name, table in wanted.items():
        found = read.get(name)
        if found is None or not (found.policies or found.rules):
            continue
        beside = RuleTable(
            node=node.name,
            text=text,
            name=name,
            should=table,
            has=found,
            egress_known=egress_known,
        )
        yield from _Judge(beside).findings()
        if found.rules:
            yield from service_rules(beside, services)
    yield from _blocking(node, text, read)


class _Judge:
    """One table of a node, against what it should be."""

    def __init__(self, table: RuleTable) -> None:
        self._table = table

    def findings(self) -> Iterator[Finding]:
        if not self._table.found:
            yield self._flushed()
            return
        for chain, wanted in self._table.wanted.items():
            if not self._is_ours(chain):
                continue
            found = self._table.found.get(chain, [])
            needed = [rule for rule in wanted if self._is_needed(chain, rule)]
            yield from self._missing(chain, needed, found)
            yield from disorder(self._table, chain, needed, found)
            yield from strays(self._table, chain, wanted, found)
        yield from self._marks()

    def _flushed(self) -> Finding:
        is_nat = self._table.name == "nat"
        return self._table.finding(
            "iptables-flushed",
            f"iptables' table {self._table.name} has no rules",
            "services, hostPorts, and pods' way out: nothing is translated"
            if is_nat
            else "VXLAN and what pods send is let in and forwarded by the built-in "
            "chains' policies only",
            [
                Evidence(
                    f"*{self._table.name} has chains and no rule",
                    str(self._table.text.place),
                )
            ],
            bugs=("BZ1653380",),
            weight=600,
        )

    def _is_ours(self, chain: str) -> bool:
        return chain in (*BUILT_IN, *_KUBERNETES) or chain.startswith("OPENSHIFT-")

    def _is_needed(self, chain: str, rule: Rule) -> bool:
        """Whether a real node always has this rule, too."""
        if chain in _KUBERNETES:
            # Marks are looked at by what they are, not by which bit.
            return False
        target = target_of(rule.text)
        if chain not in BUILT_IN or target.startswith("OPENSHIFT-"):
            return True
        return target in self._table.declared or "127.0.0.0/8" in rule.text

    def _missing(
        self, chain: str, wanted: Sequence[Rule], found: Sequence[Rule]
    ) -> Iterator[Finding]:
        there = {words_of(rule.text) for rule in found}
        lost = [
            rule
            for rule in wanted
            if words_of(rule.text) not in there
            and (self._table.egress_known or not is_about_egress(rule))
        ]
        if "KUBE-HOSTPORTS" not in self._table.declared or not self._has_hostports():
            lost = [rule for rule in lost if "127.0.0.0/8" not in rule.text]
        if lost and len(lost) == len(wanted) and chain not in BUILT_IN and lost[1:]:
            effects = [self._effect(rule) for rule in lost]
            worst = min(effects, key=lambda effect: effect.severity)
            state = "is empty" if chain in self._table.declared else "is not there"
            yield self._table.finding(
                "iptables-chain-missing",
                f"iptables' chain {chain} {state}",
                worst.breaks,
                [self._table.missing(rule) for rule in lost],
                bugs=worst.bugs,
                weight=200,
            )
            return
        for rule in lost:
            effect = self._effect(rule)
            yield self._table.finding(
                "iptables-rule-missing",
                f"iptables lack {rule.text}",
                effect.breaks,
                [self._table.missing(rule)],
                bugs=effect.bugs,
                severity=effect.severity,
                weight=100 if effect.severity is Severity.CRITICAL else 15,
            )

    def _has_hostports(self) -> bool:
        return "KUBE-HOSTPORTS" in self._table.found or any(
            target_of(rule.text) == "KUBE-HOSTPORTS"
            for rules_ in self._table.found.values()
            for rule in rules_
        )

    def _effect(self, rule: Rule) -> Effect:
        return effect_of(self._table.name, rule.text)

    def _marks(self) -> Iterator[Finding]:
        """The chains that mark and those that heed marks must mean the same bit."""
        if self._table.name == "nat":
            yield from self._mark_pair("KUBE-MARK-MASQ", "KUBE-POSTROUTING")
        for chain in ("KUBE-FIREWALL", "KUBE-FORWARD"):
            if self._table.name == "filter" and chain in self._table.declared:
                yield from self._needs_rule(chain)

    def _needs_rule(self, chain: str) -> Iterator[Finding]:
        wanted = self._table.wanted.get(chain, [])
        if wanted and not self._table.found.get(chain):
            effect = self._effect(wanted[0])
            yield self._table.finding(
                "iptables-rule-missing",
                f"iptables lack {wanted[0].text}",
                effect.breaks,
                [self._table.missing(wanted[0])],
                severity=effect.severity,
                weight=15,
            )

    def _mark_pair(self, marks: str, heeds: str) -> Iterator[Finding]:
        bits: dict[str, str] = {}
        for chain in (marks, heeds, "KUBE-MARK-DROP"):
            if chain not in self._table.declared:
                continue
            found = self._table.found.get(chain, [])
            if not found:
                yield from self._needs_rule(chain)
            for rule in found:
                words = words_of(rule.text)
                for part in (words.target, *words.matches):
                    if "mark 0x" in part:
                        bits[chain] = part.rpartition(" ")[2]
        if marks in bits and heeds in bits and bits[marks] != bits[heeds]:
            lines = [*self._table.found[marks], *self._table.found[heeds]]
            yield self._table.finding(
                "masquerade-mark",
                f"{marks} sets {bits[marks]}, and {heeds} looks for {bits[heeds]}",
                "what should be masqueraded is not, and packets with an egress IP "
                "may be",
                [self._table.evidence(rule) for rule in lines],
                bugs=("BZ1552869",),
                advice="give kubelet and kube-proxy the same "
                "iptables-masquerade-bit (0)",
                weight=100,
            )


def _blocking(node: Node, text: Text, tables: Mapping[str, Table]) -> Iterator[Finding]:
    """Rules, anybody's, that drop VXLAN."""
    port = str(node.cluster.network.vxlan_port)
    found = [
        Evidence(f"{name}: {rule.text}", str(text.at(text.line + rule.line - 1)))
        for name, table in tables.items()
        for rule in table.rules
        if target_of(rule.text) in ("DROP", "REJECT") and _is_to_port(rule, port)
    ]
    if found:
        yield Finding(
            check="vxlan-blocked",
            severity=Severity.CRITICAL,
            nodes=(node.name,),
            what=f"iptables drop VXLAN (UDP {port})",
            breaks="no traffic between pods here and pods of other nodes",
            evidence=tuple(found),
            bugs=("openshift/origin#14713",),
            advice="delete the rule; see who made it",
            weight=500,
        )


def _is_to_port(rule: Rule, port: str) -> bool:
    return any(
        f"--dport {port}" in part or f"--dports {port}" in part
        for part in words_of(rule.text).matches
    )
