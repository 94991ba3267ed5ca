"""YAML of OpenShift API objects in, a ``Cluster`` out; all validation lives here.

``document`` reads YAML with line numbers, ``objects`` takes lists apart and gives each
object its shape (``schema``), ``complete`` fills in what controllers would, ``check``
says what no cluster can be. Every step collects problems, so that all are told at once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.errors import TopologyError
from testbed.model import Cluster
from testbed.topology.check import check
from testbed.topology.complete import complete
from testbed.topology.document import read
from testbed.topology.objects import KINDS, Entry, Source, objects, parse
from testbed.topology.problem import Problem
from testbed.topology.schema import Phase, Pod

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from testbed.topology.complete import Draft
    from testbed.topology.schema import Object

__all__ = ["Topology", "load", "loads"]


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
        text = path.read_bytes().decode()
    except OSError as error:
        raise TopologyError([f"{path}: {(error.strerror or '').lower()}"]) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise TopologyError([f"{path}:{line}: is not UTF-8 text"]) from error
    return loads(text, str(path))


def loads(text: str, filename: str) -> Topology:
    """Read a topology from text; ``filename`` is what problems call it.

    Raises:
        TopologyError: it describes no possible cluster.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    documents = read(text, problems)
    sources = [s for document in documents for s in objects(document, problems)]
    if not sources and not problems:
        problems.append(Problem(1, "holds no objects"))
    known = _pass_over_unknown_kinds(sources, warnings)
    entries = _pass_over_idle_pods(
        [Entry(value, s) for s in known if (value := parse(s, problems))], warnings
    )
    problems += _repeated_objects(known)
    if sources:
        problems += _missing_kinds(known)
    names = {source.key for source in known if source.kind == "HostSubnet"}
    draft = complete(entries, names, problems)
    problems += check(draft)
    if problems:
        ordered = sorted(problems, key=lambda problem: problem.line)
        rendered = (problem.render(filename) for problem in ordered)
        raise TopologyError(tuple(dict.fromkeys(rendered)))
    return Topology(
        cluster=_cluster(draft),
        warnings=tuple(warning.render(filename) for warning in warnings),
    )


def _pass_over_unknown_kinds(
    sources: Sequence[Source], warnings: list[Problem]
) -> list[Source]:
    """Leave out the kinds that the testbed does not read, with a warning for each."""
    unknown = Counter(source.kind for source in sources if source.kind not in KINDS)
    for kind, number in unknown.items():
        first = next(source for source in sources if source.kind == kind)
        text = f"{kind}: {number} passed over; nothing is made of this kind yet"
        warnings.append(Problem(first.node.line, text))
    return [source for source in sources if source.kind in KINDS]


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


def _repeated_objects(sources: Iterable[Source]) -> Iterable[Problem]:
    first: dict[tuple[object, str], Source] = {}
    for source in sources:
        holder = first.setdefault((KINDS[source.kind].model, source.key), source)
        if holder is not source and source.key:
            text = f"is there twice; first in line {holder.node.line}"
            yield source.problem((), text)


def _missing_kinds(sources: Sequence[Source]) -> Iterable[Problem]:
    """Say which objects a cluster cannot be without, or have more than one of."""
    for kind in ("ClusterNetwork", "HostSubnet"):
        if not any(source.kind == kind for source in sources):
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
