"""Which changes of a flow change nothing, by rules that prove it.

A change is told by where packets come out, with what in their headers, and by which
flow drops them: 3.11 has flows that do nothing but drop, so that what is lost is
counted. The rules, of which each is enough:

* no packet comes to the table, or none that the flow could take;
* a flow above takes every packet that this one could;
* the packets that the change gives to another flow, or takes from one, get the same
  actions from it, there or where it passes them on to, and are not dropped;
* the field that a wider match does not ask for is the same in all packets that could
  come to the table, as the flows that lead there match it, or load it;
* the VNID goes to a register that no flow reads which the packet could come to, but
  for flows that would send it out of the port that it came in on;
* the table that is left out only passes on such packets.

A change that does what the deletion of the flow does is not made twice: where the flow
that follows takes all of its packets, to fall below that is to be gone.

What the rules cannot know is which packets there are at all. They judge a table alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from testbed.mutation.fields import Match
from testbed.mutation.mutant import Operator
from testbed.mutation.pipeline import goes_nowhere, onward, reads
from testbed.openflow.actions import DROP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from testbed.mutation.flows import FlowChange
    from testbed.mutation.pipeline import Pipeline
    from testbed.openflow import Flow

_LOADED = re.compile(r"->NXM_NX_(REG\d|TUN_ID)\[")


def why_equivalent(change: FlowChange, flow: Flow, pipeline: Pipeline) -> str:
    """Why nobody could tell a change of a flow; empty where somebody could."""
    if flow.table not in pipeline.reachable:
        return f"no packet comes to table {int(flow.table)}"
    if shadow := pipeline.shadow(flow):
        return f"{shadow.selector} takes all packets that it could"
    changed = change.edit(flow)
    if not (pipeline.is_fed(flow) or (changed and pipeline.is_fed(changed))):
        return "nothing that it could take comes to the table"
    judge = _JUDGES.get(change.operator)
    return judge(change, flow, pipeline) if judge else ""


def why_the_same_as_deleted(change: FlowChange, flow: Flow, pipeline: Pipeline) -> str:
    """Why a change of a flow is its deletion; empty where it is not."""
    changed = change.edit(flow)
    if changed is None or changed.match != flow.match:
        return ""
    match = Match(flow.match)
    takers = list(
        pipeline.takers(int(flow.table), match, below=flow.priority, without=flow)
    )
    if not takers or not pipeline.takes_all(takers[-1], match):
        return ""
    if changed.priority != flow.priority:
        passed = [taker for taker in takers if taker.priority > changed.priority]
        if any(pipeline.takes_all(taker, match) for taker in passed):
            return f"as deleted: {passed[-1].selector} takes all its packets"
    elif all(taker.actions == changed.actions for taker in takers):
        return f"as deleted: {takers[-1].selector} does that"
    return ""


def _deleted_for_nothing(change: FlowChange, flow: Flow, pipeline: Pipeline) -> str:
    del change
    return _followed_alike(flow, Match(flow.match), pipeline)


def _followed_alike(flow: Flow, match: Match, pipeline: Pipeline) -> str:
    takers = list(
        pipeline.takers(int(flow.table), match, below=flow.priority, without=flow)
    )
    outcome = pipeline.outcome(flow, match)
    if (
        takers
        and outcome != (DROP,)
        and pipeline.takes_all(takers[-1], match)
        and all(pipeline.outcome(taker, match) == outcome for taker in takers)
    ):
        return f"{takers[-1].selector or 'the next flow'} does the same with them"
    return ""


def _wider_for_nothing(change: FlowChange, flow: Flow, pipeline: Pipeline) -> str:
    wider = change.edit(flow)
    if wider is None:
        return ""
    return _implied(wider, flow, pipeline) or _followed_alike(
        flow, Match(wider.match), pipeline
    )


def _implied(wider: Flow, flow: Flow, pipeline: Pipeline) -> str:
    """Why all packets have what a wider match does not ask for."""
    (item,) = set(flow.match) - set(wider.match)
    if pipeline.implies(wider, item):
        return f"what comes to the table with its other fields always has {item}"
    return ""


def _unread(change: FlowChange, flow: Flow, pipeline: Pipeline) -> str:
    changed = change.edit(flow)
    if changed is None:
        return ""
    if changed.match != flow.match:
        gains, loses = (Match(item.match) for item in (changed, flow))
        return _followed_alike(flow, gains, pipeline) and _followed_alike(
            flow, loses, pipeline
        )
    new = next(action for action in changed.actions if action not in flow.actions)
    register = _LOADED.search(new)
    if register is None or register[1] == "TUN_ID":
        return ""
    name = register[1].lower()
    in_port = next((item for item in flow.match if item.startswith("in_port=")), "")
    ahead = (
        other
        for other in pipeline.ahead_of(flow)
        if not (in_port and goes_nowhere(other, in_port))
    )
    if any(reads(other, name) for other in ahead):
        return ""
    return f"nothing reads {name} of such a packet"


def _passed_on(change: FlowChange, flow: Flow, pipeline: Pipeline) -> str:
    changed = change.edit(flow)
    if changed is None:
        return ""
    (skipped,) = onward(flow) - onward(changed)
    (target,) = onward(changed)
    if all(
        taker.actions == (f"goto_table:{target}",)
        for taker in pipeline.next_takers(skipped, flow)
    ):
        return f"table {skipped} only passes on"
    return ""


_JUDGES: Mapping[Operator, Callable[[FlowChange, Flow, Pipeline], str]] = {
    Operator.DELETED: _deleted_for_nothing,
    Operator.WIDENED: _wider_for_nothing,
    Operator.VNID: _unread,
    Operator.GOTO: _passed_on,
}
"""The rules that are about one operator."""
