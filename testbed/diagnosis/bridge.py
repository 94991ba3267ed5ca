"""Findings about a node's br0 as a whole: no flows, other plugins', other versions'.

Source: openshift/origin release-3.11 pkg/network/node/ovscontroller.go (AlreadySetUp)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.diagnosis.finding import Evidence, Finding, Severity
from testbed.diagnosis.node import grounds
from testbed.openflow import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.diagnosis.node import Differences, Node
    from testbed.importing.recognise import Section
    from testbed.model import Plugin

_MOST_EMPTY_TABLES = 4
"""More empty tables than that are no fault: somebody looked at a few tables only."""

RESTART = "restart the node's sdn pod (oc -n openshift-sdn delete pod)"
SET_UP_ANEW = (
    "delete the note (ovs-ofctl -O OpenFlow13 del-flows br0 table=253) and "
    f"{RESTART}, which then sets br0 up anew; pods are attached again, or restarted"
)


def untold_tables(differences: Differences) -> set[int]:
    """The tables that the dump says nothing of, where it is a part of one.

    A bridge of 3.11 has a flow in every table.
    """
    told = {int(flow.table) for flow in differences.node.installed}
    wanted = {int(flow.table) for flow in differences.computed}
    empty = wanted - told
    return empty if len(empty) > _MOST_EMPTY_TABLES else set()


def wiped(node: Node, dump: Section) -> Finding:
    """That br0 has no flow at all."""
    return Finding(
        check="flows-wiped",
        severity=Severity.CRITICAL,
        nodes=(node.name,),
        what="br0 has no flows",
        breaks="everything: its pods reach nobody and nobody reaches them, nor does "
        "the node reach pods",
        evidence=(Evidence("dump-flows printed no flow", str(dump.place)),),
        bugs=("openshift/origin#21723", "BZ1765220"),
        advice=f"{RESTART}, which sets br0 up anew; see why Open vSwitch restarted",
        weight=1000,
    )


def unanswered(node: Node, dump: Section) -> Finding:
    """That nobody answered the question for br0's flows.

    A bridge without flows answers, too: with the line that precedes them.
    """
    refusal = next((text for _, text in dump.lines if text.startswith("ovs-ofctl")), "")
    shown = refusal or "dump-flows printed nothing, not even a reply"
    return Finding(
        check="switch-silent",
        severity=Severity.CRITICAL,
        nodes=(node.name,),
        what="ovs-vswitchd did not say which flows br0 has",
        breaks="what needs a new flow of the datapath, for as long as it hangs; all, "
        "with the userspace datapath",
        evidence=(Evidence(shown, str(dump.place)),),
        advice="see whether ovs-vswitchd runs and answers (ovs-appctl version); if "
        f"not, restart Open vSwitch, then {RESTART}",
        weight=1000,
    )


def other_plugin(differences: Differences) -> Iterator[Finding]:
    """Find a bridge that another plugin than the cluster's has set up."""
    node = differences.node
    bridge = node.collected.bridge
    plugin = node.cluster.network.plugin
    if bridge is None:
        return
    built = bridge.facts.structure
    noted = bridge.facts.noted
    if not built or plugin in built or not noted or plugin in noted:
        return
    taken = differences.take(lambda item: not _is_of_an_object(item.flow.made_by))
    other = next(iter(built))
    yield Finding(
        check="other-plugin",
        severity=Severity.CRITICAL,
        **grounds(
            node,
            taken,
            Evidence(f"flows of {other}", str(bridge.at(next(iter(built.values()))))),
        ),
        what=f"br0 is set up for {_short(other)}, and the cluster has {_short(plugin)}",
        breaks="isolation is another one on this node, and traffic with other nodes is "
        "dropped or let through by other rules",
        object="ClusterNetwork default",
        advice="set networkPluginName in node-config alike on all nodes; "
        f"then {SET_UP_ANEW}",
        weight=900,
    )


def version(differences: Differences) -> Iterator[Finding]:
    """Find a note in table 253 that is missing or says something else."""
    node = differences.node
    taken = differences.take(lambda _: True, Table.RULE_VERSION)
    if not taken:
        return
    what, breaks, bugs = _about_note(taken[0].installed is not None, node)
    yield Finding(
        check="rule-version",
        severity=Severity.WARNING,
        **grounds(node, taken),
        what=what,
        breaks=breaks,
        bugs=bugs,
        advice=f"{RESTART}, which sets br0 up anew; choose the time, as pods lose "
        "their "
        "network meanwhile",
        weight=40,
    )


def _about_note(is_there: bool, node: Node) -> tuple[str, str, tuple[str, ...]]:  # noqa: FBT001
    again = "the SDN takes br0 for another's and sets it up anew when it next starts"
    if not is_there:
        return (
            "table 253 has no note: br0 was never finished",
            f"nothing by itself; {again}",
            ("BZ1765220",),
        )
    bridge = node.collected.bridge
    facts = bridge.facts if bridge else None
    versions = ", ".join(map(str, facts.rule_versions)) if facts else "another"
    noted = ", ".join(map(_short, facts.noted)) if facts and facts.noted else "nobody"
    own = _short(node.cluster.network.plugin)
    return (
        f"table 253 notes version {versions} for {noted}; it should be 7 for {own}",
        f"nothing by itself; {again}",
        ("openshift/sdn#b05f33c87",),
    )


def _is_of_an_object(made_by: str) -> bool:
    return made_by.startswith(("Pod ", "HostSubnet ", "Service "))


def _short(plugin: Plugin) -> str:
    return plugin.value.rpartition("/")[2].removeprefix("openshift-")
