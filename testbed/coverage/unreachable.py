"""Kinds of flows that no packet can hit, each with the reason.

They are not counted as missed. One that is hit all the same is listed wrongly, and the
run says so and fails.
"""

from __future__ import annotations

from dataclasses import dataclass

from testbed.coverage.kinds import Kind
from testbed.model import Plugin
from testbed.openflow import Table
from testbed.openflow.flow import DEFAULT_PRIORITY


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """A kind that nothing can hit under these plugins, and why."""

    kind: Kind
    plugins: frozenset[Plugin]
    reason: str


UNREACHABLE = (
    Unreachable(
        kind=Kind(Table.RULE_VERSION, DEFAULT_PRIORITY, ""),
        plugins=frozenset(Plugin),
        reason="it is a note of the pipeline's version; no flow leads to its table",
    ),
    Unreachable(
        kind=Kind(Table.POLICY, 0, ""),
        plugins=frozenset({Plugin.SUBNET}),
        reason="the flow before it takes everything: ovs-subnet has no policy",
    ),
    Unreachable(
        kind=Kind(Table.IP_TO_SERVICE, 0, ""),
        plugins=frozenset({Plugin.NETWORKPOLICY}),
        reason="the flow before it takes everything: policies are about pods only",
    ),
)


def reason_for(
    plugin: str, kind: Kind, listed: tuple[Unreachable, ...] = UNREACHABLE
) -> str:
    """Why nothing can hit a kind under a plugin; empty if something should."""
    for item in listed:
        if item.kind == kind and plugin in item.plugins:
            return item.reason
    return ""
