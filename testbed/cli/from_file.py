"""A topology's file, as commands read it that need no running testbed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from testbed.faults import Fault
    from testbed.model import Cluster
    from testbed.openflow import Flow
    from testbed.topology import Topology


def read(path: Path | None) -> Topology:
    """Load a topology, or the one that comes with the testbed, and tell its warnings.

    Raises:
        TopologyError: it is none.
    """
    from testbed.topology import load
    from testbed.topology.shipped import shipped

    loaded = load(path or shipped("four-node.yaml"))
    for warning in loaded.warnings:
        typer.echo(warning, err=True)
    return loaded


def faults_of(loaded: Topology) -> tuple[Fault, ...]:
    """The faults that ``testbed up`` would begin with.

    Raises:
        TopologyError: one cannot be.
    """
    from testbed.topology.document import plain

    written = [plain(item.node) for item in loaded.objects if item.kind == "Underlay"]
    if not any(isinstance(item, dict) and item.get("faults") for item in written):
        return ()  # most have none, and reading them takes half a second
    from testbed.faults.reading import declared

    return declared(loaded)


def programmed(
    cluster: Cluster, faults: Sequence[Fault]
) -> tuple[dict[str, tuple[Flow, ...]], dict[str, str]]:
    """What faults leave of flows and of ``iptables-restore`` input, by node.

    What that does not show of them is told.
    """
    from testbed.emulation.programming import programmed_flows, programmed_rules
    from testbed.emulation.wiring import Datapath

    if faults:
        from testbed.faults.hidden import hidden_in_trace

        if hidden := hidden_in_trace(faults):
            typer.echo(hidden, err=True)
    flows, rules = {}, {}
    for node in cluster.nodes:
        flows[node.name] = programmed_flows(cluster, node, faults)
        (rules[node.name],) = programmed_rules(cluster, node, Datapath.SYSTEM, faults)
    return flows, rules
