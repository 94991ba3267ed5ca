"""A packet traced twice, and never sent: as 3.11 would have it, and as it is.

Real switches with the dummy datapath get the computed flows, then those that were
collected; kernels are read from the iptables of each. Any user may run it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.emulation.programming import programmed_flows, programmed_rules
from testbed.emulation.wiring import Datapath
from testbed.netfilter import Ruleset
from testbed.openflow import OFPort, flow_differences
from testbed.oracle import Expectation, expected
from testbed.ovs import start_dummy_switches
from testbed.pipeline import cluster_flows
from testbed.tracing import Tracer, computed_kernels, computed_origins
from testbed.verdict import Verdict
from testbed.verdict.facts import Fact, Kind
from testbed.verdict.way import machines_on

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from testbed.emulation.programming import Fault
    from testbed.model import Cluster, Traffic
    from testbed.netfilter import Kernel
    from testbed.openflow import Flow
    from testbed.tracing import Journey


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """What becomes of a packet, and what should.

    Attributes:
        reply: what 3.11's own flows and rules would make of the answer; ``None`` where
            there is none.
        verdict: what those that are there make of it, beside what must happen.
        answer: the same of the answer, which must happen as it would with 3.11's own;
            ``None`` where there is none.
    """

    reply: Journey | None
    verdict: Verdict
    answer: Verdict | None


def traced(cluster: Cluster, traffic: Traffic, faults: Sequence[Fault] = ()) -> Traced:
    """Trace a packet in a cluster that does not run.

    Args:
        cluster: its objects.
        traffic: the packet.
        faults: what its nodes have instead of what is computed.

    Raises:
        FlowRejectedError: Open vSwitch refused a flow.
        DumpError: a node's rules cannot be read.
    """
    computed = cluster_flows(cluster)
    should = {node.name: computed.of(node) for node in cluster.nodes}
    has = {
        node.name: programmed_flows(cluster, node, faults, should[node.name])
        for node in cluster.nodes
    }
    ofports = {pod.ofport for pod in cluster.pods if pod.ofport} | set(OFPort)
    kernels = computed_kernels(cluster)
    with (
        tempfile.TemporaryDirectory(prefix="testbed-") as directory,
        start_dummy_switches(
            Path(directory), bridges=len(cluster.nodes), ofports=sorted(ofports)
        ) as switches,
    ):
        tracer = Tracer(cluster, switches.program(should), kernels)
        reply = tracer.reply(tracer.journey(traffic))
        rules = _kernels(cluster, kernels, faults)
        tracer = Tracer(cluster, switches.program(has), rules)
        journey = tracer.journey(traffic)
        answer = tracer.reply(journey)
    origins = computed_origins(cluster)
    found = Verdict(
        cluster=cluster,
        traffic=traffic,
        expected=expected(cluster, traffic),
        traced=journey,
        origins=origins,
    )
    back = None
    if reply is not None and answer is not None:
        back = Verdict(
            cluster=cluster,
            traffic=answer.traffic,
            expected=_as_traced(reply),
            traced=answer,
            origins=origins,
        )
    return Traced(
        reply=reply,
        verdict=_examined(found, should, has),
        answer=back and _examined(back, should, has),
    )


def _as_traced(journey: Journey) -> Expectation:
    """What must become of an answer, of which objects say nothing."""
    return Expectation(
        outcome=journey.outcome,
        decided_by="it answers what has arrived",
        deliveries=tuple(item.delivery for item in journey.arrivals),
    )


def _examined(
    found: Verdict,
    should: Mapping[str, Sequence[Flow]],
    has: Mapping[str, Sequence[Flow]],
) -> Verdict:
    """A verdict with what deviates on the packet's way, where it is not as it must."""
    if found.agrees:
        return found
    machines = machines_on(found.traffic, found.traced, None)
    return replace(found, facts=tuple(_facts(should, has, machines)))


def _kernels(
    cluster: Cluster, kernels: Mapping[str, Kernel], faults: Sequence[Fault]
) -> dict[str, Kernel]:
    changed = dict(kernels)
    for node in cluster.nodes:
        computed = programmed_rules(cluster, node, Datapath.SYSTEM, ())
        rules = programmed_rules(cluster, node, Datapath.SYSTEM, faults)
        if rules != computed:
            ruleset = Ruleset.parse("".join(rules))
            changed[node.name] = replace(kernels[node.name], ruleset=ruleset)
    return changed


def _facts(
    should: Mapping[str, Sequence[Flow]],
    has: Mapping[str, Sequence[Flow]],
    machines: Sequence[str],
) -> Iterator[Fact]:
    """Yield the flows on the packet's way that are not as 3.11 would program them."""
    for name in machines:
        if name in has and has[name] != should[name]:
            for difference in flow_differences(should[name], has[name]):
                yield Fact(
                    machine=name,
                    kind=Kind.FLOWS,
                    text=str(difference),
                    difference=difference,
                )
