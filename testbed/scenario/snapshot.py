"""What a running testbed has, written as an import's directory, to be replayed.

Objects always; flows and iptables of the nodes that do not have what 3.11 would have
programmed. What else was done to it, as to links or daemons, is not in it.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from testbed.emulation import sandbox
from testbed.emulation.machines import node_run_dir
from testbed.faults import ledger
from testbed.faults.fault import Fault
from testbed.host.egress import marks_by_sender
from testbed.host.iptables import node_rules
from testbed.openflow import DumpedFlow
from testbed.ovs.switch import Switch
from testbed.pipeline import cluster_flows
from testbed.process import run
from testbed.replay.rules import read_rules
from testbed.topology import load
from testbed.topology.document import Node

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from testbed.emulation.registry import RunningTestbed
    from testbed.model import Cluster, HostSubnet
    from testbed.replay.rules import Table
    from testbed.topology import Topology

_CHANCE = re.compile(r"(--probability )(\d\.\d+)")


def snapshot(testbed: RunningTestbed, topology: Path) -> dict[str, str]:
    """What is to be written, by path below a directory.

    Args:
        testbed: one that runs.
        topology: its topology's file in its sandbox.

    Raises:
        SwitchError, CommandError: a node does not say what it has.
    """
    loaded = load(testbed.inside(topology))
    cluster = loaded.cluster
    computed = cluster_flows(cluster)
    files = {"topology.yaml": _without_faults(loaded).text()}
    noted = []
    for node in cluster.nodes:
        found = dict(_node(testbed, cluster, node, computed.of(node)))
        files |= {f"nodes/{node.name}/{kind}": text for kind, text in found.items()}
        noted.append({"name": node.name, "ports": {}, "texts": []})
    if len(files) > 1:
        files["import.json"] = json.dumps({"format": 1, "nodes": noted}) + "\n"
    return files


def not_kept(testbed: RunningTestbed) -> list[str]:
    """What was done to its machines on purpose, which a snapshot does not have."""
    noted = ledger.load(testbed.inside(ledger.FILE))
    return [
        fault.told
        for _, fault in ledger.faults(noted)
        if type(fault).inject is not Fault.inject
    ]


def _without_faults(topology: Topology) -> Topology:
    """The topology as if its Underlay listed no faults: flows and rules have them."""
    kept = []
    for source in topology.objects:
        fields = source.node.value
        if source.kind == "Underlay" and isinstance(fields, dict):
            rest = {name: value for name, value in fields.items() if name != "faults"}
            kept.append(replace(source, node=Node(source.node.line, rest)))
        else:
            kept.append(source)
    return replace(topology, objects=tuple(kept))


def _node(
    testbed: RunningTestbed,
    cluster: Cluster,
    node: HostSubnet,
    computed: Sequence[object],
) -> Iterator[tuple[str, str]]:
    dump = Switch(run_dir=testbed.inside(node_run_dir(node))).dump_flows()
    if {item.flow for item in dump} != set(computed):
        yield "flows", "".join(f" {_still(item)}\n" for item in dump)
    argv = sandbox.enter_argv(testbed.pid)
    saved = run([*argv, "ip", "netns", "exec", node.name, "iptables-save"])
    wanted = node_rules(cluster, node) + marks_by_sender(cluster, node)
    if _rules(saved) != _rules(wanted):
        yield "iptables", saved


def _still(item: DumpedFlow) -> DumpedFlow:
    """A flow as if nothing had hit it, so that equal switches give equal files."""
    return DumpedFlow(flow=item.flow, n_packets=0, n_bytes=0, duration=0.0)


def _rounded(rule: str) -> str:
    """A rule with its chance as kube-proxy wrote it; the kernel has it in 2^-31."""
    return _CHANCE.sub(lambda found: f"{found[1]}{float(found[2]):.3f}", rule)


def _rules(text: str) -> Mapping[str, list[str]]:
    """The rules of each chain that has some; what holds marks depends on the datapath.

    Chains without a rule come to be by themselves.
    """
    tables: Mapping[str, Table] = read_rules(text).tables
    return {
        f"{name} {chain}": [_rounded(rule.text) for rule in table.of(chain)]
        for name, table in tables.items()
        if name != "mangle"
        for chain in {rule.chain for rule in table.rules}
    }
