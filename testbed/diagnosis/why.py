"""One packet asked of what was collected: does it arrive, and what is to blame?

The collected flows are loaded into real switches as they are, the rules read as the
kernel would; what was not collected is as computed (``testbed.replay.offline``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.diagnosis.finding import FlowKey, names
from testbed.faults.fault import Programming
from testbed.model import HostSubnet, Pod
from testbed.parties import name_of
from testbed.replay.offline import traced
from testbed.replay.rules import text_of
from testbed.tracing.journey import KernelHop, Loss
from testbed.verdict.way import machines_on

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbed.diagnosis.finding import Diagnosis, Finding
    from testbed.diagnosis.node import Node
    from testbed.model import Traffic
    from testbed.openflow import Flow
    from testbed.verdict import Verdict

_OF_KERNELS = ("iptables-", "egress-ip-rule", "service-rules", "node-ports", "hostport",
               "masquerade-mark", "ip-forward", "route-",
               "no-default-route")  # fmt: skip
_WHEREVER = ("link-down", "mtu", "peer-silent", "vxlan-", "stale-arp", "tun0-",
             "node-address", "own-port", "flows-wiped", "switch-silent",
             "host-ip-")  # fmt: skip
"""Checks of what no flow and no rule shows; of the machines that a packet passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsCollected(Programming):
    """A node with its collected flows and rules in the place of those computed.

    Attributes:
        node: the node's name.
        collected: its flows; ``None`` where they were not collected.
        iptables: its rules, as ``iptables-restore`` takes them; empty likewise.
    """

    node: str
    collected: tuple[Flow, ...] | None
    iptables: str

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """The collected ones."""
        return tuple(computed) if self.collected is None else self.collected

    def rules(self, computed: str) -> str:
        """The collected ones."""
        return self.iptables or computed


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """What becomes of a packet, and by whose fault.

    Attributes:
        verdict: what must become of it and what would.
        answer: the same of the answer to it; ``None`` where there is none.
        blamed: the findings that it, or its answer, met; the likeliest first.
        assumed: what was not collected, and is as computed.
    """

    verdict: Verdict
    answer: Verdict | None
    blamed: tuple[Finding, ...]
    assumed: str = ""

    @property
    def is_as_it_must(self) -> bool:
        """Whether the packet and its answer fare as they must."""
        answers = self.answer is None or self.answer.agrees
        return self.verdict.agrees and answers

    @property
    def lines(self) -> Iterator[str]:
        """The answer in words."""
        yield from self.verdict.paragraph.splitlines()
        if self.answer is not None and not self.answer.agrees:
            yield "and the answer:"
            yield from self.answer.paragraph.splitlines()
        if self.is_as_it_must and not self.blamed:
            yield "  it fares as it must; no finding has to do with it"
        elif self.is_as_it_must:
            yield "  by flows and rules it fares as it must; but on its way:"
        elif not self.blamed:
            yield "  no finding explains it"
        for number, finding in enumerate(self.blamed):
            yield f"  {'to blame:' if not number else '         '} {finding.title}"
        if self.assumed:
            yield f"  {self.assumed}"


def why(
    diagnosis: Diagnosis,
    nodes: Sequence[Node],
    traffic: Traffic,
    *,
    wiped: frozenset[str] = frozenset(),
) -> Why:
    """Ask what becomes of a packet.

    Args:
        diagnosis: what is wrong.
        nodes: what was collected.
        traffic: the packet.
        wiped: the nodes whose br0 has no flows.

    Raises:
        FlowRejectedError: Open vSwitch refused a collected flow.
        DumpError: rules cannot be read.
    """
    faults = tuple(_as_collected(node, wiped) for node in nodes)
    found = traced(nodes[0].cluster, traffic, faults)
    silent = [fault.node for fault in faults if fault.collected is None]
    unruly = [fault.node for fault in faults if not fault.iptables]
    told = [
        f"{what} of {names(missing)}"
        for what, missing in (("flows", silent), ("iptables", unruly))
        if missing
    ]
    return Why(
        verdict=found.verdict,
        answer=found.answer,
        blamed=tuple(_blamed(diagnosis, traffic, found.verdict, found.answer)),
        assumed=f"as computed, not as collected: {'; '.join(told)}" if told else "",
    )


def _as_collected(node: Node, wiped: frozenset[str]) -> AsCollected:
    flows: tuple[Flow, ...] | None = None
    if node.collected.bridge is not None:
        flows = node.installed
    elif node.name in wiped:
        flows = ()
    return AsCollected(
        node=node.name,
        collected=flows,
        iptables=text_of(node.iptables[1]) if node.iptables else "",
    )


def _blamed(
    diagnosis: Diagnosis, traffic: Traffic, *verdicts: Verdict | None
) -> Iterator[Finding]:
    """The findings that the packet met: by flow, else by machine, else by object."""
    told: set[int] = set()
    for finding in _candidates(diagnosis, traffic, verdicts):
        if id(finding) not in told:
            told.add(id(finding))
            yield finding


def _candidates(
    diagnosis: Diagnosis, traffic: Traffic, verdicts: Sequence[Verdict | None]
) -> Iterator[Finding]:
    asked = [verdict for verdict in verdicts if verdict is not None]
    lost = [verdict for verdict in asked if not verdict.agrees]
    for verdict in lost:
        for key in _culprits(verdict):
            yield from diagnosis.blamed([key])
    kernels = {machine for verdict in lost for machine in _kernels(verdict)}
    for finding in diagnosis.findings:
        if finding.check.startswith(_OF_KERNELS) and kernels & set(finding.nodes):
            yield finding
    yield from _on_the_way(diagnosis, traffic, asked)


def _culprits(verdict: Verdict) -> Iterator[FlowKey]:
    for fact in verdict.explanation.culprits:
        if fact.difference is not None:
            for flow in (fact.difference.computed, fact.difference.installed):
                if flow is not None:
                    yield FlowKey(fact.machine, int(flow.table), flow.selector)


def _on_the_way(
    diagnosis: Diagnosis, traffic: Traffic, asked: Sequence[Verdict]
) -> Iterator[Finding]:
    """What no flow and no rule shows, of the machines and pods that have part in it."""
    machines = {
        machine
        for verdict in asked
        for machine in machines_on(verdict.traffic, verdict.traced, None)
    }
    parties = {f"Pod {name_of(traffic.sender)}"}
    receiver = asked[0].cluster.pod_at(traffic.destination) if asked else None
    if receiver:
        parties.add(f"Pod {receiver.key}")
    for party in (traffic.sender, receiver):
        if isinstance(party, Pod | HostSubnet):
            machines.add(party.node if isinstance(party, Pod) else party.name)
    for finding in diagnosis.findings:
        about_host = finding.object.startswith("HostSubnet ")
        hosts = {finding.object.removeprefix("HostSubnet ")} if about_host else set()
        is_there = bool(machines & {*finding.nodes, *hosts}) and hosts <= machines
        if finding.object in parties or (
            finding.check.startswith(_WHEREVER) and is_there
        ):
            yield finding


def _kernels(verdict: Verdict) -> Iterator[str]:
    for way in verdict.traced.ways if verdict.traced else ():
        for step in way:
            if isinstance(step, KernelHop | Loss):
                yield step.machine
