"""Shipped clusters, exported without a switch and imported again."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.exporting import Collection, Computed, Format, export, save
from testbed.importing import Imported, Sort, gather, merge
from testbed.topology import Topology, load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testbed.openflow import Flow

TOPOLOGIES = Path(__file__).parents[3] / "topologies"
SHIPPED = sorted(path.stem for path in TOPOLOGIES.glob("*.yaml"))
MOMENT = datetime(2019, 5, 12, 9, 41, 7, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """Exports into a directory of its own, and imports what is there."""

    directory: Path

    def collection(
        self, name: str, flows: Mapping[str, Sequence[Flow]] | None = None
    ) -> Collection:
        topology = load(TOPOLOGIES / f"{name}.yaml")
        answers = Computed(topology.cluster, flows=flows)
        return Collection(topology=topology, answers=answers, moment=MOMENT)

    def files(self, name: str, layout: Format) -> dict[str, str]:
        return dict(export(self.collection(name), layout))

    def imported(
        self, collection: Collection, layout: Format, *, complete: bool = False
    ) -> Imported:
        """What an import makes of an export's tarball."""
        target = self.directory / "export.tgz"
        files = export(collection, layout, complete=complete)
        save(files, target, MOMENT, force=True)
        return merge(gather([target], io.BytesIO()))


@pytest.fixture
def exporter(tmp_path: Path) -> Exporter:
    return Exporter(directory=tmp_path)


def contradictions(imported: Imported) -> list[str]:
    return [str(r) for r in imported.remarks if r.sort is Sort.CONTRADICTORY]


__all__ = ["SHIPPED", "Exporter", "Topology", "contradictions"]
