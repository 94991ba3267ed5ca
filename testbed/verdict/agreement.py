"""Whether the three witnesses say the same, and what they do not agree in."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from testbed.model import Outcome
from testbed.parties import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Delivery
    from testbed.oracle import Expectation
    from testbed.probe.observed import Observation
    from testbed.tracing import Journey

    _Seen: TypeAlias = tuple[str, str, str, int | None, int | None]


def traced_otherwise(expected: Expectation, traced: Journey) -> Iterator[str]:
    """Yield what a trace has otherwise than it is expected.

    Where one of several receivers is chosen, the trace has all choices: together they
    must be the expected ones, and some may be lost only where that is expected, too.
    """
    if traced.outcome is Outcome.INCONCLUSIVE:
        yield "the trace could not be followed"
        return
    due = {_seen(item) for item in expected.deliveries}
    found = {_seen(item.delivery) for item in traced.arrivals}
    if due != found:
        yield f"traced to {_all_told(found)}, expected {_all_told(due)}"
    elif not found and traced.outcome is not expected.outcome:
        yield f"traced {traced.outcome}, expected {expected.outcome}"
    is_certain = not (expected.everyone or expected.may_be_lost)
    if found and is_certain and traced.losses:
        yield f"traced also {traced.losses[0].reason}, expected all to arrive"


def observed_otherwise(expected: Expectation, observed: Observation) -> Iterator[str]:
    """Yield what was seen otherwise than it is expected."""
    if observed.outcome is Outcome.INCONCLUSIVE:
        yield "the observation is inconclusive"
        return
    due = {name_of(item.receiver) for item in expected.deliveries}
    found = set(observed.receivers)
    if observed.outcome is not expected.outcome:
        if not (expected.may_be_lost and not found):
            yield f"observed {observed.outcome}, expected {expected.outcome}"
    elif found - due or (expected.everyone and due - found):
        yield f"received by {_list(found)}, expected {_list(due)}"
    elif len(found) > 1 and not expected.everyone:
        yield f"received by {_list(found)}, expected one of them only"


def _seen(item: Delivery) -> _Seen:
    name = name_of(item.receiver)
    return name, str(item.source), str(item.destination), item.dport, item.vnid


def _all_told(items: set[_Seen]) -> str:
    return _list({_told(*item) for item in items})


def _told(
    name: str, source: str, destination: str, dport: int | None, vnid: int | None
) -> str:
    port = "" if dport is None else f":{dport}"
    carried = "" if vnid is None else f" with VNID {vnid}"
    return f"{name} ({source} → {destination}{port}{carried})"


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nobody"
