"""Which mutants a plugin's cluster has, and which scenarios could kill each.

Of every kind the flow, or rule, that most scenarios hit is broken first; where none
notices, a few others of the kind. A scenario could notice if it hit the flow itself, or
another one that the changed flow would now take packets from.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from testbed.coverage import kind_of
from testbed.mutation.equivalence import why_equivalent, why_the_same_as_deleted
from testbed.mutation.equivalents import judged_equivalent
from testbed.mutation.fault import FlowFault, RuleFault
from testbed.mutation.fields import Match
from testbed.mutation.flows import Choices, flow_changes
from testbed.mutation.mutant import Mutant, Site, Spared
from testbed.mutation.pipeline import Pipeline
from testbed.mutation.rules import Ruleset, rule_changes
from testbed.mutation.survey import FlowAt, RuleAt
from testbed.openflow import OFPort

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from testbed.mutation.flows import FlowChange
    from testbed.mutation.mutant import Operator
    from testbed.mutation.survey import Observation, Survey
    from testbed.openflow import Flow

_VALUES = (
    (re.compile(r"(?<=load:)(0x[0-9a-f]+|0)(?=->)"), "…"),
    (re.compile(r"(?<=set_field:)[^-]+(?=->)"), "…"),
    (re.compile(rf"(?<=output:)(?!{OFPort.VXLAN0:d}$|{OFPort.TUN0:d}$)\d+"), "…"),
)
_CANDIDATES = 8
"""Flows of a kind that are looked at for some that a change matters for."""
_MOST_SITES = 4
"""Flows of a kind that are broken before it survives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The mutants to be run, and those that were not made since nobody could tell."""

    mutants: tuple[Mutant, ...]
    spared: tuple[Spared, ...]


def plan(survey: Survey) -> Plan:
    """The mutants of a plugin's cluster."""
    mutants: list[Mutant] = []
    spared: list[Spared] = []
    for item in chain(_flow_mutants(survey), _rule_mutants(survey)):
        if isinstance(item, Mutant):
            mutants.append(item)
        else:
            spared.append(item)
    return Plan(mutants=tuple(mutants), spared=tuple(spared))


def flow_kind(flow: Flow) -> str:
    """What a flow has in common with others, in its actions too."""
    shapes = dict.fromkeys(map(_shape, flow.actions))
    return f"{kind_of(flow)} actions={','.join(shapes)}"


def _shape(action: str) -> str:
    for pattern, general in _VALUES:
        action = pattern.sub(general, action)
    return action


@dataclass(frozen=True)
class _NodeFlows:
    """All that one node's br0 was programmed with, one time or another."""

    name: str
    programs: Sequence[Pipeline]

    @cached_property
    def union(self) -> Pipeline:
        """The flows of all programs as if they were one."""
        flows = dict.fromkeys(chain.from_iterable(p.flows for p in self.programs))
        return Pipeline(tuple(flows))

    def having(self, flow: Flow) -> Iterator[Pipeline]:
        """Yield the programs that have this very flow."""
        return (program for program in self.programs if flow in program.members)

    def takers(self, flow: Flow, changed: Flow) -> Iterator[Flow]:
        """Yield the flows that a flow would take packets from if it were changed.

        In each program by itself: a flow that another program has after it may take
        all that is left, and hide who gets the packets in this one.
        """
        table, match = int(flow.table), Match(changed.match)
        for program in self.programs:
            for own in program.tables.get(table, ()):
                if (own.priority, own.match) == (flow.priority, flow.match):
                    yield from program.takers(
                        table, match, below=changed.priority, without=own
                    )

    def at(self, flow: Flow) -> FlowAt:
        """Where it is."""
        return FlowAt(self.name, int(flow.table), flow.selector)


def _flow_mutants(survey: Survey) -> Iterator[Mutant | Spared]:
    hits = _by_hit(survey.observations.values(), flows=True)
    nodes = [
        _NodeFlows(name, [Pipeline(flows) for flows in programs])
        for name, programs in survey.flows.items()
    ]
    found: dict[str, list[tuple[_NodeFlows, Flow]]] = defaultdict(list)
    for node in nodes:
        for flow in node.union.flows:
            found[flow_kind(flow)].append((node, flow))
    for kind, candidates in sorted(found.items(), key=lambda item: item[1][0][1].table):
        candidates.sort(key=lambda item: -len(hits[item[0].at(item[1])]))
        yield from _together(
            _changed_flow(survey, kind, node, flow)
            for node, flow in candidates[:_CANDIDATES]
        )


def _together(
    candidates: Iterable[Iterable[Mutant | Spared]],
) -> Iterator[Mutant | Spared]:
    """Yield each way to get a kind wrong once, with all places where it matters."""
    ways: dict[tuple[Operator, int], list[Mutant | Spared]] = defaultdict(list)
    for changes in candidates:
        seen: Counter[Operator] = Counter()
        for item in changes:
            ways[item.operator, seen[item.operator]].append(item)
            seen[item.operator] += 1
    for items in ways.values():
        mutants = [item for item in items if isinstance(item, Mutant)]
        if not mutants:
            yield items[0]
            continue
        sites = [site for mutant in mutants for site in mutant.sites]
        covered = [site for site in sites if site.covering] or sites[:1]
        yield replace(mutants[0], sites=tuple(covered[:_MOST_SITES]))


def _changed_flow(
    survey: Survey, kind: str, node: _NodeFlows, flow: Flow
) -> Iterator[Mutant | Spared]:
    programs = list(node.having(flow))
    for change in flow_changes(flow, programs[0], _choices(survey, node.name)):
        reasons = [why_equivalent(change, flow, program) for program in programs]
        same = [why_the_same_as_deleted(change, flow, program) for program in programs]
        reason = reasons[0] if all(reasons) else same[0] if all(same) else ""
        if reason:
            yield Spared(
                plugin=survey.plugin,
                kind=kind,
                operator=change.operator,
                change=change.text,
                reason=reason,
            )
            continue
        yield Mutant(
            plugin=survey.plugin,
            kind=kind,
            operator=change.operator,
            change=change.text,
            judged=_judgement(survey, kind, change.operator, change.text),
            sites=(
                Site(
                    original=str(flow),
                    fault=FlowFault.of(node.name, flow, change.edit),
                    covering=_covering(survey, node, flow, change),
                ),
            ),
        )


def _judgement(survey: Survey, kind: str, operator: Operator, change: str) -> str:
    return judged_equivalent(
        plugin=survey.plugin,
        datapath=survey.datapath,
        kind=kind,
        operator=operator,
        change=change,
    )


def _covering(
    survey: Survey, node: _NodeFlows, flow: Flow, change: FlowChange
) -> tuple[str, ...]:
    concerned = {node.at(flow)}
    changed = change.edit(flow)
    robbed: set[FlowAt] = set()
    if changed is not None and changed.match != flow.match:
        robbed = {node.at(taker) for taker in node.takers(flow, changed)}
        if robbed and Match(changed.match).contains(Match(flow.match)):
            concerned.clear()  # its own packets fare as before
    ranked = sorted(
        (
            not observed.flows & robbed,
            observed.seconds * observed.breadth,
            observed.scenario,
        )
        for observed in survey.observations.values()
        if observed.flows & (concerned | robbed)
    )
    return tuple(scenario for *_, scenario in ranked)


def _choices(survey: Survey, name: str) -> Choices:
    cluster = survey.cluster
    node = cluster.node(name)
    vnids = (
        {0}
        if not cluster.network.plugin.has_vnids
        else {item.netid for item in cluster.net_namespaces}
    )
    return Choices(
        ofports=tuple(
            pod.ofport for pod in cluster.pods_on(node) if pod.ofport is not None
        ),
        vnids=tuple(sorted(vnids)),
        nodes=tuple(peer.host_ip for peer in cluster.peers(node)),
    )


def _rule_mutants(survey: Survey) -> Iterator[Mutant | Spared]:
    hits = _by_hit(survey.observations.values(), flows=False)
    found: dict[str, list[RuleAt]] = defaultdict(list)
    rulesets = {
        name: [Ruleset(text) for text in texts] for name, texts in survey.rules.items()
    }
    for name, of_node in rulesets.items():
        every = dict.fromkeys(
            rule
            for ruleset in of_node
            for rules in ruleset.chains.values()
            for rule in rules
        )
        for rule in every:
            found[rule.kind].append(RuleAt(name, rule))
    for kind, candidates in sorted(found.items()):
        candidates.sort(key=lambda item: -len(hits[item]))
        yield from _together(
            _changed_rule(survey, kind, at, rulesets[at.node])
            for at in candidates[:_CANDIDATES]
        )


def _changed_rule(
    survey: Survey, kind: str, at: RuleAt, rulesets: Sequence[Ruleset]
) -> Iterator[Mutant | Spared]:
    cluster, rule = survey.cluster, at.rule
    having = [ruleset for ruleset in rulesets if rule in ruleset.rules]
    covering = _ranked(
        observed for observed in survey.observations.values() if at in observed.rules
    )
    for change in rule_changes(
        rule,
        endpoints=[pod.ip for pod in cluster.pods if not pod.host_network],
        nodes=[node.host_ip for node in cluster.nodes],
    ):
        reasons = [ruleset.why_equivalent(rule, change.operator) for ruleset in having]
        if all(reasons):
            yield Spared(
                plugin=survey.plugin,
                kind=kind,
                operator=change.operator,
                change=change.text,
                reason=reasons[0],
            )
            continue
        yield Mutant(
            plugin=survey.plugin,
            kind=kind,
            operator=change.operator,
            change=change.text,
            judged=_judgement(survey, kind, change.operator, change.text),
            sites=(
                Site(
                    original=str(rule),
                    fault=RuleFault(
                        node=at.node, table=rule.table, old=rule.text, new=change.new
                    ),
                    covering=covering,
                ),
            ),
        )


def _ranked(observations: Iterable[Observation]) -> tuple[str, ...]:
    """The quickest and most specific first."""
    ranked = sorted(
        (item.seconds * item.breadth, item.scenario) for item in observations
    )
    return tuple(scenario for _, scenario in ranked)


def _by_hit(
    observations: Iterable[Observation], *, flows: bool
) -> defaultdict[FlowAt | RuleAt, set[str]]:
    """The scenarios that hit each flow, or each rule."""
    hits: defaultdict[FlowAt | RuleAt, set[str]] = defaultdict(set)
    for observed in observations:
        places: Collection[FlowAt | RuleAt] = (
            observed.flows if flows else observed.rules
        )
        for at in places:
            hits[at].add(observed.scenario)
    return hits
