"""What an import tells: a page for people, and all of it for programs."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from testbed.importing.evidence import Bridge
from testbed.importing.remarks import Remark, Sort
from testbed.topology.problem import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from testbed.importing.merge import Imported, ImportedNode
    from testbed.importing.remarks import Place

FORMAT = 1
"""Of import.json; grows when a program that read the last one could not read it."""

_MOST_ALIKE = 8
"""Remarks about one kind of thing that a page has room for."""

_NOTHING = {
    Sort.FOUND: "nothing",
    Sort.INFERRED: "nothing: objects say it all",
    Sort.MISSING: "nothing",
    Sort.CONTRADICTORY: "nothing",
}


def report(imported: Imported, paths: Sequence[Path]) -> str:
    """The page: what was found, inferred, missing, not read and so on."""
    cluster = imported.topology.cluster
    of_objects = Counter(made.kind for made in imported.objects)
    with_flows = sum(1 for node in imported.nodes if node.bridge)
    names = printable(", ".join(map(str, paths)))
    summary = (
        f"{names}: {_count(len(cluster.nodes), 'node')} (flows of {with_flows}), "
        f"{_count(of_objects['Pod'], 'pod')}, "
        f"{_count(of_objects['Service'], 'service')}, {cluster.network.plugin}"
    )
    lines = [summary]
    for sort in Sort:
        remarks = [remark for remark in imported.remarks if remark.sort is sort]
        if remarks or sort in _NOTHING:
            lines += ["", sort.value]
            lines += [f"  {line}" for line in _shortened(remarks)] or [
                f"  {_NOTHING[sort]}"
            ]
    return "".join(f"{line}\n" for line in lines)


def manifest(
    imported: Imported, paths: Sequence[Path], places: Mapping[int, str]
) -> dict[str, object]:
    """Everything, for programs.

    ``places`` are the files that texts were written to, by the text's ``id``.
    """
    return {
        "format": FORMAT,
        "sources": [str(path) for path in paths],
        "topology": "topology.yaml",
        "nodes": [_node(node, places) for node in imported.nodes],
        "unassigned": [_text(item, places) for item in imported.unassigned],
        "objects": [
            {
                "kind": made.kind,
                "name": made.key,
                "origin": made.sort.value,
                "places": _places(made.places[:4]),
            }
            for made in imported.objects
        ],
        "remarks": [
            {
                "sort": remark.sort.value,
                "subject": printable(remark.subject),
                "text": printable(remark.text),
                "places": _places(remark.places),
            }
            for remark in imported.remarks
        ],
    }


def _node(node: ImportedNode, places: Mapping[int, str]) -> dict[str, object]:
    return {
        "name": node.name,
        "flows": _text(node.bridge, places) | {"count": node.bridge.facts.count}
        if node.bridge
        else None,
        "deviations": dict(node.deviations) if node.deviations else None,
        "ports": dict(sorted(node.ports.items(), key=lambda item: item[1])),
        "texts": [
            _text(text, places) | ({"pod": pod} if pod else {})
            for pod, text in node.texts
        ],
    }


def _text(item: object, places: Mapping[int, str]) -> dict[str, object]:
    kind = "flows" if isinstance(item, Bridge) else str(getattr(item, "kind", ""))
    place: Place = getattr(item, "place")  # noqa: B009 - of either
    return {
        "kind": kind,
        "file": printable(place.file),
        "line": place.line,
        "at": places.get(id(item)),
    }


def _places(places: Iterable[Place]) -> list[dict[str, object]]:
    return [{"file": printable(place.file), "line": place.line} for place in places]


def _shortened(remarks: Iterable[Remark]) -> Iterator[str]:
    """One line for each remark, but of many alike only the first few."""
    alike: dict[str, list[Remark]] = defaultdict(list)
    for remark in remarks:
        alike[_about(remark)].append(remark)
    for about, group in alike.items():
        few = group if len(group) <= _MOST_ALIKE + 1 else group[:_MOST_ALIKE]
        yield from map(str, few)
        if len(group) > len(few):
            yield f"… and {len(group) - len(few)} more about {about}: see import.json"


def _about(remark: Remark) -> str:
    """What kind of thing a remark is about."""
    if remark.sort in (Sort.UNREAD, Sort.PASSED_OVER):
        return f"what was {remark.sort}"
    word = remark.subject.split(" ", 1)[0]
    return word if word[:1].isalpha() else "objects"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
