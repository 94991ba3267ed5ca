"""Which kinds of flows the scenarios hit, and which none does.

``pytest scenarios/ --flow-coverage`` prints it, for each plugin. A kind is what flows
have in common that differ in addresses, ofports and VNIDs only: one pod's table 20 is
like another's. The flows that must be hit are those of the cluster as it was built;
what a scenario applies adds to what is hit.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import pytest

from testbed.openflow import OFPort
from testbed.openflow.matches import MULTICAST
from testbed.pipeline import cluster_flows

if TYPE_CHECKING:
    from collections.abc import Generator

    from testbed.openflow import Flow
    from testbed.probe import LiveCluster

_TELLING = {"ct_state", "nw_frag", "tp_dst"}
"""Fields whose value makes a kind."""

_FIXED = {MULTICAST, "reg0=0", "reg1=0", *(f"in_port={port.value}" for port in OFPort)}
"""What is the same on all nodes."""


class Kind(NamedTuple):
    """Flows that are alike."""

    table: int
    priority: int
    match: str

    def __str__(self) -> str:
        return f"table={self.table},priority={self.priority},{self.match}".rstrip(",")


def kind_of(flow: Flow) -> Kind:
    """What a flow has in common with those like it."""
    return Kind(int(flow.table), flow.priority, ",".join(map(_item, flow.match)))


def _item(item: str) -> str:
    name, equals, _ = item.partition("=")
    return item if item in _FIXED or name in _TELLING or not equals else f"{name}=…"


@dataclass
class FlowCoverage:
    """The pytest plugin that notes what every scenario hits."""

    wanted: dict[str, set[Kind]] = field(default_factory=lambda: defaultdict(set))
    hit: dict[str, set[Kind]] = field(default_factory=lambda: defaultdict(set))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """Note what the cluster has before a scenario, and what was hit after it."""
        live: LiveCluster | None = getattr(item, "funcargs", {}).get("cluster")
        if live is None:
            yield
            return
        plugin = live.objects.network.plugin.value
        if plugin not in self.wanted:
            flows = cluster_flows(live.objects)
            for node in live.objects.nodes:
                self.wanted[plugin].update(map(kind_of, flows.of(node)))
        try:
            yield
        finally:
            self.hit[plugin].update(kind_of(flow) for _, flow, _ in live.flows_hit())

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        """Print, for each plugin, how many kinds were hit, and which were not."""
        terminalreporter.section("flow coverage")
        for plugin, wanted in self.wanted.items():
            missed = sorted(wanted - self.hit[plugin])
            terminalreporter.write_line(
                f"{plugin}: {len(wanted) - len(missed)} of {len(wanted)} kinds hit"
            )
            for kind in missed:
                terminalreporter.write_line(f"    never hit: {kind}")
