"""Findings about kube-proxy's rules: services that a node does not know, or wrongly.

Who answers for a service is known where its Endpoints are; only then are rules looked
at. The order of endpoints and their chances are kube-proxy's own affair.

Source: kubernetes release-1.11 pkg/proxy/iptables/proxier.go
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from testbed.diagnosis.finding import Evidence, Finding, Severity
from testbed.diagnosis.rule_text import RuleWords, comment_of, target_of, words_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from testbed.diagnosis.node import Node
    from testbed.diagnosis.rule_table import RuleTable
    from testbed.replay.rules import Rule

_Key: TypeAlias = "tuple[str, RuleWords]"

_CHAINS = ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS")
_PREFIXES = ("KUBE-SVC-", "KUBE-SEP-", "KUBE-FW-")
_LOCAL = "KUBE-XLB-"
"""It has a node's own endpoints, and so is another on each."""
_WITH_LOCAL = (*_PREFIXES, _LOCAL)
_CHOOSING = ("KUBE-SVC-", "KUBE-XLB-")
_NAMED = re.compile(r"(?:^|for )([a-z0-9][-a-z0-9.]*/[a-z0-9][-a-z0-9.]*):")
_LAST = "must be the last rule"
_HOSTPORT = re.compile(r"--dport (\d{1,5})\b")
_IDLED = "KUBE-PORTALS-CONTAINER"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownServices:
    """What is known of services' rules.

    Attributes:
        by_objects: services of which objects tell who answers for them.
        by_most: for others what most nodes have, by table and service.
    """

    by_objects: frozenset[str]
    by_most: Mapping[tuple[str, str], tuple[Rule, ...]] = field(repr=False)


def known_services(nodes: Sequence[Node], by_objects: frozenset[str]) -> KnownServices:
    """What nodes' rules about services should be, by objects or else by most nodes."""
    votes: dict[tuple[str, str], Counter[tuple[_Key, ...]]] = defaultdict(Counter)
    rules: dict[tuple[_Key, ...], tuple[Rule, ...]] = {}
    voting: Counter[str] = Counter()
    for node in nodes:
        for name, table in (node.iptables[1] if node.iptables else {}).items():
            by_service = _by_service(table.rules)
            voting[name] += bool(by_service)
            for service, found in by_service.items():
                if service not in by_objects:
                    alike = tuple(map(_key, found))
                    votes[name, service][alike] += 1
                    rules.setdefault(alike, tuple(found))
    most = {}
    for (name, service), counted in votes.items():
        alike, count = counted.most_common(1)[0]
        if count * 2 > voting[name]:
            most[name, service] = rules[alike]
        elif counted.total() * 2 < voting[name]:
            most[name, service] = ()
    return KnownServices(by_objects=by_objects, by_most=most)


def service_rules(table: RuleTable, known: KnownServices) -> Iterator[Finding]:
    """Find services whose rules are missing, more, or out of order."""
    if "KUBE-SERVICES" not in table.declared:
        return
    mine = _by_service(table.should.rules, _WITH_LOCAL)
    theirs = _by_service(table.has.rules, _WITH_LOCAL)
    idled = {
        service
        for service, rules in theirs.items()
        if any(rule.chain == _IDLED for rule in rules)
    }
    for service in sorted((mine.keys() | theirs.keys()) & known.by_objects - idled):
        both = mine.get(service, []), theirs.get(service, [])
        yield from _of_service(table, service, both)
    for (name, service), rules in known.by_most.items():
        if name == table.name and service not in idled:
            own = theirs.get(service, [])
            both = list(rules), [r for r in own if not r.chain.startswith(_LOCAL)]
            yield from _of_service(table, service, both)
    if table.name == "nat":
        yield from _last_rule(table)
        yield from _hostports(table)


def _by_service(
    rules: Iterable[Rule], prefixes: tuple[str, ...] = _PREFIXES
) -> dict[str, list[Rule]]:
    found: dict[str, list[Rule]] = defaultdict(list)
    for rule in rules:
        if rule.chain in (*_CHAINS, _IDLED) or rule.chain.startswith(prefixes):
            service = _NAMED.search(comment_of(rule.text))
            if service:
                found[service[1]].append(rule)
    return found


def _of_service(
    table: RuleTable, service: str, both: tuple[list[Rule], list[Rule]]
) -> Iterator[Finding]:
    mine, theirs = both
    have = {_key(rule) for rule in theirs}
    want = {_key(rule) for rule in mine}
    lost = [rule for rule in mine if _key(rule) not in have]
    more = [rule for rule in theirs if _key(rule) not in want]
    disorder = [] if lost or more else _out_of_order(mine, theirs)
    if not (lost or more or disorder):
        return
    verb = "lacks rules of"
    breaks = (
        f"{len(lost)} of its {len(mine)} rules are missing: it does not work here, "
    )
    breaks += "or does not reach all of its endpoints"
    if lost and len(lost) == len(mine):
        verb, breaks = (
            "does not know",
            "it does not work for what goes through this node",
        )
    elif not lost and more:
        to = sorted({end for rule in more if (end := _endpoint(rule))})
        verb = "has rules too many of"
        breaks = "it leads to what is no endpoint of it"
        breaks += f": {', '.join(to)}" if to else ""
    elif disorder:
        verb, breaks = (
            "has out of order the rules of",
            "rules are not asked that should be",
        )
        breaks += f", in {disorder[0].chain}"
    elif lost and more:
        verb = "has other rules of"
        breaks = "it leads to other endpoints than it has, or to none"
    shown = [table.missing(rule) for rule in lost]
    shown += [table.evidence(rule) for rule in (*more, *disorder)]
    yield Finding(
        check="service-rules",
        severity=Severity.CRITICAL if lost or more else Severity.WARNING,
        nodes=(table.node,),
        what=f"kube-proxy {verb} Service {service}",
        breaks=breaks,
        object=f"Service {service}",
        evidence=tuple(shown),
        bugs=("openshift/origin#19597",),
        advice="restart the node's sdn pod; see whether it reaches the API",
        weight=30,
    )


def _key(rule: Rule) -> _Key:
    return rule.chain, words_of(rule.text)


def _out_of_order(mine: list[Rule], theirs: list[Rule]) -> list[Rule]:
    """The rules of a chain whose order decides, where it is another one.

    In the chains that all services share, only the rules of one port depend on each
    other.
    """
    for (chain, port), rules in _by_port(theirs).items():
        if chain.startswith(_CHOOSING):
            ends = [r for r in rules if target_of(r.text).startswith("KUBE-SEP-")]
            # Who was served before comes first, then chances, then what is left.
            order = [
                0 if "--rcheck" in r.text else 1 if "statistic" in r.text else 2
                for r in ends
            ]
            if order != sorted(order) or order.count(2) > 1:
                return rules
            continue
        wanted = [words_of(r.text) for r in _by_port(mine).get((chain, port), [])]
        if [words_of(rule.text) for rule in rules] != wanted and sorted(
            map(str, wanted)
        ) == sorted(str(words_of(rule.text)) for rule in rules):
            return rules
    return []


def _by_port(rules: Iterable[Rule]) -> dict[tuple[str, str], list[Rule]]:
    """Rules by chain, and in shared chains by the port that they are for."""
    found: dict[tuple[str, str], list[Rule]] = defaultdict(list)
    for rule in rules:
        port = comment_of(rule.text).partition(" ")[0] if rule.chain in _CHAINS else ""
        found[rule.chain, port].append(rule)
    return found


def _endpoint(rule: Rule) -> str:
    return rule.text.partition("--to-destination ")[2].partition(" ")[0]


def _last_rule(table: RuleTable) -> Iterator[Finding]:
    """Node ports come last, else a service on a node's own address is not found."""
    services = table.has.of("KUBE-SERVICES")
    places = [n for n, rule in enumerate(services) if _LAST in rule.text]
    if services and (not places or places[-1] != len(services) - 1):
        is_there = bool(places)
        yield Finding(
            check="node-ports",
            severity=Severity.WARNING if is_there else Severity.CRITICAL,
            nodes=(table.node,),
            what="the jump to KUBE-NODEPORTS is not the last rule of KUBE-SERVICES"
            if is_there
            else "KUBE-SERVICES does not jump to KUBE-NODEPORTS",
            breaks="services on the node's own addresses may be taken for node ports"
            if is_there
            else "no node port works",
            evidence=(Evidence("KUBE-SERVICES", str(table.text.place)),),
            bugs=("openshift/origin#19597",),
            advice="restart the node's sdn pod",
            weight=40,
        )


def _hostports(table: RuleTable) -> Iterator[Finding]:
    found = table.has
    if "KUBE-HOSTPORTS" not in found.policies:
        return
    there = {
        port[1]
        for rule in found.rules
        if rule.chain.startswith("KUBE-HOSTPORTS")
        and (port := _HOSTPORT.search(rule.text))
    }
    chains = {rule.chain for rule in found.rules}
    has = {_key(rule) for rule in found.rules if rule.chain.startswith("KUBE-HP-")}
    for rule in table.should.rules:
        port = _HOSTPORT.search(rule.text)
        if rule.chain == "KUBE-HOSTPORTS":
            is_lost = port is not None and port[1] not in there
        else:
            is_own = rule.chain.startswith("KUBE-HP-")
            is_lost = is_own and rule.chain in chains and _key(rule) not in has
        if is_lost:
            yield Finding(
                check="hostport",
                severity=Severity.CRITICAL,
                nodes=(table.node,),
                what=f"iptables lack {rule.text}",
                breaks="a pod's hostPort does not work",
                evidence=(table.missing(rule),),
                bugs=("BZ1723924",),
                advice="delete the pod that has the hostPort",
                weight=15,
            )
