"""Shipped clusters as a customer would send them, with something wrong."""

from __future__ import annotations

import dataclasses
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.diagnosis.examine import Examined, examined
from testbed.exporting import Collection, Computed, Format, export
from testbed.host.iptables import node_rules
from testbed.importing import gather, merge
from testbed.pipeline import node_flows
from testbed.topology import Topology, load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from testbed.diagnosis import Diagnosis, Finding
    from testbed.faults import Fault
    from testbed.model import Cluster

TOPOLOGIES = Path(__file__).parents[3] / "topologies"
SHIPPED = sorted(path.stem for path in TOPOLOGIES.glob("*.yaml"))
MOMENT = datetime(2019, 5, 12, 9, 41, 7, tzinfo=UTC)
Files = dict[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clinic:
    """Collects a shipped cluster, spoils the collection, and has it looked at."""

    directory: Path

    def topology(self, name: str) -> Topology:
        return load(TOPOLOGIES / f"{name}.yaml")

    def files(
        self,
        name: str,
        *faults: Fault,
        layout: Format = Format.DEBUG_SH,
        complete: bool = False,
    ) -> Files:
        """What would be collected, by path, with some nodes' programming wrong.

        ``complete`` is whether objects are there that the tools do not ask for.
        """
        topology = self.topology(name)
        resolved = [fault.resolved(topology.cluster) for fault in faults]
        cluster = topology.cluster
        flows = {
            node.name: node_flows(_seen(cluster, resolved, node.name), node)
            for node in cluster.nodes
        }
        for fault in resolved:
            flows[fault.node] = fault.flows(flows[fault.node])
        collection = Collection(
            topology=topology,
            answers=Computed(cluster, flows=flows),
            moment=MOMENT,
        )
        files = dict(export(collection, layout, complete=complete))
        for fault in resolved:
            rules = node_rules(cluster, cluster.node(fault.node))
            if fault.rules(rules) != rules:
                path = one(files, f"nodes/{fault.node}/iptables")
                files[path] = fault.rules(rules)
        return files

    def examined(self, files: Mapping[str, str | bytes]) -> Examined:
        for name, contents in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = contents.encode() if isinstance(contents, str) else contents
            path.write_bytes(data)
        evidence = gather([self.directory], io.BytesIO())
        return examined(evidence, merge(evidence))

    def __call__(
        self,
        name: str,
        *faults: Fault,
        edit: Callable[[Files], None] = lambda _: None,
        layout: Format = Format.DEBUG_SH,
    ) -> Diagnosis:
        files = self.files(name, *faults, layout=layout)
        edit(files)
        return self.examined(files).diagnosis

    def only(
        self,
        name: str,
        *faults: Fault,
        edit: Callable[[Files], None] = lambda _: None,
    ) -> Finding:
        """The one finding that there must be."""
        found = self(name, *faults, edit=edit).findings
        assert [item.title for item in found] == [item.title for item in found[:1]]
        assert found
        return found[0]


def _seen(cluster: Cluster, faults: list[Fault], node: str) -> Cluster:
    for fault in faults:
        if fault.node == node:
            cluster = fault.seen(cluster)
    return cluster


def one(files: Mapping[str, object], ending: str) -> str:
    """The path of the one file that ends so."""
    (path,) = (name for name in files if name.endswith(f"/{ending}"))
    return path


def replacing(ending: str, old: str, new: str) -> Callable[[Files], None]:
    """An edit of one file that must change it."""

    def edit(files: Files) -> None:
        path = one(files, ending)
        assert old in files[path], files[path]
        files[path] = files[path].replace(old, new)

    return edit


@pytest.fixture
def clinic(tmp_path: Path) -> Clinic:
    return Clinic(directory=tmp_path / "collected")
