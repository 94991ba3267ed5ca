"""What a diagnosis says: findings, each with its evidence, ranked."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from testbed.topology.problem import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbed.model import Pod

FORMAT = 1
"""Of the JSON; grows when a program that read the last one could not read it."""

_MOST_NODES = 4
"""Nodes that a title names."""

_MOST_EVIDENCE = 12
"""Pieces of evidence that a finding keeps; the others are counted."""


class Severity(enum.IntEnum):
    """How bad it is, the worst first.

    CRITICAL: packets that should arrive are lost, or get where they must not.
    WARNING: few packets need what is broken, or it will break at the next change.
    NOTE: no packet notices.
    """

    CRITICAL = 0
    WARNING = 1
    NOTE = 2

    def __str__(self) -> str:
        return self.name.lower()


class Evidence(NamedTuple):
    """What was read, and where: a flow, a rule, a field of an object.

    ``place`` is ``file:line``; empty for what should be there and is not.
    """

    text: str
    place: str = ""

    def __str__(self) -> str:
        return printable(f"{self.text} ({self.place})" if self.place else self.text)


class FlowKey(NamedTuple):
    """Which flow a finding is about: node, table, priority and match."""

    node: str
    table: int
    selector: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, with one cause.

    Attributes:
        check: what found it, a word to grep for: ``host-subnet-forgotten``.
        severity: how bad it is.
        nodes: the nodes that it is so on; empty where it is about objects alone.
        what: the matter, without the nodes' names.
        breaks: what does not work because of it.
        object: the API object that it is about, as ``Pod shop/web``; empty if none.
        evidence: what shows it, the most telling first.
        unshown: how much more evidence there is.
        bugs: references of known bugs that do this.
        advice: what to do.
        flows: the flows that are missing, wrong or too many.
        weight: how much hangs on it, to rank those of one severity.
    """

    check: str
    severity: Severity
    what: str
    breaks: str
    advice: str
    nodes: tuple[str, ...] = ()
    object: str = ""
    evidence: tuple[Evidence, ...] = ()
    unshown: int = 0
    bugs: tuple[str, ...] = ()
    flows: frozenset[FlowKey] = field(default=frozenset(), repr=False)
    weight: int = 1

    @property
    def title(self) -> str:
        """Who and what, in one line."""
        return printable(
            f"{names(self.nodes)}: {self.what}" if self.nodes else self.what
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All findings about one collection, and what could not be looked at.

    Attributes:
        summary: what was looked at, in one line.
        findings: the worst first.
        not_looked_at: one line each for what was not collected.
    """

    summary: str
    findings: tuple[Finding, ...]
    not_looked_at: tuple[str, ...] = ()

    @property
    def is_healthy(self) -> bool:
        """Whether no packet suffers from anything that was found."""
        return all(f.severity is Severity.NOTE for f in self.findings)

    def blamed(self, flows: Iterable[FlowKey]) -> list[Finding]:
        """The findings that one of these flows belongs to, in their order."""
        wanted = set(flows)
        return [finding for finding in self.findings if finding.flows & wanted]


def short(node: str) -> str:
    """A node's name up to its domain."""
    return node.partition(".")[0]


def names(nodes: Iterable[str]) -> str:
    """Nodes' short names: ``oc-01, oc-02 and 3 more``."""
    shown = list(dict.fromkeys(map(short, nodes)))
    if len(shown) > _MOST_NODES + 1:
        return f"{', '.join(shown[:_MOST_NODES])} and {len(shown) - _MOST_NODES} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def delete_pod(pod: Pod) -> str:
    """The advice to have a pod made anew, with new flows and a new address."""
    return f"delete the pod (oc -n {pod.namespace} delete pod {pod.name})"


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """What is the same on several nodes once, and the worst first."""
    merged: dict[tuple[str, str, str, Severity], Finding] = {}
    for finding in findings:
        key = finding.check, finding.object, finding.what, finding.severity
        before = merged.get(key)
        merged[key] = _joined(before, finding) if before else _trimmed(finding)
    return tuple(
        sorted(
            merged.values(),
            key=lambda f: (f.severity, -f.weight, f.nodes, f.check, f.object, f.what),
        )
    )


def _joined(one: Finding, other: Finding) -> Finding:
    evidence = (*one.evidence, *(e for e in other.evidence if e not in one.evidence))
    return _trimmed(
        replace(
            one,
            nodes=tuple(dict.fromkeys((*one.nodes, *other.nodes))),
            evidence=evidence,
            unshown=one.unshown + other.unshown,
            bugs=tuple(dict.fromkeys((*one.bugs, *other.bugs))),
            flows=one.flows | other.flows,
            weight=one.weight + other.weight,
        )
    )


def _trimmed(finding: Finding) -> Finding:
    over = len(finding.evidence) - _MOST_EVIDENCE
    if over <= 0:
        return finding
    return replace(
        finding,
        evidence=finding.evidence[:_MOST_EVIDENCE],
        unshown=finding.unshown + over,
    )
