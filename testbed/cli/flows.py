"""``testbed flows``: a node's flows, as computed or as they are installed."""

from typing import TYPE_CHECKING, Annotated

import typer

from testbed.cli.options import (
    JsonOption,
    NameOption,
    TopologyOption,
    built_testbed,
    cluster_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from testbed.openflow import DumpedFlow, Flow


def flows(
    node: Annotated[
        str,
        typer.Argument(
            metavar="NODE",
            help="The node's name, or its first label.",
            show_default=False,
        ),
    ],
    topology: TopologyOption = None,
    name: NameOption = None,
    *,
    live: Annotated[
        bool,
        typer.Option("--live", help="Ask the running switch instead; it also counts."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print a node's flows as `ovs-ofctl dump-flows` does.

    They are computed from a topology: a file's, with the faults that its Underlay
    lists, or a running testbed's, with none, if --name says so.
    """
    from testbed.openflow import DumpedFlow

    if topology and (live or name):
        raise typer.BadParameter("--topology excludes --live and --name")
    if live:
        dumped = _installed(node, name)
    else:
        computed = _of_testbed(name, node) if name else _of_file(topology, node)
        dumped = [
            DumpedFlow(flow=flow, n_packets=0, n_bytes=0, duration=0.0)
            for flow in computed
        ]
    if as_json:
        from testbed.cli.output import print_json

        print_json([_as_object(item, counted=live) for item in dumped])
        return
    for item in dumped:
        typer.echo(str(item))


def _of_testbed(name: str, node: str) -> "tuple[Flow, ...]":
    from testbed.pipeline import node_flows

    cluster = cluster_of(built_testbed(name))
    return node_flows(cluster, cluster.node(node))


def _of_file(topology: "Path | None", node: str) -> "tuple[Flow, ...]":
    from testbed.cli.from_file import faults_of, read
    from testbed.pipeline import node_flows

    loaded = read(topology)
    cluster, faults = loaded.cluster, faults_of(loaded)
    subnet = cluster.node(node)
    if not faults:
        return node_flows(cluster, subnet)
    from testbed.emulation.programming import programmed_flows
    from testbed.faults.hidden import hidden_in_flows

    if hidden := hidden_in_flows(faults, subnet.name):
        typer.echo(hidden, err=True)
    return programmed_flows(cluster, subnet, faults)


def _installed(node: str, name: str | None) -> "list[DumpedFlow]":
    from testbed.emulation.machines import node_run_dir
    from testbed.ovs.switch import Switch
    from testbed.pipeline import node_flows

    testbed = built_testbed(name)
    cluster = cluster_of(testbed)
    subnet = cluster.node(node)
    switch = Switch(run_dir=testbed.inside(node_run_dir(subnet)))
    return in_order(switch.dump_flows(), node_flows(cluster, subnet))


def in_order(
    dumped: "Iterable[DumpedFlow]", computed: "Sequence[Flow]"
) -> "list[DumpedFlow]":
    """A dump in the pipeline's order; what it does not know comes after its equals."""
    place = {
        (int(flow.table), flow.selector): number for number, flow in enumerate(computed)
    }

    def key(item: "DumpedFlow") -> tuple[int, int, int]:
        flow = item.flow
        table = int(flow.table)
        return table, -flow.priority, place.get((table, flow.selector), len(place))

    return sorted(dumped, key=key)


def _as_object(dumped: "DumpedFlow", *, counted: bool) -> dict[str, object]:
    """A flow for JSON; the cookie is text because JavaScript's numbers have 53 bits."""
    from testbed.openflow import Table

    flow = dumped.flow
    counters = {
        "n_packets": dumped.n_packets,
        "n_bytes": dumped.n_bytes,
        "duration": dumped.duration,
    }
    return {
        "table": int(flow.table),
        "table_name": flow.table.name if isinstance(flow.table, Table) else None,
        "priority": flow.priority,
        "match": flow.match,
        "actions": flow.actions,
        "cookie": f"{flow.cookie:#x}",
        **(counters if counted else {}),
    }
