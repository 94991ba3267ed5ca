"""All three witnesses asked about packets in a running cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from testbed.errors import SwitchError
from testbed.garbage import without_collecting
from testbed.model import Outcome
from testbed.oracle import expected
from testbed.ovs import TracedSwitch
from testbed.probe.health import examine
from testbed.probe.kernels import LiveKernels
from testbed.probe.observation import observe, observe_alone
from testbed.tracing import Tracer
from testbed.verdict import Verdict
from testbed.verdict.way import machines_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbed.model import Traffic
    from testbed.probe.live import LiveCluster
    from testbed.probe.observed import Observation

_MOST_ALONE = 20
"""How many of a batch are sent again alone, to see which flow drops them."""


def tracer(live: LiveCluster) -> Tracer:
    """Who traces in a running cluster: its own switches, and its kernels' rules.

    Rules and routes are read when the first packet comes to a kernel, and not again.
    """
    return Tracer(
        live.objects,
        {name: TracedSwitch(appctl) for name, appctl in live.connections.answering()},
        LiveKernels(),
        is_system=live.datapath == "system",
    )


def verdict(live: LiveCluster, traffic: Traffic) -> Verdict:
    """Ask all three about one packet, which is sent alone: what drops it is counted.

    Where they do not agree, it is looked for what is wrong on the packet's way.
    """
    found = Verdict(
        cluster=live.objects,
        traffic=traffic,
        expected=expected(live.objects, traffic),
        traced=tracer(live).journey(traffic),
        observed=_alone(live, traffic),
        origins=live.origins,
    )
    return found if found.agrees else _examined(live, [found])[0]


def verdicts(live: LiveCluster, traffics: Sequence[Traffic]) -> list[Verdict]:
    """Ask all three about many packets at once.

    What is dropped although it must not be is sent again alone, up to twenty of it.
    """
    with without_collecting():
        journeys = tracer(live).journeys(traffics)
        observations = observe(live, traffics)
        found = [
            Verdict(
                cluster=live.objects,
                traffic=traffic,
                expected=expected(live.objects, traffic),
                traced=journey,
                observed=observation,
                origins=live.origins,
            )
            for traffic, journey, observation in zip(
                traffics, journeys, observations, strict=True
            )
        ]
    disagreed = [number for number, item in enumerate(found) if not item.agrees]
    for number in disagreed[:_MOST_ALONE]:
        if found[number].outcome is Outcome.DROPPED:
            again = _alone(live, found[number].traffic)
            found[number] = replace(found[number], observed=again)
    examined = _examined(live, [found[number] for number in disagreed])
    for number, item in zip(disagreed, examined, strict=True):
        found[number] = item
    return found


def _alone(live: LiveCluster, traffic: Traffic) -> Observation:
    """Sent alone, with the flow that drops it; without, where no counters can be read.

    A dead ovs-vswitchd is no reason to look no further.
    """
    try:
        return observe_alone(live, traffic)
    except SwitchError:
        (seen,) = observe(live, [traffic], wires=True)
        return seen


def _examined(live: LiveCluster, found: Sequence[Verdict]) -> list[Verdict]:
    """With what is wrong on the ways of these packets."""
    machines = dict.fromkeys(
        machine
        for item in found
        for machine in machines_on(item.traffic, item.traced, item.observed)
    )
    facts = examine(live, machines)
    return [replace(item, facts=facts) for item in found]
