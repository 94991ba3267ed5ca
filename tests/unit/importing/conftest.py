"""Collections as customers send them, made of the shipped clusters."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.importing import Imported, ImportedNode, Limits, Sort, gather, merge
from testbed.openflow import DumpedFlow
from testbed.pipeline import node_flows
from testbed.topology import load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testbed.model import Cluster, HostSubnet
    from testbed.topology import Topology

TESTS = Path(__file__).parents[2]
TOPOLOGIES = TESTS.parent / "topologies"


@dataclass(frozen=True, kw_only=True)
class Result:
    """An import, and the questions that tests ask of it."""

    imported: Imported

    @property
    def topology(self) -> Topology:
        return self.imported.topology

    @property
    def cluster(self) -> Cluster:
        return self.imported.topology.cluster

    def node(self, name: str) -> ImportedNode:
        return next(node for node in self.imported.nodes if node.name == name)

    @property
    def deviations(self) -> dict[str, int]:
        """How many flows of each node with a dump are not as computed."""
        return {
            node.name: sum(node.deviations.values())
            for node in self.imported.nodes
            if node.bridge
        }

    def said(self, sort: Sort, about: str = "") -> list[str]:
        """What was said of a sort, about subjects that begin so."""
        return [
            str(remark)
            for remark in self.imported.remarks
            if remark.sort is sort and remark.subject.startswith(about)
        ]

    @property
    def contradictions(self) -> list[str]:
        return self.said(Sort.CONTRADICTORY)

    @property
    def unread(self) -> list[str]:
        return self.said(Sort.UNREAD)

    @property
    def passed_over(self) -> list[str]:
        return self.said(Sort.PASSED_OVER)


class Importer:
    """Writes files, and imports the directory that they are in, or one of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def written(self, files: Mapping[str, str | bytes]) -> Path:
        for name, contents in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = contents.encode() if isinstance(contents, str) else contents
            path.write_bytes(data)
        return self.directory

    def __call__(self, files: Mapping[str, str | bytes]) -> Result:
        return self.of(self.written(files))

    def text(self, contents: str | bytes, name: str = "pasted.txt") -> Result:
        """Import one file that is named as such."""
        return self.of(self.written({name: contents}) / name)

    def of(
        self, *paths: Path, stdin: bytes = b"", limits: Limits | None = None
    ) -> Result:
        evidence = gather(paths, io.BytesIO(stdin), limits)
        return Result(imported=merge(evidence))


@pytest.fixture
def importer(tmp_path: Path) -> Importer:
    return Importer(tmp_path / "collected")


class Dumper:
    """Prints the flows that a shipped cluster's nodes have."""

    def shipped(self, name: str) -> Topology:
        return load(TOPOLOGIES / f"{name}.yaml")

    def __call__(self, cluster: Cluster, node: HostSubnet) -> str:
        """As ``ovs-ofctl -O OpenFlow13 dump-flows br0`` prints them."""
        lines = (
            DumpedFlow(flow=flow, n_packets=3, n_bytes=126, duration=26835.966)
            for flow in node_flows(cluster, node)
        )
        reply = "OFPST_FLOW reply (OF1.3) (xid=0x2):\n"
        return reply + "".join(f" {line}\n" for line in lines)

    def all(self, cluster: Cluster) -> dict[str, str | bytes]:
        """Every node's, in the place that ``debug.sh`` has for them."""
        return {
            f"nodes/{node.name}/flows": self(cluster, node) for node in cluster.nodes
        }


@pytest.fixture(scope="session")
def dump() -> Dumper:
    return Dumper()


@pytest.fixture(scope="session")
def live() -> str:
    """A live node's dump: oc-04.test of the shipped four-node.yaml."""
    return (TESTS / "golden" / "oc-04.flows").read_text()


@pytest.fixture(scope="session")
def live_lines(live: str) -> Sequence[str]:
    return live.splitlines()
