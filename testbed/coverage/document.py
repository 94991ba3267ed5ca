"""``coverage.json``: flow coverage for programs.

::

    {"version": 1,
     "kinds_hit": 185, "kinds": 187, "percent": 98.93,
     "plugins": [
      {"plugin": "redhat/openshift-ovs-subnet",
       "kinds": [
        {"table": 20, "table_name": "FROM_POD", "priority": 100,
         "match": "ip,in_port=…,nw_src=…",
         "applied": false, "unreachable": "",
         "scenarios": {"scenarios/test_arp.py::test_…[subnet]": 4},
         "flows": [
          {"node": "oc-04.test",
           "selector": "priority=100,ip,in_port=3,nw_src=10.131.1.241",
           "actions": "load:0->NXM_NX_REG0[],goto_table:21", "applied": false,
           "scenarios": {"scenarios/test_arp.py::test_…[subnet]": 4}}]}]}]}

Plugins, kinds and flows are in a fixed order: by name, as the pipeline reads, by node.
``scenarios`` gives the packets that each scenario hit a kind or a flow with; one that
is empty was never hit. ``applied`` tells what no cluster was built with, but scenarios
added; ``unreachable`` is the reason why nothing can hit a kind, which ``kinds`` and
``percent`` then leave out. Fields may be added; what is here keeps its meaning within a
``version``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from testbed.errors import SDNError

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.coverage.ledger import Coverage, CoveredKind

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowEntry:
    """One flow of one node."""

    node: str
    selector: str
    actions: str
    applied: bool
    scenarios: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class KindEntry:
    """Flows that are alike."""

    table: int
    table_name: str
    priority: int
    match: str
    applied: bool
    unreachable: str
    scenarios: dict[str, int]
    flows: tuple[FlowEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginEntry:
    """All kinds under one SDN plugin."""

    plugin: str
    kinds: tuple[KindEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The whole file."""

    version: int
    kinds_hit: int
    kinds: int
    percent: float
    plugins: tuple[PluginEntry, ...]


def document(coverage: Coverage) -> Document:
    """The file's contents for a coverage."""
    return Document(
        version=VERSION,
        kinds_hit=coverage.n_kinds_hit,
        kinds=coverage.n_kinds,
        percent=round(coverage.percent, 2),
        plugins=tuple(
            PluginEntry(plugin=item.plugin, kinds=tuple(map(_kind, item.kinds)))
            for item in coverage.plugins
        ),
    )


def written(contents: Document) -> str:
    """The file's text."""
    return TypeAdapter(Document).dump_json(contents, indent=1).decode() + "\n"


def read(path: Path) -> Document:
    """Read a file that a run has written.

    Raises:
        SDNError: it cannot be read, or is no flow coverage of this version.
    """
    try:
        found = TypeAdapter(Document).validate_json(path.read_bytes())
    except OSError as error:
        raise SDNError(f"{path}: {error.strerror or error}") from error
    except ValidationError as error:
        raise SDNError(f"{path}: is no flow coverage: {error}") from error
    if found.version != VERSION:
        raise SDNError(
            f"{path}: is flow coverage of version {found.version}; "
            f"this testbed reads version {VERSION}"
        )
    return found


def _kind(covered: CoveredKind) -> KindEntry:
    kind = covered.kind
    return KindEntry(
        table=kind.table,
        table_name=kind.table_name,
        priority=kind.priority,
        match=kind.match,
        applied=covered.applied,
        unreachable=covered.unreachable,
        scenarios=covered.scenarios,
        flows=tuple(
            FlowEntry(
                node=item.node,
                selector=item.flow.selector,
                actions=",".join(item.flow.actions),
                applied=item.applied,
                scenarios=item.scenarios,
            )
            for item in covered.flows
        ),
    )
