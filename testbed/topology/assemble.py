"""From API objects, wherever they were written, to one cluster; and its changes."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from testbed.errors import TopologyError
from testbed.model import Cluster
from testbed.topology import schema
from testbed.topology.admission import refused
from testbed.topology.check import check
from testbed.topology.complete import complete
from testbed.topology.document import Node, plain, read
from testbed.topology.doubts import doubts
from testbed.topology.objects import (
    KINDS,
    Entry,
    Source,
    objects,
    parse,
    unknown_fields,
)
from testbed.topology.pins import carried, changes_refused, pinned
from testbed.topology.problem import Problem, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from testbed.topology.complete import Draft

_Identity: TypeAlias = tuple[str, str]

_IMMORTAL: Sequence[_Identity] = tuple(
    ("Namespace", name) for name in ("default", "kube-system", "kube-public")
)
"""Source: kubernetes release-1.11 plugin/pkg/admission/namespace/lifecycle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A cluster, the API objects it consists of, and warnings about them.

    ``warnings`` has one line for each thing that was passed over, or that 3.11 takes
    otherwise than it was meant. ``objects`` are those of the file and those that
    controllers made of them, with every number and address that was handed out.
    """

    cluster: Cluster
    warnings: tuple[str, ...]
    objects: tuple[Source, ...]

    def applied(self, text: str, filename: str) -> Topology:
        """The topology after ``oc apply`` of these objects: they replace and add.

        What was handed out to an object of the same name stays with it.

        Raises:
            TopologyError: the result is no possible cluster, or the text no objects.
        """
        problems: list[Problem] = []
        new = read_objects(text, filename, problems)
        replacing = {_identity(source): source for source in reversed(new)}
        merged: list[Source] = []
        replaced = set[_Identity]()
        for old in self.objects:
            identity = _identity(old)
            if identity not in replacing:
                merged.append(old)
            elif identity not in replaced:
                replaced.add(identity)
                refusals = list(changes_refused(replacing[identity], old))
                problems += refusals
                merged.append(old if refusals else carried(replacing[identity], old))
        merged += [
            source
            for source in new
            if _identity(source) not in replaced
            or source is not replacing[_identity(source)]
        ]
        return assemble(merged, filename, problems)

    def deleted(self, text: str, filename: str) -> Topology:
        """The topology after ``oc delete`` of these objects.

        With a Namespace goes what is in it, and its NetNamespace.

        Raises:
            TopologyError: the result is no possible cluster, or one is not there.
        """
        problems: list[Problem] = []
        here = {_identity(source) for source in self.objects}
        gone = set[_Identity]()
        for source in read_objects(text, filename, problems):
            if source.kind and _identity(source) not in here:
                problems.append(source.problem((), "is not there to be deleted"))
            elif _identity(source) in _IMMORTAL:
                problems.append(source.problem((), "may not be deleted"))
            gone.add(_identity(source))
        kept = [
            source
            for source in self.objects
            if _identity(source) not in gone
            and ("Namespace", _namespace_of(source)) not in gone
        ]
        return assemble(kept, filename, problems)

    def text(self) -> str:
        """The objects as a stream that ``loads`` reads back to the same cluster."""
        return "".join(
            f"---\n{json.dumps(plain(source.node), ensure_ascii=False)}\n"
            for source in self.objects
        )


def _identity(source: Source) -> _Identity:
    """What an object is known by; a Namespace and a Project of one name are one."""
    kind = "Namespace" if source.kind == "Project" else source.kind
    return kind, source.key


def _namespace_of(source: Source) -> str:
    """The namespace that an object goes with."""
    if source.kind == "NetNamespace":
        return source.key
    return source.key.partition("/")[0] if KINDS[source.kind].namespaced else ""


def read_objects(text: str, filename: str, problems: list[Problem]) -> list[Source]:
    """The objects of a text, lists taken apart."""
    documents = read(text, filename, problems)
    # Broken YAML and, where a "---" is missing, keys given twice hide other objects.
    sources = [Source("", "", Node(1, None), filename)] if problems else []
    sources += [s for node in documents for s in objects(node, filename, problems)]
    if not sources:
        problems.append(Problem(1, "holds no objects", filename))
    return sources


def assemble(
    sources: Sequence[Source], filename: str, problems: list[Problem]
) -> Topology:
    """Make a cluster of objects.

    Args:
        sources: the objects.
        filename: what problems that are no object's are told of.
        problems: what is wrong with them already.

    Raises:
        TopologyError: they describe no possible cluster.
    """
    warnings: list[Problem] = []
    known, repeated = _distinct(_pass_over_unknown_kinds(sources, warnings), problems)
    if sources:
        problems += _missing_kinds(known, filename)
    entries, broken = [], repeated
    for source in known:
        if source.kind and (value := parse(source, problems)):
            entries.append(Entry(value, source))
        else:
            broken.append(source)
    problems += refused(entries)
    warnings += _unknown_fields(entries)
    entries = _pass_over_idle_pods(entries, warnings)
    draft = complete(entries, broken, problems)
    problems += check(draft)
    if problems:
        raise TopologyError(_rendered(problems))
    cluster = _cluster(draft)
    warnings += doubts(entries, cluster)
    return Topology(
        cluster=cluster,
        warnings=_rendered(warnings),
        objects=tuple(pinned(known, cluster)),
    )


def _rendered(problems: Iterable[Problem]) -> tuple[str, ...]:
    ordered = sorted(problems, key=lambda problem: (problem.file, problem.line))
    return tuple(dict.fromkeys(map(str, ordered)))


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
        others = f", and {more} more" if (more := len(passed_over) - 1) else ""
        text = f"is passed over{others}; nothing is made of this kind"
        first = replace(passed_over[0], kind=shortened(kind))
        warnings.append(first.problem((), text))
    return known


def _unknown_fields(entries: Iterable[Entry[schema.Object]]) -> Iterator[Problem]:
    for value, source in entries:
        for path in unknown_fields(value):
            yield source.problem(path, "is unknown to 3.11, which drops it")


def _pass_over_idle_pods(
    entries: Iterable[Entry[schema.Object]], warnings: list[Problem]
) -> list[Entry[schema.Object]]:
    """Leave out pods that have no network, with a warning for each."""
    kept = []
    for value, source in entries:
        if (
            isinstance(value, schema.Pod)
            and value.status.phase is not schema.Phase.RUNNING
        ):
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
            repeated.append(replace(source, key=""))
    return kept, repeated


def _missing_kinds(sources: Sequence[Source], filename: str) -> Iterable[Problem]:
    """Say which objects a cluster cannot be without, or have more than one of."""
    for kind in ("ClusterNetwork", "HostSubnet"):
        if not any(source.kind in (kind, "") for source in sources):
            text = f"{kind}: is missing; a cluster needs one"
            yield Problem(1, text, filename)
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
        network_policies=draft.network_policies,
        egress_network_policies=draft.egress_network_policies,
        quirks=draft.quirks,
        offline_nodes=draft.offline_nodes,
    )
