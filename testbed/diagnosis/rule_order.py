"""Findings about rules that are there: out of order, or not the SDN's.

Source: openshift/origin release-3.11 pkg/network/node/iptables.go
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.diagnosis.finding import Severity
from testbed.diagnosis.rule_effects import FOR_ADMINISTRATORS
from testbed.diagnosis.rule_table import BUILT_IN, is_about_egress
from testbed.diagnosis.rule_text import target_of, words_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbed.diagnosis.finding import Finding
    from testbed.diagnosis.rule_table import RuleTable
    from testbed.replay.rules import Rule

_MASQUERADE = "OPENSHIFT-MASQUERADE-2"
_BREAKS = {
    _MASQUERADE: "what pods send within the cluster is masqueraded: NetworkPolicies "
    "see the node instead of the sender",
    "OPENSHIFT-FIREWALL-FORWARD": "invalid packets leave with pods' own addresses",
    "FORWARD": "administrators' rules have no effect",
}
_BUGS = {
    "FORWARD": ("BZ1501855",),
    "OPENSHIFT-FIREWALL-FORWARD": ("BZ1438762",),
}


def disorder(
    table: RuleTable, chain: str, wanted: Sequence[Rule], found: Sequence[Rule]
) -> Iterator[Finding]:
    """Find rules that are all there, and in another order."""
    place: dict[object, int] = {}
    for number, rule in enumerate(found):
        place.setdefault(words_of(rule.text), number)
    common = [rule for rule in wanted if words_of(rule.text) in place]
    order = [place[words_of(rule.text)] for rule in common]
    if order == sorted(order):
        return
    now = [found[number] for number in sorted(order)]
    first = next(r for r, w in zip(now, common, strict=True) if r.text != w.text)
    has_snat = any("-j SNAT" in rule.text for rule in common)
    harmless = _may_swap(chain, now)
    severity = Severity.NOTE if harmless else Severity.WARNING
    if has_snat or chain == _MASQUERADE:
        severity = Severity.CRITICAL
    bugs = _BUGS.get(chain, ())
    if chain in BUILT_IN and harmless:
        breaks = "nothing that is known of; a node that came up normally has another"
        bugs = ()
    elif has_snat:
        breaks = "the namespace leaves from the node's address, not its egress IP"
    elif chain in _BREAKS:
        breaks = _BREAKS[chain]
    elif harmless:
        breaks = "nothing: these rules do not depend on each other"
    else:
        breaks = "what an earlier rule takes, the later do not see"
    yield table.finding(
        "iptables-order",
        f"rules of iptables' chain {chain} are out of order: {first.text} is too early",
        breaks,
        [table.evidence(rule) for rule in now],
        bugs=bugs,
        severity=severity,
        weight=60,
    )


def strays(
    table: RuleTable, chain: str, wanted: Sequence[Rule], found: Sequence[Rule]
) -> Iterator[Finding]:
    """Find rules in the SDN's own chains that it did not put there."""
    if not chain.startswith("OPENSHIFT-") or chain == FOR_ADMINISTRATORS:
        return
    there = {words_of(rule.text) for rule in wanted}
    for rule in found:
        if words_of(rule.text) in there:
            continue
        if not table.egress_known and is_about_egress(rule):
            continue
        is_snat = target_of(rule.text) == "SNAT"
        is_first = found.index(rule) == 0 and bool(wanted)
        blocks = target_of(rule.text) in ("DROP", "REJECT", "RETURN") and is_first
        yield table.finding(
            "egress-ip-rule-stale" if is_snat else "iptables-rule-stray",
            f"iptables' chain {chain} has a rule that is not the SDN's: {rule.text}",
            "packets with that mark leave from an egress IP that the node should "
            "not have"
            if is_snat
            else "it comes before all of the SDN's rules"
            if blocks
            else "the SDN throws it away when it next puts the chain right",
            [table.evidence(rule)],
            bugs=("BZ1762235",) if is_snat else (),
            severity=Severity.WARNING if is_snat or blocks else Severity.NOTE,
            advice="delete the rule; administrators' rules belong in "
            f"{FOR_ADMINISTRATORS}",
            weight=10,
        )


def _may_swap(chain: str, found: Sequence[Rule]) -> bool:
    """Whether rules do the same in this order, too.

    Who comes first in the built-in chains depends on who was restarted last.
    """
    if chain == "FORWARD":
        targets = [target_of(rule.text) for rule in found]
        late = targets.index(FOR_ADMINISTRATORS) if FOR_ADMINISTRATORS in targets else 0
        return "OPENSHIFT-FIREWALL-FORWARD" not in targets[:late]
    return chain in BUILT_IN or {target_of(r.text) for r in found} == {"ACCEPT"}
