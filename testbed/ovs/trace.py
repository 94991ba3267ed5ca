"""What a switch would do with a packet: ``ofproto/trace`` as a value.

A trace is a tree, as in OVS itself: the bridge, the tables the packet goes through, the
flow it hits in each, that flow's actions, and what OVS remarks on them. Where an action
hands the packet to conntrack (``ct(table=…)``) the bridge part ends, and another one
takes up the packet with the state that conntrack gave it. Nothing is sent, and no
counter moves.

Source: ovs-vswitchd(8), "OFPROTO COMMANDS"; ofproto/ofproto-dpif-trace.c
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from testbed.errors import SwitchError
from testbed.openflow import DEFAULT_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from testbed.ovs.appctl import Appctl

_STEP = re.compile(
    r" *(?P<table>\d+)\. (?:No match\.|(?:(?P<match>\S+), )?"
    r"priority (?P<priority>\d+)(?:, cookie (?P<cookie>0x[0-9a-f]+))?)"
)
_RESUMED = re.compile(
    r"recirc\((?P<id>0x[0-9a-f]+)\) - resume conntrack with "
    r"(?:default )?ct_state=(?P<ct_state>\S+)"
)
_INDENT = "    "
_REMARKS = ("->", ">>")
_NOWHERE = "0.0.0.0"  # noqa: S104 - what OVS prints for no address


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceAction:
    """One action, and what OVS remarks on it.

    ``nested`` are the actions that conntrack itself carries out, ``drop`` for none;
    they say nothing about the packet. A detail that begins with ``>>`` is a warning.
    """

    text: str
    nested: str = ""
    details: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why the action had no effect, as where an output's port does not exist."""
        return tuple(
            detail.removeprefix(">>").strip()
            for detail in self.details
            if detail.startswith(">>")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceStep:
    """One table: the flow that the packet hit there, and its actions.

    ``priority`` is ``None`` where no flow matched; OVS then drops the packet.
    """

    table: int
    priority: int | None
    match: tuple[str, ...] = ()
    cookie: int = 0
    actions: tuple[TraceAction, ...] = ()

    @property
    def selector(self) -> str:
        """Priority and match in the text of ``Flow.selector``; empty for no match."""
        if self.priority in (None, DEFAULT_PRIORITY):
            return ",".join(self.match)
        return ",".join([f"priority={self.priority}", *self.match])

    def __str__(self) -> str:
        """The flow in ``add-flow`` syntax, without its cookie."""
        head = [f"table={self.table}"]
        if self.selector or self.priority is None:
            head.append(self.selector or "no match")
        actions = ",".join(action.text for action in self.actions)
        return f"{','.join(head)} actions={actions}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOutput:
    """The packet as it leaves by a port, with what the flows did to it by then.

    Attributes:
        ofport: the port.
        vnid: reg0, the sender's VNID.
        tun_id: the VNID that a tunnel would carry.
        tun_dst: where a tunnel would take it.
        pkt_mark: the mark that the host's iptables would see.
        eth_dst: the MAC that it is for.
        step: the table and flow that sent it.
    """

    ofport: int
    vnid: int
    tun_id: int
    tun_dst: IPv4Address | None
    pkt_mark: int
    eth_dst: str
    step: TraceStep


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceBridge:
    """The packet's way through a bridge, up to its end or to conntrack.

    ``ct_state`` is what the packet was resumed with; empty where it is not tracked.
    ``flow`` is the packet as it came, and ``final_flow`` as it ended, in OVS's text.
    """

    name: str
    flow: str
    steps: tuple[TraceStep, ...]
    final_flow: str
    megaflow: str
    datapath_actions: str
    recirculation: int = 0
    ct_state: frozenset[str] = frozenset()

    def outputs(self) -> Iterator[TraceOutput]:
        """Yield every copy that leaves, by playing the actions through.

        Raises:
            SwitchError: an action speaks of something unknown here.
        """
        fields = dict(
            item.split("=", 1) for item in self.flow.split(",") if "=" in item
        )
        for step in self.steps:
            for action in step.actions:
                ofport = _apply(action, fields)
                if ofport is not None:
                    yield _output(ofport, fields, step)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """All that would happen to one packet in one switch."""

    bridges: tuple[TraceBridge, ...]

    @property
    def steps(self) -> tuple[TraceStep, ...]:
        """Every table that the packet went through, in order."""
        return tuple(step for bridge in self.bridges for step in bridge.steps)

    @cached_property
    def outputs(self) -> tuple[TraceOutput, ...]:
        """Every copy that leaves the switch, in order."""
        return tuple(output for bridge in self.bridges for output in bridge.outputs())

    @property
    def dropped_by(self) -> TraceStep | None:
        """The last flow of a packet that leaves by no port; ``None`` if it does."""
        return None if self.outputs else self.bridges[-1].steps[-1]


@dataclass(frozen=True, slots=True)
class TracedSwitch:
    """A bridge to ask: called with a packet, it answers with the packet's trace."""

    appctl: Appctl
    bridge: str = "br0"

    def __call__(self, packet: str, *, ct_states: Sequence[str] = ()) -> Trace:
        """Trace a packet given as in ovs-fields(7): ``in_port=3,icmp,nw_src=…``.

        Args:
            packet: what enters the bridge, and where.
            ct_states: what conntrack finds, each time it is asked, as ``trk,est``;
                when they are used up, ``trk,new``.

        Raises:
            SwitchError: the packet's text is wrong, or there is no such bridge.
        """
        options = (part for state in ct_states for part in ("--ct-next", state))
        return parse_trace(self.appctl("ofproto/trace", *options, self.bridge, packet))


def parse_trace(text: str) -> Trace:
    """Read what ``ovs-appctl ofproto/trace`` printed.

    Raises:
        SwitchError: it is no trace, or one of something that the SDN does not use.
    """
    bridges: list[TraceBridge] = []
    lines = iter(text.splitlines())
    resumed: re.Match[str] | None = None
    for line in lines:
        if line.startswith("recirc("):
            resumed = _RESUMED.match(line)
        elif line.startswith("Flow: "):
            bridges.append(_bridge(line, lines, resumed))
    if not bridges:
        raise SwitchError(f"this is no trace: {text.strip() or 'nothing'}")
    if "recirc(" in bridges[-1].datapath_actions:
        raise SwitchError(f"a trace was cut off: {bridges[0].flow}")
    return Trace(bridges=tuple(bridges))


def _bridge(
    first: str, lines: Iterator[str], resumed: re.Match[str] | None
) -> TraceBridge:
    name = ""
    steps: list[tuple[re.Match[str], list[str]]] = []
    ends: dict[str, str] = {}
    for line in lines:
        if line.startswith(_INDENT):
            if steps:  # before the first one is only where a packet is resumed
                steps[-1][1].append(line.strip())
        elif step := _STEP.fullmatch(line):
            steps.append((step, []))
        elif line.startswith('bridge("'):
            name = line[len('bridge("') : -len('")')]
        elif line.startswith(("Final flow: ", "Megaflow: ", "Datapath actions: ")):
            key, _, ends_as = line.partition(": ")
            ends[key] = ends_as
            if key == "Datapath actions":
                break
        elif line.strip("-"):
            raise SwitchError(f"cannot read this line of a trace: {line}")
    if not (steps and len(ends) == 3):
        raise SwitchError(f"a trace was cut off: {first}")
    return TraceBridge(
        name=name,
        flow=first.removeprefix("Flow: "),
        steps=tuple(_step(step, below) for step, below in steps),
        final_flow=ends["Final flow"],
        megaflow=ends["Megaflow"],
        datapath_actions=ends["Datapath actions"],
        recirculation=int(resumed["id"], 16) if resumed else 0,
        ct_state=frozenset(resumed["ct_state"].split("|") if resumed else ()),
    )


def _step(step: re.Match[str], below: list[str]) -> TraceStep:
    match, priority, cookie = step["match"], step["priority"], step["cookie"]
    return TraceStep(
        table=int(step["table"]),
        priority=None if priority is None else int(priority),
        match=tuple(match.split(",")) if match else (),
        cookie=int(cookie, 16) if cookie else 0,
        actions=tuple(_actions(below)),
    )


def _actions(lines: list[str]) -> Iterator[TraceAction]:
    position = 0
    while position < len(lines):
        text = lines[position]
        position += 1
        nested = ""
        if text.startswith("ct("):
            nested = lines[position]
            position += 1
        start = position
        while position < len(lines) and lines[position].startswith(_REMARKS):
            position += 1
        details = tuple(lines[start:position])
        yield TraceAction(text=text, nested=nested, details=details)


def _apply(action: TraceAction, fields: dict[str, str]) -> int | None:
    """Change the packet's fields; return where the packet is output to, if it is."""
    verb, _, rest = action.text.partition(":")
    match verb:
        case "output":
            return None if action.warnings else _ofport(action, rest)
        case "set_field" | "load":
            value, _, name = rest.partition("->")
            fields[_name(name)] = value
        case "move":
            # OVS remarks "-> NAME is now VALUE".
            name, _, value = action.details[0].removeprefix("-> ").partition(" is now ")
            fields[_name(name)] = value
        case _ if verb not in ("goto_table", "note", "drop") and verb[:3] != "ct(":
            raise SwitchError(f"an action that the SDN does not use: {action.text}")
    return None


def _ofport(action: TraceAction, target: str) -> int:
    """A number, or a register whose content OVS remarks."""
    if target.isdecimal():
        return int(target)
    return int(action.details[0].removeprefix("-> output port is "))


def _name(field: str) -> str:
    """One name for a field: ``NXM_NX_TUN_ID[0..31]`` is ``tun_id``."""
    name = field.partition("[")[0].lower().removeprefix("nxm_nx_")
    return "eth_dst" if name == "dl_dst" else name


def _output(ofport: int, fields: Mapping[str, str], step: TraceStep) -> TraceOutput:
    tun_dst = fields.get("tun_dst", _NOWHERE)
    return TraceOutput(
        ofport=ofport,
        vnid=int(fields.get("reg0", "0"), 0),
        tun_id=int(fields.get("tun_id", "0"), 0),
        tun_dst=None if tun_dst == _NOWHERE else IPv4Address(tun_dst),
        pkt_mark=int(fields.get("pkt_mark", "0"), 0),
        eth_dst=fields.get("eth_dst", fields["dl_dst"]),
        step=step,
    )
