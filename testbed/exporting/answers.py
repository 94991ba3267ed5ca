"""Who is asked what a command prints: a running cluster's machines, or nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from testbed.exporting.printed import NODES_SAY, node_prints
from testbed.exporting.printed_links import pod_prints

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testbed.model import Cluster
    from testbed.openflow import Flow


class Answers(Protocol):
    """What commands print on nodes and in pods' networks.

    A command is written as a person types it, words apart by single spaces, and never
    goes through a shell. The answer is ``None`` where there is no such command.
    """

    def node(self, name: str, command: str) -> str | None:
        """What a command prints on a node."""
        ...

    def pod(self, key: str, command: str) -> str | None:
        """What a command prints in the network namespace of a pod."""
        ...


class Computed:
    """What a cluster's machines would print if all is as its objects say.

    No switch runs and nothing was ever sent: counters are zero, neighbours unknown.

    Args:
        cluster: the objects.
        flows: by node, what is in br0 instead of what the SDN computes.
        rules: by node, the ``iptables-restore`` input it was given instead.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        flows: Mapping[str, Sequence[Flow]] | None = None,
        rules: Mapping[str, str] | None = None,
    ) -> None:
        self._cluster = cluster
        self._flows = flows or {}
        self._rules = rules or {}

    def node(self, name: str, command: str) -> str | None:
        """What a command prints on a node; none but these exist there."""
        if command not in NODES_SAY:
            return None
        node = self._cluster.node(name)
        return node_prints(
            self._cluster,
            node,
            command,
            flows=self._flows.get(node.name),
            rules=self._rules.get(node.name),
        )

    def pod(self, key: str, command: str) -> str | None:
        """What a command prints in a pod's network namespace."""
        return pod_prints(self._cluster, self._cluster.pod(key), command)
