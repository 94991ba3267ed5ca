"""Reading what ``ofproto/trace`` prints.

Source: ovs-vswitchd(8), "OFPROTO COMMANDS"; ofproto/ofproto-dpif-trace.c
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from testbed.errors import SwitchError
from testbed.ovs.trace_tree import Trace, TraceAction, TraceBridge, TraceStep

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = re.compile(r'bridge\("(?P<name>[^"]+)"\)\n-+(?=\n|$)')
_NEXT_STEP = re.compile(r"\n(?= ?\d+\. )")
_STEP = re.compile(
    r" *(?P<table>\d+)\. (?:No match\.|(?:(?P<match>\S+), )?"
    r"priority (?P<priority>\d+)(?:, cookie (?P<cookie>0x[0-9a-f]+))?)"
)
_RECIRCULATION = f"\n\n{'=' * 79}\nrecirc("
_RESUMED = re.compile(
    r"(?P<id>0x[0-9a-f]+)\) - resume conntrack with "
    r"(?:default )?ct_state=(?P<ct_state>\S+)"
)
_INDENT = "    "
_BRIDGE = 'bridge("'
_REMARKS = ("->", ">>")


class TraceReader:
    """Reads traces, and remembers the texts of tables and bridges that it has read.

    What it gives is the same whatever it remembers.

    Args:
        remembered: the most texts to remember, of tables and of bridges each.
    """

    def __init__(self, remembered: int) -> None:
        self._step = lru_cache(maxsize=remembered)(_step)
        self._way = lru_cache(maxsize=remembered)(self._read_way)

    def __call__(self, text: str) -> Trace:
        """Read what ``ovs-appctl ofproto/trace`` printed.

        What an underlay's bridge does with a tunnel's packets is left out.

        Raises:
            SwitchError: it is no trace, or one of something that the SDN does not use.
        """
        first, *resumed = text.split(_RECIRCULATION)
        if not first.startswith("Flow: "):
            raise SwitchError(f"this is no trace: {text.strip() or 'nothing'}")
        bridges = (self._bridge(first, None), *map(self._resumed, resumed))
        if "recirc(" in bridges[-1].datapath_actions:
            raise _cut_off(first)
        return Trace(bridges=bridges)

    def _resumed(self, text: str) -> TraceBridge:
        why, flow, rest = text.partition("Flow: ")
        return self._bridge(flow + rest, _RESUMED.match(why))

    def _bridge(self, text: str, resumed: re.Match[str] | None) -> TraceBridge:
        flow, _, rest = text.partition("\n\n")
        way, _, rest = rest.partition("\n\nFinal flow: ")
        final_flow, _, rest = rest.partition("\nMegaflow: ")
        megaflow, is_whole, rest = rest.partition("\nDatapath actions: ")
        datapath_actions, _, rest = rest.partition("\n")
        if not is_whole:
            raise _cut_off(text)
        if rest.startswith("Translation failed"):
            raise SwitchError(f"{rest.strip()} {flow}")
        name, steps = self._way(way)
        return TraceBridge(
            name=name,
            flow=flow.removeprefix("Flow: "),
            steps=steps,
            final_flow=final_flow,
            megaflow=megaflow,
            datapath_actions=datapath_actions,
            recirculation=int(resumed["id"], 16) if resumed else 0,
            ct_state=frozenset(resumed["ct_state"].split("|") if resumed else ()),
        )

    def _read_way(self, text: str) -> tuple[str, tuple[TraceStep, ...]]:
        """The bridge and its tables, but none of an underlay's bridge below."""
        head, *steps = _NEXT_STEP.split(text.partition(f"\n\n{_BRIDGE}")[0])
        bridge = _HEAD.match(head)
        if not (bridge and steps):
            raise _cut_off(text)
        return bridge["name"], tuple(map(self._step, steps))


def parse_trace(text: str) -> Trace:
    """Read a trace as ``TraceReader`` does, and remember nothing.

    Raises:
        SwitchError: it is no trace, or one of something that the SDN does not use.
    """
    return TraceReader(remembered=0)(text)


def _cut_off(text: str) -> SwitchError:
    first, _, _ = text.partition("\n")
    return SwitchError(f"a trace was cut off: {first}")


def _step(text: str) -> TraceStep:
    head, *below = text.split("\n")
    step = _STEP.fullmatch(head)
    if step is None:
        raise _unreadable(head)
    match, priority, cookie = step["match"], step["priority"], step["cookie"]
    return TraceStep(
        table=int(step["table"]),
        priority=None if priority is None else int(priority),
        match=tuple(match.split(",")) if match else (),
        cookie=int(cookie, 16) if cookie else 0,
        actions=tuple(_actions(list(_own(below)))),
    )


def _unreadable(line: str) -> SwitchError:
    return SwitchError(f"cannot read this line of a trace: {line}")


def _own(lines: list[str]) -> Iterator[str]:
    """Leave out the underlay's bridge, where OVS has it in between actions."""
    is_underlay = False
    for line in lines:
        text = line.removeprefix(_INDENT)
        is_deeper = text.startswith(_INDENT)
        if text.startswith(_BRIDGE):
            is_underlay = True
        elif is_underlay and (is_deeper or not text.strip("-")):
            continue
        elif text:
            if is_deeper or not line.startswith(_INDENT):
                raise _unreadable(line)
            is_underlay = False
            yield text.strip()


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
