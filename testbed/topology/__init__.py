"""YAML of OpenShift API objects in, a ``Cluster`` out; all validation lives here.

``document`` reads YAML with line numbers, ``objects`` takes lists apart and gives each
object its shape (``schema``), ``complete`` fills in what controllers would, ``check``
says what no cluster can be. Every step collects problems, so that all are told at once.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.errors import TopologyError
from testbed.model import Cluster, Plugin
from testbed.topology.check import check
from testbed.topology.complete import complete
from testbed.topology.document import Node, read
from testbed.topology.objects import KINDS, Entry, Source, objects, parse
from testbed.topology.problem import Problem, printable, shortened
from testbed.topology.schema import Phase, Pod

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from testbed.topology.complete import Draft
    from testbed.topology.schema import Object

__all__ = ["LARGEST", "Topology", "load", "loads"]

LARGEST = 64 << 20
"""Bytes of a topology file: more than ``oc`` prints for five thousand pods."""

_POLICIES = ("NetworkPolicy", "EgressNetworkPolicy")
"""Kinds that mean nothing under ovs-subnet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A cluster, and one line for each thing in its file that was passed over."""

    cluster: Cluster
    warnings: tuple[str, ...]


def load(path: Path) -> Topology:
    """Read a topology file.

    Raises:
        TopologyError: it cannot be read, or describes no possible cluster.
    """
    try:
        with path.open("rb") as file:
            contents = file.read(LARGEST + 1)
        if len(contents) > LARGEST:
            text = f"{path}: is larger than {LARGEST >> 20} MiB"
            raise TopologyError([printable(text)])
        text = contents.decode()
    except OSError as error:
        text = f"{path}: {(error.strerror or 'cannot be read').lower()}"
        raise TopologyError([printable(text)]) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problem = Problem(line, "is not UTF-8 text")
        raise TopologyError([problem.render(str(path))]) from error
    return loads(text, str(path))


def loads(text: str, filename: str) -> Topology:
    """Read a topology from text; ``filename`` is what problems call it.

    Raises:
        TopologyError: it describes no possible cluster.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    documents = read(text, problems)
    # Broken YAML and, where a "---" is missing, keys given twice hide other objects.
    sources = [Source("", "", Node(1, None))] if problems else []
    sources += [s for document in documents for s in objects(document, problems)]
    if not sources:
        problems.append(Problem(1, "holds no objects"))
    known, repeated = _distinct(_pass_over_unknown_kinds(sources, warnings), problems)
    if sources:
        problems += _missing_kinds(known)
    entries, broken = [], repeated
    for source in known:
        if source.kind and (value := parse(source, problems)):
            entries.append(Entry(value, source))
        else:
            broken.append(source)
    entries = _pass_over_idle_pods(entries, warnings)
    draft = complete(entries, broken, problems)
    problems += check(draft)
    if problems:
        raise TopologyError(_rendered(problems, filename))
    return Topology(cluster=_cluster(draft), warnings=_rendered(warnings, filename))


def _rendered(problems: Iterable[Problem], filename: str) -> tuple[str, ...]:
    ordered = sorted(problems, key=lambda problem: problem.line)
    return tuple(dict.fromkeys(problem.render(filename) for problem in ordered))


def _pass_over_unknown_kinds(
    sources: Iterable[Source], warnings: list[Problem]
) -> list[Source]:
    """Leave out the kinds that the testbed does not read, with a warning for each."""
    known: list[Source] = []
    unknown: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        kept = (
            known if source.kind in KINDS or not source.kind else unknown[source.kind]
        )
        kept.append(source)
    for kind, passed_over in unknown.items():
        reason = "nothing is made of this kind yet"
        if kind in _POLICIES:
            reason = f"{Plugin.SUBNET} enforces none"
        text = f"{shortened(kind)}: {len(passed_over)} passed over; {reason}"
        warnings.append(Problem(passed_over[0].node.line, text))
    return known


def _pass_over_idle_pods(
    entries: Iterable[Entry[Object]], warnings: list[Problem]
) -> list[Entry[Object]]:
    """Leave out pods that have no network, with a warning for each."""
    kept = []
    for value, source in entries:
        if isinstance(value, Pod) and value.status.phase is not Phase.RUNNING:
            text = f"is {value.status.phase}, not Running; passed over"
            warnings.append(source.problem(("status", "phase"), text))
        else:
            kept.append(Entry(value, source))
    return kept


def _distinct(
    sources: Iterable[Source], problems: list[Problem]
) -> tuple[list[Source], list[Source]]:
    """The first object of each name, and the others, which may be of any name."""
    first: dict[tuple[str, str], Source] = {}
    kept, repeated = [], []
    for source in sources:
        holder = source
        if source.kind and source.key:
            # A Namespace and a Project of one name are one thing, seen twice.
            holder = first.setdefault((source.kind, source.key), source)
        if holder is source:
            kept.append(source)
        else:
            text = f"is there twice; first in line {holder.node.line}"
            problems.append(source.problem((), text))
            repeated.append(Source(source.kind, "", source.node))
    return kept, repeated


def _missing_kinds(sources: Sequence[Source]) -> Iterable[Problem]:
    """Say which objects a cluster cannot be without, or have more than one of."""
    for kind in ("ClusterNetwork", "HostSubnet"):
        if not any(source.kind in (kind, "") for source in sources):
            yield Problem(1, f"{kind}: is missing; a cluster needs one")
    for kind in ("ClusterNetwork", "Underlay"):
        for extra in [source for source in sources if source.kind == kind][1:]:
            yield extra.problem((), "is one too many; a cluster has one")


def _cluster(draft: Draft) -> Cluster:
    """The draft without its sources; called when there are no problems."""
    assert draft.network  # noqa: S101 - else there was a problem
    assert draft.underlay  # noqa: S101 - else there was a problem
    return Cluster(
        network=draft.network.value,
        host_subnets=tuple(entry.value for entry in draft.host_subnets),
        net_namespaces=draft.net_namespaces,
        namespaces=draft.namespaces,
        pods=tuple(entry.value for entry in draft.pods),
        services=tuple(entry.value for entry in draft.services),
        endpoints=draft.endpoints,
        underlay=draft.underlay.value,
    )
