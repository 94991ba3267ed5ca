"""The ways to get one flow wrong.

Each is the mistake of a controller: a flow not programmed, or programmed with a field
too few, a priority too low, another namespace's VNID, another pod's ofport, the wrong
table. What the flow says instead is taken from the same cluster, so that the packet
goes somewhere: to another pod, another node, another tenant.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.mutation.fault import (
    Deletion,
    Demotion,
    OtherAction,
    OtherActions,
    OtherMatch,
)
from testbed.mutation.fields import Match
from testbed.mutation.mutant import Operator
from testbed.mutation.pipeline import onward
from testbed.openflow import OFPort, Register, Table
from testbed.openflow.actions import (
    DROP,
    load,
    output,
    set_tunnel_destination,
    set_tunnel_vnid,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address

    from testbed.mutation.fault import Edit
    from testbed.mutation.pipeline import Pipeline
    from testbed.openflow import Flow

_UNKNOWN_VNID = 4711
_LOAD = re.compile(r"load:(0x[0-9a-f]+|0)->(NXM_NX_\w+)\[.*")
_MOVE = re.compile(r"move:NXM_NX_\w+\[.*\]->(NXM_NX_\w+)\[.*")
_REGISTERS = {"reg0": Register.SOURCE_VNID, "reg1": Register.DESTINATION_VNID}
_ON_IP = ("nw_", "tp_")
_ON_ARP = ("arp_",)
_TRANSPORTS = ("tcp", "udp", "icmp", "sctp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What there is in a cluster that one node's flows could say.

    Attributes:
        ofports: those of the node's pods.
        vnids: those in use.
        nodes: the other nodes' addresses.
    """

    ofports: tuple[int, ...]
    vnids: tuple[int, ...]
    nodes: tuple[IPv4Address, ...]

    def ofport_besides(self, ofport: int) -> int:
        """Another pod's ofport, or tun0's where there is no other pod."""
        return next((n for n in self.ofports if n != ofport), int(OFPort.TUN0))

    def vnids_besides(self, vnid: int) -> list[int]:
        """Another tenant's VNID; and 0, which may talk to all, if it is not that."""
        other = next((n for n in self.vnids if n not in (0, vnid)), _UNKNOWN_VNID)
        return [other, *([0] if vnid else [])]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowChange:
    """One way to get one flow wrong; ``text`` says in a few words what is changed."""

    operator: Operator
    text: str
    edit: Edit


def flow_changes(
    flow: Flow, pipeline: Pipeline, choices: Choices
) -> Iterator[FlowChange]:
    """Yield every way to get a flow wrong, equivalent ones too.

    Args:
        flow: the flow.
        pipeline: the flows that it is among.
        choices: what it could say instead.
    """
    yield FlowChange(operator=Operator.DELETED, text="", edit=Deletion())
    yield from _widened(flow, pipeline)
    yield from _demoted(flow, pipeline)
    yield from _other_vnids(flow, choices)
    for action in dict.fromkeys(flow.actions):
        yield from _other_way_out(action, choices)
        yield from _other_treatment(action)
    yield from _other_table(flow, pipeline)
    if flow.drops:
        yield from _let_through(flow, pipeline, choices)
    else:
        yield FlowChange(
            operator=Operator.DROPPED, text="", edit=OtherActions(actions=(DROP,))
        )


def _widened(flow: Flow, pipeline: Pipeline) -> Iterator[FlowChange]:
    taken = {
        (other.priority, other.match) for other in pipeline.tables[int(flow.table)]
    }
    for item in flow.match:
        wider = _wider(item, flow)
        if wider is None:
            continue
        edit = OtherMatch(old=item, new=wider)
        changed = edit(flow)
        # Of two flows with one match, OVS keeps one: that is another mistake.
        if (changed.priority, changed.match) not in taken:
            text = f"{item} → {wider}" if wider else f"without {item}"
            yield FlowChange(operator=Operator.WIDENED, text=text, edit=edit)


def _wider(item: str, flow: Flow) -> str | None:
    """What an item becomes when it says less; ``None`` where others depend on it."""
    if "=" in item:
        return ""
    if item in _TRANSPORTS:
        return None if any(other.startswith("tp_") for other in flow.match) else "ip"
    depend = _ON_ARP if item == "arp" else _ON_IP
    tracks = item == "ip" and any(action.startswith("ct(") for action in flow.actions)
    if tracks or any(other.startswith(depend) for other in flow.match):
        return None
    return ""


def _demoted(flow: Flow, pipeline: Pipeline) -> Iterator[FlowChange]:
    """Yield the flow below the next one that would do otherwise with its packets."""
    match = Match(flow.match)
    takers = list(
        pipeline.takers(int(flow.table), match, below=flow.priority - 1, without=flow)
    )
    for taker in takers:
        if taker.actions != flow.actions:
            taken = {other.priority for other in takers}
            free = (n for n in range(taker.priority - 1, -1, -1) if n not in taken)
            priority = next(free, None)
            if priority is not None:
                yield FlowChange(
                    operator=Operator.DEMOTED,
                    text=f"below {taker.selector or 'all'}",
                    edit=Demotion(priority=priority),
                )
            return


def _other_vnids(flow: Flow, choices: Choices) -> Iterator[FlowChange]:
    for item in flow.match:
        name, _, value = item.partition("=")
        if name in _REGISTERS:
            other = choices.vnids_besides(int(value, 0))[0]
            edit = OtherMatch(old=item, new=f"{name}={other:#x}")
            yield FlowChange(
                operator=Operator.VNID, text=f"{item} → {other:#x}", edit=edit
            )
    for action in flow.actions:
        if found := _LOAD.fullmatch(action):
            vnids, target = choices.vnids_besides(int(found[1], 0)), found[2]
        elif found := _MOVE.fullmatch(action):
            vnids, target = choices.vnids_besides(-1), found[1]
        else:
            continue
        for vnid in vnids:
            if target in _REGISTERS.values():
                new = load(vnid, Register(target))
            elif target == "NXM_NX_TUN_ID":
                new = set_tunnel_vnid(vnid)
            else:
                continue
            yield FlowChange(
                operator=Operator.VNID,
                text=f"{action} → {new}",
                edit=OtherAction(old=action, new=new),
            )


def _other_way_out(action: str, choices: Choices) -> Iterator[FlowChange]:
    """Yield another port, or another node."""
    verb, _, value = action.partition(":")
    loaded = _LOAD.fullmatch(action)
    new = ""
    if verb == "output" and value.isdecimal():
        ofport = int(value)
        other = (
            int(OFPort.TUN0)
            if ofport == OFPort.VXLAN0
            else choices.ofport_besides(ofport)
        )
        new = output(other)
    elif verb == "output":
        new = output(OFPort.TUN0)
    elif loaded and loaded[2] == Register.DESTINATION_OFPORT:
        other = choices.ofport_besides(int(loaded[1], 0))
        new = load(other, Register.DESTINATION_OFPORT)
    if new:
        yield FlowChange(
            operator=Operator.OUTPUT,
            text=f"{action} → {new}",
            edit=OtherAction(old=action, new=new),
        )
    if action.endswith("->tun_dst"):
        others = map(set_tunnel_destination, choices.nodes)
        new = next((other for other in others if other != action), "")
        if new:
            yield FlowChange(
                operator=Operator.TUNNEL,
                text=f"{action} → {new}",
                edit=OtherAction(old=action, new=new),
            )


def _other_treatment(action: str) -> Iterator[FlowChange]:
    """Yield conntrack's and the host's parts: commit, NAT, mark and MAC."""
    if action.startswith("ct(commit"):
        rest = re.sub(r"commit,?|,?nat\(src\)", "", action)
        new = "" if rest == "ct()" else rest
        yield FlowChange(
            operator=Operator.COMMIT,
            text=f"{action} → {new or 'nothing'}",
            edit=OtherAction(old=action, new=new),
        )
    if ",nat" in action:
        new = re.sub(r",nat(\(src\))?", "", action)
        yield FlowChange(
            operator=Operator.NAT,
            text=f"{action} → {new}",
            edit=OtherAction(old=action, new=new),
        )
    if action.endswith("->pkt_mark"):
        mark = int(action.removeprefix("set_field:").partition("->")[0], 0)
        new = f"set_field:{mark ^ 2:#x}->pkt_mark"
        yield FlowChange(
            operator=Operator.MARK,
            text=f"{action} → {new}",
            edit=OtherAction(old=action, new=new),
        )
    if action.endswith("->eth_dst"):
        yield FlowChange(
            operator=Operator.MAC,
            text=f"without {action}",
            edit=OtherAction(old=action),
        )


def _other_table(flow: Flow, pipeline: Pipeline) -> Iterator[FlowChange]:
    """Yield a table that flows beside it go to, and the one after its own."""
    own = int(flow.table)
    for action in flow.actions:
        if not action.startswith("goto_table:"):
            continue
        target = int(action.removeprefix("goto_table:"))
        beside = Counter(
            table
            for other in pipeline.tables[own]
            for table in onward(other)
            if table not in (own, target)
        )
        beyond = Counter(
            table
            for other in pipeline.tables.get(target, ())
            for table in onward(other)
            if table not in (own, target)
        )
        for table in dict.fromkeys(
            most_common[0][0]
            for counted in (beside, beyond)
            if (most_common := counted.most_common(1))
        ):
            if table > own:  # back goes conntrack only
                new = f"goto_table:{table}"
                yield FlowChange(
                    operator=Operator.GOTO,
                    text=f"{action} → {new}",
                    edit=OtherAction(old=action, new=new),
                )


def _let_through(
    flow: Flow, pipeline: Pipeline, choices: Choices
) -> Iterator[FlowChange]:
    """Yield what the most similar flow of the table does with what it does not drop."""
    passing = [item for item in pipeline.tables[int(flow.table)] if not item.drops]
    if passing:
        actions = max(
            passing, key=lambda other: len(set(other.match) & set(flow.match))
        ).actions
    else:
        later = [table for table in Table if flow.table < table < Table.RULE_VERSION]
        actions = (
            (f"goto_table:{int(later[0])}",)
            if later
            else (output(choices.ofport_besides(0)),)
        )
    yield FlowChange(
        operator=Operator.LET_THROUGH,
        text=f"drop → {','.join(actions)}",
        edit=OtherActions(actions=actions),
    )
