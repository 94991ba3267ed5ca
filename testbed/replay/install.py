"""Program a cluster that has been built with what was collected, and note that.

Acts inside the sandbox. A rule that this machine's iptables do not take, as one for an
extension or an ipset that is not here, is left out and told.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from testbed.emulation import machines
from testbed.emulation.programming import program_node
from testbed.errors import (
    CommandError,
    DumpError,
    FlowRejectedError,
    SwitchError,
)
from testbed.openflow import parse_flow
from testbed.process import run
from testbed.replay import state
from testbed.replay.rules import Table, read_rules, table_lines, text_of
from testbed.topology.problem import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from testbed.emulation.machines import Machine
    from testbed.openflow import Flow
    from testbed.replay.merging import Replayed
    from testbed.replay.plan import NodeText, Replay

_MOST_LEFT_OUT = 100
"""Rules of one table that may be refused; then the computed table stays."""

_LINE = re.compile(r"(?:line:?|-:) ?(\d+)\b")
_REPEATED = re.compile(r": ADD table:(\d+) (.*)$")
_ERROR = re.compile(r"Error (OFP\w+) for:")
_SAID = re.compile(r"(?:iptables-restore v\S+ \(\w+\): ?|ovs-ofctl: |-:\d+: )")


def check_flows(found: Replay) -> None:
    """See that Open vSwitch can read all flows, before anything is started.

    Raises:
        DumpError: it refuses one; the message has the file and line.
    """
    placed = [item for node in found.nodes for item in node.flows or ()]
    text = "".join(f"{flow}\n" for _, flow in placed)
    try:
        run(["ovs-ofctl", "-O", "OpenFlow13", "parse-flows", "-"], stdin=text)
    except CommandError as error:
        raise _refused(placed, error.stderr) from error


def install(
    found: Replay, *, progress: Callable[[str], None] = lambda _: None
) -> Replay:
    """Program the cluster that runs in this sandbox, which was built as its topology.

    Returns:
        The replay with the rules that the nodes took, and with remarks on the others.

    Raises:
        DumpError: Open vSwitch refused a flow; the message has the file and line.
        CommandError: the kernel refused a table.
    """
    there = {machine.name: machine for machine in machines.load()}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        settled = list(
            pool.map(lambda node: _settled(node, there[node.name]), found.nodes)
        )
        ready = replace(
            found,
            nodes=tuple(node for node, _ in settled),
            remarks=(
                *found.remarks,
                *(remark for _, remarks in settled for remark in remarks),
            ),
        )
        jobs = {
            pool.submit(_program, ready, node, fault): node.name
            for node, fault in zip(ready.nodes, ready.faults(), strict=True)
        }
        for job in concurrent.futures.as_completed(jobs):
            job.result()
            progress(f"{jobs[job]} as collected")
    state.save(ready)
    return ready


def _program(found: Replay, node: NodeText, fault: Replayed) -> None:
    try:
        program_node(found.cluster, node.name, (), (fault,))
    except FlowRejectedError as error:
        raise _refused(node.flows or (), str(error)) from error


def _refused(placed: Iterable[tuple[str, Flow]], said: str) -> DumpError:
    """Which flow Open vSwitch refused, where it was, and what it said."""
    items = list(placed)
    told = said.strip().splitlines()[0] if said.strip() else "it said nothing"
    found = _item_refused(items, told)
    reason = _ERROR.search(told)
    text = reason[1] if reason else _SAID.sub("", told)
    if found is None:
        return DumpError(printable(f"Open vSwitch refuses a flow: {text}"))
    place, flow = found
    return DumpError(
        printable(f"{place}: Open vSwitch refuses this flow: {flow}: {text}")
    )


def _item_refused(
    items: Sequence[tuple[str, Flow]], told: str
) -> tuple[str, Flow] | None:
    """The flow that is meant: ovs-ofctl has its number, a switch repeats it."""
    if number := _LINE.search(told):
        return items[int(number[1]) - 1] if 0 < int(number[1]) <= len(items) else None
    if (repeated := _REPEATED.search(told)) is None:
        return None
    with contextlib.suppress(SwitchError):
        meant = parse_flow(f"table={repeated[1]}, {repeated[2]}")
        for place, flow in items:
            if (flow.table, flow.selector) == (meant.table, meant.selector):
                return place, flow
    return None


def _settled(node: NodeText, machine: Machine) -> tuple[NodeText, list[str]]:
    """A node with the rules that its iptables take, and remarks on the others."""
    if node.rules is None:
        return node, []
    remarks: list[str] = []
    read = read_rules(node.rules, node.rules_file)
    tables = {
        name: taken
        for name, table in read.tables.items()
        if (taken := _taken(name, table, node, machine, remarks)) is not None
    }
    return replace(node, rules=text_of(tables)), remarks


def _taken(
    name: str, table: Table, node: NodeText, machine: Machine, remarks: list[str]
) -> Table | None:
    """A table without the rules that iptables refuse; ``None`` if it is not taken."""
    for _ in range(_MOST_LEFT_OUT):
        lines = list(table_lines(name, table))
        text = "".join(f"{line}\n" for line, _ in lines)
        try:
            machine.run("iptables-restore", stdin=text)
        except CommandError as error:
            number = _LINE.search(error.stderr)
            line = int(number[1]) if number else 0
            origin = lines[line - 1][1] if 0 < line <= len(lines) else 0
            said = " ".join(_SAID.sub("", error.stderr).split())
            if not origin:
                break
            remarks.append(
                printable(
                    f"{node.rules_file}:{origin}: left out: {lines[line - 1][0]}: "
                    f"iptables will not have it: {said}"
                )
            )
            kept = [rule for rule in table.rules if rule.line != origin]
            table = replace(table, rules=kept)
        else:
            return table
    remarks.append(
        printable(
            f"{node.rules_file}: table {name} is not replayed: iptables will not have "
            "it; there it is what 3.11 would program"
        )
    )
    return None
