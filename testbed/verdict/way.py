"""A traced way beside the taps that saw the packet: where was it seen last?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.parties import name_of
from testbed.tracing.journey import Arrival, BridgeHop, KernelHop, Loss, WireHop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Traffic
    from testbed.probe.observed import Observation
    from testbed.probe.passage import Passage
    from testbed.tracing import Journey
    from testbed.tracing.journey import Step


@dataclass(frozen=True, slots=True)
class _Stage:
    """A tap on a traced way: at a machine's own interface, its tun0 or its wire."""

    machine: str
    interface: str = ""

    def is_at(self, passage: Passage) -> bool:
        """Whether a sighting is one at this tap."""
        machine, interface = _place(passage)
        if machine != self.machine:
            return False
        if self.interface == "wire":
            return interface not in ("", "tun0")
        return interface == self.interface


def where_lost(observed: Observation, traced: Journey | None) -> str:
    """Between which two places a packet got lost that nobody received."""
    if not observed.passages:
        return f"never left {name_of(observed.traffic.sender)}"
    last = observed.passages[-1]
    way = next((way for way in (traced.ways if traced else ())), ())
    stages = list(_stages(observed.traffic, way))
    reached = -1
    for number, stage in enumerate(stages):
        if any(stage.is_at(passage) for passage in observed.passages):
            reached = number
    if not stages or reached + 1 >= len(stages):
        return f"lost after {last.tap}"
    return _between(stages, reached)


def machines_on(
    traffic: Traffic, traced: Journey | None, observed: Observation | None
) -> list[str]:
    """The machines that a packet passes, or was seen at, in order, each once."""
    found = [name_of(traffic.sender)]
    for way in traced.ways if traced else ():
        for step in way:
            match step:
                case BridgeHop():
                    found.append(step.node)
                case WireHop():
                    found += [step.sender, step.receiver]
                case KernelHop() | Loss():
                    found.append(step.machine)
                case Arrival():
                    found.append(name_of(step.delivery.receiver))
    for passage in observed.passages if observed else ():
        found.append(_place(passage)[0])
    return list(dict.fromkeys(found))


def _stages(traffic: Traffic, way: tuple[Step, ...]) -> Iterator[_Stage]:
    yield _Stage(name_of(traffic.sender))
    for step in way:
        match step:
            case BridgeHop(came_by="tun0"):
                yield _Stage(step.node, "tun0")
            case WireHop():
                yield _Stage(step.sender, "wire")
                yield _Stage(step.receiver, "wire")
            case Arrival():
                yield _Stage(name_of(step.delivery.receiver))


def _between(stages: list[_Stage], reached: int) -> str:
    here, there = stages[reached], stages[reached + 1]
    if here.interface == there.interface == "wire":
        return f"lost on the underlay between {here.machine} and {there.machine}"
    if there.interface == "wire":
        return f"lost in {there.machine}, before its wire"
    if here.interface == "wire":
        return f"reached {here.machine} by wire and got lost in it"
    return f"lost between {here.machine} and {there.machine}"


def _place(passage: Passage) -> tuple[str, str]:
    """Machine and interface of a tap, as its label has them."""
    machine, _, interface = passage.tap.label.partition(" ")
    return machine.rpartition(":")[2], interface
