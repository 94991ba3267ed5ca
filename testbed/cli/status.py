"""``testbed status``: whether a running testbed is what its topology says."""

import contextlib
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import typer

from testbed.cli.options import JsonOption, NameArgument, built_testbed, cluster_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from testbed.emulation.programming import Fault
    from testbed.emulation.registry import RunningTestbed
    from testbed.model import Cluster, HostSubnet

Process: TypeAlias = tuple[str, str]
"""A process's name and command line."""

_DAEMONS = ("ovsdb-server", "ovs-vswitchd", "dnsmasq")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """What a node should be and what it was found to be.

    Attributes:
        name: the node's.
        ip: its address on the underlay.
        subnet: where its pods' addresses are from.
        pods: their names, of those on the host network too.
        expected: how many flows it was programmed with: those that the pipeline
            computes, or in a replay those that were collected.
        installed: how many the switch has; ``None`` if it does not answer.
        missing: flows that it was programmed with and are not there.
        extra: flows that are there and it was not programmed with.
        dead: the daemons that do not run.
        collected: in a replay, whether it has collected flows.
        deviations: where those are not what 3.11 would program, in words.
    """

    name: str
    ip: str
    subnet: str
    pods: tuple[str, ...]
    expected: int
    installed: int | None
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    dead: tuple[str, ...]
    collected: bool = False
    deviations: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether all is as it should be."""
        answers = self.installed is not None
        return answers and not (self.missing or self.extra or self.dead)

    @property
    def flows(self) -> str:
        """Installed against computed, in a few words."""
        if self.installed is None:
            return f"no answer; {self.expected} {self._origin}"
        differences = [
            f"{len(flows)} {what}"
            for flows, what in ((self.missing, "missing"), (self.extra, "extra"))
            if flows
        ]
        as_it_was = f"as {self._origin}"
        if self.deviations:
            as_it_was += f", {len(self.deviations)} otherwise than computed"
        return f"{self.installed} flows, {' and '.join(differences) or as_it_was}"

    @property
    def _origin(self) -> str:
        return "collected" if self.collected else "computed"

    @property
    def daemons(self) -> str:
        """Which daemons are dead, in a few words."""
        return f"dead: {', '.join(self.dead)}" if self.dead else "alive"


def status(name: NameArgument = None, *, as_json: JsonOption = False) -> None:
    """Compare a running testbed with its topology; exit 1 where they disagree.

    A replay is compared with what was collected. Where that is not what 3.11 would have
    programmed, it says so, too.
    """
    from testbed.cli.output import print_json, print_table
    from testbed.faults import ledger
    from testbed.replay import state

    testbed = built_testbed(name)
    cluster = cluster_of(testbed)
    processes = tuple(_processes(testbed))
    running = state.load(testbed.inside(state.FILE)) if testbed.replay else None
    noted = ledger.load(testbed.inside(ledger.FILE))
    replayed = running.faults() if running else ()
    faults = (*replayed, *(item.fault for item in noted))
    nodes = [
        _examine(testbed, cluster, node, processes, faults) for node in cluster.nodes
    ]
    agrees = all(node.agrees for node in nodes)
    if as_json:
        print_json(
            {
                **asdict(testbed),
                "agrees": agrees,
                "faults": [fault.told for _, fault in ledger.faults(noted)],
                "nodes": list(map(asdict, nodes)),
            }
        )
    else:
        if running:
            typer.echo(running.summary)
        for number, fault in ledger.faults(noted):
            typer.echo(f"fault {number}: {fault.told}")
        print_table(
            ("NODE", "IP", "SUBNET", "PODS", "FLOWS", "DAEMONS"),
            (
                (n.name, n.ip, n.subnet, ", ".join(n.pods), n.flows, n.daemons)
                for n in nodes
            ),
        )
        for node in nodes:
            for sign, flows in (("-", node.missing), ("+", node.extra)):
                for flow in flows:
                    typer.echo(f"{node.name}: {sign} {flow}")
            for deviation in node.deviations:
                typer.echo(f"{node.name}: collected: {deviation}")
    raise typer.Exit(0 if agrees else 1)


def _examine(
    testbed: "RunningTestbed",
    cluster: "Cluster",
    node: "HostSubnet",
    processes: "Sequence[Process]",
    faults: "Sequence[Fault]",
) -> NodeStatus:
    from testbed.emulation.machines import node_run_dir
    from testbed.emulation.programming import programmed_flows
    from testbed.errors import SwitchError
    from testbed.openflow import Flow, flow_differences
    from testbed.ovs.switch import Switch
    from testbed.pipeline import node_flows
    from testbed.replay import Replayed

    run_dir = node_run_dir(node)
    by_sdn = node_flows(cluster, node)
    replayed = [fault for fault in faults if isinstance(fault, Replayed)]
    collected = programmed_flows(cluster, node, replayed, by_sdn)
    computed = Counter(programmed_flows(cluster, node, faults, by_sdn))
    installed, answers = Counter[Flow](), False
    dead = dead_daemons(run_dir, processes)
    # Without ovsdb-server ovs-vswitchd forwards packets and answers nobody.
    if not dead or dead == ("dnsmasq",):
        with contextlib.suppress(SwitchError):
            dump = Switch(run_dir=testbed.inside(run_dir)).dump_flows()
            installed = Counter(dumped.flow for dumped in dump)
            answers = True
    return NodeStatus(
        name=node.name,
        ip=str(node.host_ip),
        subnet=str(node.subnet),
        pods=tuple(pod.key for pod in cluster.pods if pod.node == node.name),
        expected=computed.total(),
        installed=installed.total() if answers else None,
        missing=tuple(map(str, (computed - installed).elements())) if answers else (),
        extra=tuple(map(str, (installed - computed).elements())),
        dead=dead,
        collected=any(
            item.node == node.name and item.collected is not None for item in replayed
        ),
        deviations=tuple(map(str, flow_differences(by_sdn, collected))),
    )


def dead_daemons(run_dir: Path, processes: "Iterable[Process]") -> tuple[str, ...]:
    """Which of a node's daemons do not run.

    Each names a file of its node on its command line; a dead process has none.
    """
    alive = {name for name, command in processes if f"{run_dir}/" in command}
    return tuple(daemon for daemon in _DAEMONS if daemon not in alive)


def _processes(testbed: "RunningTestbed") -> "Iterator[Process]":
    for process in testbed.inside(Path("/proc")).glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            name = (process / "comm").read_text().strip()
            yield name, (process / "cmdline").read_text().replace("\0", " ")
