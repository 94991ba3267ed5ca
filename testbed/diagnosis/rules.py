"""Findings about a node's iptables: the SDN's own rules, and what stands in their way.

Rules of others are nobody's mistake. The SDN's chains, the jumps to them, and the two
marks of Kubernetes must be there, and in their order.

Source: openshift/origin release-3.11 pkg/network/node/iptables.go
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.diagnosis.finding import Evidence, Finding, Severity
from testbed.diagnosis.rule_effects import FOR_ADMINISTRATORS, effect_of
from testbed.diagnosis.rule_text import target_of, words_of
from testbed.diagnosis.service_rules import service_rules
from testbed.host.iptables import node_rules
from testbed.replay.rules import read_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from testbed.diagnosis.node import Node
    from testbed.diagnosis.rule_effects import Effect
    from testbed.diagnosis.service_rules import KnownServices
    from testbed.importing.evidence import Text
    from testbed.replay.rules import Rule, Table

_BUILT_IN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
_KUBERNETES = (
    "KUBE-FIREWALL",
    "KUBE-FORWARD",
    "KUBE-MARK-DROP",
    "KUBE-MARK-MASQ",
    "KUBE-POSTROUTING",
)
_SYNC = (
    "restart the node's sdn pod; the SDN puts its rules back every 30 seconds, so see "
    "who takes them away (firewalld, configuration management)"
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
        judge = _Judge(node, text, (name, table, found), egress_known=egress_known)
        yield from judge.findings()
        if found.rules:
            yield from service_rules(node, text, (name, table, found), services)
    yield from _blocking(node, text, read)


class _Judge:
    """One table of a node, against what it should be."""

    def __init__(
        self,
        node: Node,
        text: Text,
        tables: tuple[str, Table, Table],
        *,
        egress_known: bool,
    ) -> None:
        name, wanted, found = tables
        self._node = node
        self._text = text
        self._name = name
        self._egress_known = egress_known
        self._wanted = _by_chain(wanted.rules)
        self._found = _by_chain(found.rules)
        self._declared = found.policies.keys() | self._found.keys()

    def findings(self) -> Iterator[Finding]:
        if not self._found:
            yield self._flushed()
            return
        for chain, wanted in self._wanted.items():
            if not self._is_ours(chain):
                continue
            found = self._found.get(chain, [])
            needed = [rule for rule in wanted if self._is_needed(chain, rule)]
            yield from self._missing(chain, needed, found)
            yield from self._disorder(chain, needed, found)
            yield from self._stray(chain, wanted, found)
        yield from self._marks()

    def _flushed(self) -> Finding:
        is_nat = self._name == "nat"
        return self._finding(
            "iptables-flushed",
            f"iptables' table {self._name} has no rules",
            "services, hostPorts, and pods' way out: nothing is translated"
            if is_nat
            else "VXLAN and what pods send is let in and forwarded by the built-in "
            "chains' policies only",
            [Evidence(f"*{self._name} has chains and no rule", str(self._text.place))],
            bugs=("BZ1653380",),
            weight=600,
        )

    def _is_ours(self, chain: str) -> bool:
        return chain in (*_BUILT_IN, *_KUBERNETES) or chain.startswith("OPENSHIFT-")

    def _is_needed(self, chain: str, rule: Rule) -> bool:
        """Whether a real node always has this rule, too."""
        if chain in _KUBERNETES:
            # Marks are looked at by what they are, not by which bit.
            return False
        target = target_of(rule.text)
        if chain not in _BUILT_IN or target.startswith("OPENSHIFT-"):
            return True
        return target in self._declared or "127.0.0.0/8" in rule.text

    def _missing(
        self, chain: str, wanted: Sequence[Rule], found: Sequence[Rule]
    ) -> Iterator[Finding]:
        there = {words_of(rule.text) for rule in found}
        lost = [
            rule
            for rule in wanted
            if words_of(rule.text) not in there
            and (self._egress_known or not _is_about_egress(rule))
        ]
        if "KUBE-HOSTPORTS" not in self._declared or not self._has_hostports():
            lost = [rule for rule in lost if "127.0.0.0/8" not in rule.text]
        if lost and len(lost) == len(wanted) and chain not in _BUILT_IN and lost[1:]:
            effects = [self._effect(rule) for rule in lost]
            worst = min(effects, key=lambda effect: effect.severity)
            state = "is empty" if chain in self._declared else "is not there"
            yield self._finding(
                "iptables-chain-missing",
                f"iptables' chain {chain} {state}",
                worst.breaks,
                [Evidence(f"missing: {rule.text}", self._text.file) for rule in lost],
                bugs=worst.bugs,
                weight=200,
            )
            return
        for rule in lost:
            effect = self._effect(rule)
            yield self._finding(
                "iptables-rule-missing",
                f"iptables lack {rule.text}",
                effect.breaks,
                [Evidence(f"missing in {self._name}: {rule.text}", self._text.file)],
                bugs=effect.bugs,
                severity=effect.severity,
                weight=100 if effect.severity is Severity.CRITICAL else 15,
            )

    def _has_hostports(self) -> bool:
        return "KUBE-HOSTPORTS" in self._found or any(
            target_of(rule.text) == "KUBE-HOSTPORTS"
            for rules_ in self._found.values()
            for rule in rules_
        )

    def _effect(self, rule: Rule) -> Effect:
        return effect_of(self._name, rule.text)

    def _disorder(
        self, chain: str, wanted: Sequence[Rule], found: Sequence[Rule]
    ) -> Iterator[Finding]:
        """Rules that are all there, and in another order."""
        place: dict[object, int] = {}
        for number, rule in enumerate(found):
            place.setdefault(words_of(rule.text), number)
        common = [rule for rule in wanted if words_of(rule.text) in place]
        order = [place[words_of(rule.text)] for rule in common]
        if order == sorted(order):
            return
        now = [found[number] for number in sorted(order)]
        first = next(r for r, w in zip(now, common, strict=True) if r.text != w.text)
        is_built_in = chain in _BUILT_IN
        has_snat = any("-j SNAT" in rule.text for rule in common)
        harmless = _may_swap(chain, now)
        breaks = "nothing: these rules do not depend on each other"
        if not harmless:
            breaks = "what an earlier rule takes, the later do not see"
        if has_snat:
            breaks = "the namespace leaves from the node's address, not its egress IP"
        elif chain == "OPENSHIFT-MASQUERADE-2":
            breaks = (
                "what pods send within the cluster is masqueraded: NetworkPolicies "
            )
            breaks += "see the node instead of the sender"
        elif chain == "OPENSHIFT-FIREWALL-FORWARD":
            breaks = "invalid packets leave with pods' own addresses"
        elif chain == "FORWARD":
            breaks = "administrators' rules have no effect"
        bugs = ("BZ1501855",) if chain == "FORWARD" and not harmless else ()
        bugs = ("BZ1438762",) if chain == "OPENSHIFT-FIREWALL-FORWARD" else bugs
        if is_built_in and harmless:
            breaks = (
                "nothing that is known of; a node that came up normally has another"
            )
        severity = Severity.NOTE if harmless else Severity.WARNING
        if has_snat or chain == "OPENSHIFT-MASQUERADE-2":
            severity = Severity.CRITICAL
        yield self._finding(
            "iptables-order",
            f"rules of iptables' chain {chain} are out of order: {first.text} is too "
            "early",
            breaks,
            [Evidence(rule.text, str(self._text.at(self._line(rule)))) for rule in now],
            bugs=bugs,
            severity=severity,
            weight=60,
        )

    def _stray(
        self, chain: str, wanted: Sequence[Rule], found: Sequence[Rule]
    ) -> Iterator[Finding]:
        """Rules in the SDN's own chains that it did not put there."""
        if not chain.startswith("OPENSHIFT-") or chain == FOR_ADMINISTRATORS:
            return
        there = {words_of(rule.text) for rule in wanted}
        strays = [rule for rule in found if words_of(rule.text) not in there]
        for rule in strays:
            if not self._egress_known and _is_about_egress(rule):
                continue
            is_snat = target_of(rule.text) == "SNAT"
            is_first = found.index(rule) == 0 and bool(wanted)
            blocks = target_of(rule.text) in ("DROP", "REJECT", "RETURN") and is_first
            yield self._finding(
                "egress-ip-rule-stale" if is_snat else "iptables-rule-stray",
                f"iptables' chain {chain} has a rule that is not the SDN's: "
                f"{rule.text}",
                "packets with that mark leave from an egress IP that the node should "
                "not have"
                if is_snat
                else "it comes before all of the SDN's rules"
                if blocks
                else "the SDN throws it away when it next puts the chain right",
                [Evidence(rule.text, str(self._text.at(self._line(rule))))],
                bugs=("BZ1762235",) if is_snat else (),
                severity=Severity.WARNING if is_snat or blocks else Severity.NOTE,
                advice="delete the rule; administrators' rules belong in "
                f"{FOR_ADMINISTRATORS}",
                weight=10,
            )

    def _marks(self) -> Iterator[Finding]:
        """The chains that mark and those that heed marks must mean the same bit."""
        if self._name == "nat":
            yield from self._mark_pair("KUBE-MARK-MASQ", "KUBE-POSTROUTING")
        for chain in ("KUBE-FIREWALL", "KUBE-FORWARD"):
            if self._name == "filter" and chain in self._declared:
                yield from self._needs_rule(chain)

    def _needs_rule(self, chain: str) -> Iterator[Finding]:
        wanted = self._wanted.get(chain, [])
        if wanted and not self._found.get(chain):
            effect = self._effect(wanted[0])
            yield self._finding(
                "iptables-rule-missing",
                f"iptables lack {wanted[0].text}",
                effect.breaks,
                [Evidence(f"missing: {wanted[0].text}", self._text.file)],
                severity=effect.severity,
                weight=15,
            )

    def _mark_pair(self, marks: str, heeds: str) -> Iterator[Finding]:
        bits: dict[str, str] = {}
        for chain in (marks, heeds, "KUBE-MARK-DROP"):
            if chain not in self._declared:
                continue
            found = self._found.get(chain, [])
            if not found:
                yield from self._needs_rule(chain)
            for rule in found:
                words = words_of(rule.text)
                for part in (words.target, *words.matches):
                    if "mark 0x" in part:
                        bits[chain] = part.rpartition(" ")[2]
        if marks in bits and heeds in bits and bits[marks] != bits[heeds]:
            lines = [*self._found[marks], *self._found[heeds]]
            yield self._finding(
                "masquerade-mark",
                f"{marks} sets {bits[marks]}, and {heeds} looks for {bits[heeds]}",
                "what should be masqueraded is not, and packets with an egress IP "
                "may be",
                [
                    Evidence(rule.text, str(self._text.at(self._line(rule))))
                    for rule in lines
                ],
                bugs=("BZ1552869",),
                advice="give kubelet and kube-proxy the same "
                "iptables-masquerade-bit (0)",
                weight=100,
            )

    def _line(self, rule: Rule) -> int:
        return self._text.line + rule.line - 1

    def _finding(  # noqa: PLR0913 - a finding has as many parts
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
        return Finding(
            check=check,
            severity=severity,
            nodes=(self._node.name,),
            what=what,
            breaks=breaks,
            evidence=tuple(evidence),
            bugs=bugs,
            advice=advice,
            weight=weight,
        )


def _is_about_egress(rule: Rule) -> bool:
    target = target_of(rule.text)
    return target == "SNAT" or (target == "REJECT" and " -d " in rule.text)


def _by_chain(found: Iterable[Rule]) -> dict[str, list[Rule]]:
    chains: dict[str, list[Rule]] = {}
    for rule in found:
        chains.setdefault(rule.chain, []).append(rule)
    return chains


def _may_swap(chain: str, found: Sequence[Rule]) -> bool:
    """Whether rules do the same in this order, too.

    Who comes first in the built-in chains depends on who was restarted last.
    """
    if chain == "FORWARD":
        targets = [target_of(rule.text) for rule in found]
        late = targets.index(FOR_ADMINISTRATORS) if FOR_ADMINISTRATORS in targets else 0
        return "OPENSHIFT-FIREWALL-FORWARD" not in targets[:late]
    return chain in _BUILT_IN or {target_of(r.text) for r in found} == {"ACCEPT"}


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
