"""A journey as text for people, indented as ofproto/trace is, and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from testbed.openflow import Table
from testbed.parties import name_of, whose
from testbed.tracing.journey import Arrival, BridgeHop, KernelHop, Loss, WireHop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from testbed.model import Cluster
    from testbed.openflow import Flow
    from testbed.ovs.trace import TraceStep
    from testbed.tracing.journey import Journey, Step

_INDENT = "    "


@dataclass(frozen=True, slots=True)
class Origins:
    """Which API object a flow follows from, by node, table and selector."""

    computed: Mapping[tuple[str, int, str], Flow]

    def of(self, node: str, step: TraceStep) -> str:
        """``Pod shop/web``; empty for what is there in any cluster, or is unknown."""
        flow = self.computed.get((node, step.table, step.selector))
        return flow.made_by if flow else ""

    def is_foreign(self, node: str, step: TraceStep) -> bool:
        """Whether the SDN would have programmed no such flow."""
        key = node, step.table, step.selector
        return step.priority is not None and key not in self.computed


def table_name(number: int) -> str:
    """``table 10 (FROM_VXLAN)``; the bare number where 3.11 has no such table."""
    try:
        return f"table {Table(number)}"
    except ValueError:
        return f"table {number}"


def render(cluster: Cluster, journey: Journey, origins: Origins) -> Iterator[str]:
    """Yield the lines of one journey, each branch under what it branches from."""
    is_branched = len(journey.ways) > 1
    for depth, step in journey.walk():
        indent = _INDENT * (depth if is_branched else 0)
        for line in _lines(cluster, step, origins):
            yield f"{indent}{line}"


def _lines(cluster: Cluster, step: Step, origins: Origins) -> Iterator[str]:
    match step:
        case BridgeHop():
            yield f"{step.node}: br0, in by {step.came_by}: {step.packet}"
            for flow in step.trace.steps:
                yield from _flow(step.node, flow, origins)
        case KernelHop():
            came = f"in by {step.came_by}" if step.came_by else "its own packet"
            yield f"{step.machine}: kernel, {came}{_chance(step)}"
            for hit in step.passage.hits:
                yield f"{_INDENT}{hit}"
        case WireHop(vnid=None):
            yield f"on the wire, {step.sender} to {step.receiver}"
        case WireHop():
            yield (
                f"on the wire, {step.sender} to {step.receiver}: VXLAN "
                f"{step.source} → {step.destination}, VNID {step.vnid}"
            )
        case Arrival():
            yield f"=> delivered to {arrival_text(cluster, step)}"
        case Loss():
            yield f"=> {loss_text(step)}"
        case _:
            assert_never(step)


def _flow(node: str, step: TraceStep, origins: Origins) -> Iterator[str]:
    made_by = origins.of(node, step)
    if made_by:
        note = f"  [{made_by}]"
    elif origins.is_foreign(node, step):
        note = "  [no flow of the SDN's]"
    else:
        note = ""
    shown = step.selector or ("any" if step.priority is not None else "no match")
    yield f"{_INDENT}{table_name(step.table)}: {shown}{note}"
    for action in step.actions:
        yield f"{_INDENT * 2}{action.text}"
        for warning in action.warnings:
            yield f"{_INDENT * 3}! {warning}"


def _chance(step: KernelHop) -> str:
    chance = step.passage.probability
    return f" (with a chance of {float(chance):.0%})" if chance < 1 else ""


def arrival_text(cluster: Cluster, step: Arrival) -> str:
    """Who receives it, and what it looks like there."""
    delivery = step.delivery
    port = "" if delivery.dport is None else f":{delivery.dport}"
    vnid = "" if delivery.vnid is None else f", VNID {delivery.vnid}"
    return (
        f"{name_of(delivery.receiver)}, from {whose(cluster, delivery.source)} "
        f"to {delivery.destination}{port}{vnid}"
    )


def loss_text(loss: Loss) -> str:
    """Where it ends, and by what."""
    where = f"on {loss.machine}"
    if loss.flow is not None:
        shown = loss.flow.selector or "no flow"
        return f"{loss.outcome} {where} in {table_name(loss.flow.table)} by {shown}"
    if loss.rule is not None:
        return f"{loss.outcome} {where} by iptables: {loss.rule}"
    return f"{loss.outcome} {where}: {loss.reason}"


def journey_json(journey: Journey, origins: Origins) -> list[object]:
    """The tree for scripts: each step with its kind and those that follow."""
    return [_json(step, origins) for step in journey.then]


def _json(step: Step, origins: Origins) -> dict[str, object]:
    match step:
        case BridgeHop():
            return {
                "kind": "bridge",
                "node": step.node,
                "came_by": step.came_by,
                "packet": step.packet,
                "tables": [
                    _flow_json(step.node, flow, origins) for flow in step.trace.steps
                ],
                "datapath_actions": step.trace.bridges[-1].datapath_actions,
                "then": [_json(item, origins) for item in step.then],
            }
        case KernelHop():
            return {
                "kind": "kernel",
                "machine": step.machine,
                "came_by": step.came_by or None,
                "probability": float(step.passage.probability),
                "rules": [str(hit) for hit in step.passage.hits],
                "then": [_json(item, origins) for item in step.then],
            }
        case WireHop():
            return {
                "kind": "wire",
                "sender": step.sender,
                "receiver": step.receiver,
                "source": str(step.source),
                "destination": str(step.destination),
                "vnid": step.vnid,
                "then": [_json(item, origins) for item in step.then],
            }
        case Arrival():
            delivery = step.delivery
            return {
                "kind": "arrival",
                "machine": step.machine,
                "receiver": name_of(delivery.receiver),
                "source": str(delivery.source),
                "destination": str(delivery.destination),
                "dport": delivery.dport,
                "vnid": delivery.vnid,
            }
        case Loss():
            return {
                "kind": "loss",
                "outcome": step.outcome.value,
                "machine": step.machine,
                "reason": step.reason,
                "table": step.flow.table if step.flow else None,
                "flow": str(step.flow) if step.flow else None,
                "rule": str(step.rule) if step.rule else None,
            }
        case _:
            assert_never(step)


def _flow_json(node: str, step: TraceStep, origins: Origins) -> dict[str, object]:
    return {
        "table": step.table,
        "name": table_name(step.table).partition("(")[2].rstrip(")") or None,
        "priority": step.priority,
        "match": list(step.match),
        "cookie": f"{step.cookie:#x}",
        "actions": [action.text for action in step.actions],
        "warnings": [text for action in step.actions for text in action.warnings],
        "made_by": origins.of(node, step) or None,
        "is_foreign": origins.is_foreign(node, step),
    }
