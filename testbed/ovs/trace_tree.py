"""A trace as a value: what a switch would do with a packet, and what comes of that.

A trace is a tree, as in OVS itself: the bridge, the tables the packet goes through, the
flow it hits in each, that flow's actions, and what OVS remarks on them. Where an action
hands the packet to conntrack (``ct(table=…)``) the bridge part ends, and another one
takes up the packet with the state that conntrack gave it.

Source: ofproto/ofproto-dpif-trace.h
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, TypeAlias

from testbed.errors import SwitchError
from testbed.openflow import DEFAULT_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Effect: TypeAlias = "int | IPv4Address | tuple[str, str]"
"""What an action does: output to an ofport, a new end of the tunnel, or a new value of
another field."""

_NOWHERE = IPv4Address(0)


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


@dataclass(frozen=True, kw_only=True)
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

    @cached_property
    def effects(self) -> tuple[Effect, ...]:
        """What the actions do to the packet, in order.

        Raises:
            SwitchError: an action speaks of something unknown here.
        """
        return tuple(effect for action in self.actions for effect in _effects(action))

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
        changed: dict[str, str] = {}
        tun_dst: IPv4Address | None = None
        for step in self.steps:
            for effect in step.effects:
                if isinstance(effect, int):
                    fields = _fields(self.flow) | changed
                    yield _output(effect, fields, tun_dst, step)
                elif isinstance(effect, IPv4Address):
                    tun_dst = effect
                else:
                    name, value = effect
                    changed[name] = value


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


def _effects(action: TraceAction) -> Iterator[Effect]:
    verb, _, rest = action.text.partition(":")
    match verb:
        case "output":
            if not action.warnings:
                yield _ofport(action, rest)
        case "set_field" | "load":
            value, _, name = rest.partition("->")
            if name == "tun_dst":
                yield IPv4Address(value)
            else:
                yield _name(name), value
        case "move":
            # OVS remarks "-> NAME is now VALUE", and so is what it was moved from.
            value = action.details[0].partition(" is now ")[2]
            for name in rest.split("->"):
                yield _name(name), value
        case _ if verb not in ("goto_table", "note", "drop") and verb[:3] != "ct(":
            raise SwitchError(f"an action that the SDN does not use: {action.text}")


def _ofport(action: TraceAction, target: str) -> int:
    """A number, or a register whose content OVS remarks."""
    if target.isdecimal():
        return int(target)
    return int(action.details[0].removeprefix("-> output port is "))


def _name(field_text: str) -> str:
    """One name for a field: ``NXM_NX_TUN_ID[0..31]`` is ``tun_id``."""
    name = field_text.partition("[")[0].lower().removeprefix("nxm_nx_")
    return "dl_dst" if name == "eth_dst" else name


def _fields(flow: str) -> dict[str, str]:
    """What ``_output`` tells of a packet, as it came; much quicker than all of it."""
    fields = {}
    for name in ("reg0", "tun_id", "tun_dst", "pkt_mark", "dl_dst"):
        _, found, rest = flow.partition(f"{name}=")
        if found:
            fields[name] = rest.partition(",")[0]
    return fields


def _output(
    ofport: int,
    fields: Mapping[str, str],
    tun_dst: IPv4Address | None,
    step: TraceStep,
) -> TraceOutput:
    if tun_dst is None:  # as the packet came
        tun_dst = IPv4Address(fields["tun_dst"]) if "tun_dst" in fields else _NOWHERE
    return TraceOutput(
        ofport=ofport,
        vnid=int(fields.get("reg0", "0"), 0),
        tun_id=int(fields.get("tun_id", "0"), 0),
        tun_dst=None if tun_dst == _NOWHERE else tun_dst,
        pkt_mark=int(fields.get("pkt_mark", "0"), 0),
        eth_dst=fields["dl_dst"],
        step=step,
    )
