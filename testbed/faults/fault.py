"""What every fault is: a value that says what is wrong with one node."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from testbed.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testbed.faults.site import Site
    from testbed.model import Cluster
    from testbed.openflow import Flow

_WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Programming:
    """What a node is programmed with in the place of what it should be.

    By default all is as it should be. What comes out is a function of what the SDN
    computes, so it stays in whatever is applied: a flow that is missing is still
    missing when its neighbours have changed.
    """

    __slots__ = ()

    deaf: ClassVar[bool] = False
    """Whether the node's ovs-vswitchd takes no flows for as long as this is so."""

    def seen(self, cluster: Cluster) -> Cluster:
        """The objects as the node's SDN takes them to be."""
        return cluster

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """The flows for its br0 instead of those computed."""
        return tuple(computed)

    def rules(self, computed: str) -> str:
        """The input for its ``iptables-restore`` instead of that computed."""
        return computed


@dataclass(frozen=True, kw_only=True)
class Fault(Programming):
    """One thing that is wrong with a node.

    Its class is its kind, its fields say where and how. It knows nothing of a running
    cluster until it is put into one, by ``LiveCluster.broken`` or ``testbed fault``.

    Attributes:
        node: the node's name; may be left out where a pod tells it.
    """

    node: str = ""

    kind: ClassVar[str] = "fault"
    """The class's name as it is typed: ``host-subnet-forgotten``."""

    forgets: ClassVar[str] = ""
    """When ovs-vswitchd loses its memory: at ``inject`` or ``undo``; empty if never."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.kind = _WORD_BEGINS.sub("-", cls.__name__).lower()

    @property
    def told(self) -> str:
        """The matter in one sentence."""
        raise NotImplementedError

    @property
    def on(self) -> str:
        """The node's name, short."""
        return short(self.node)

    def resolved(self, cluster: Cluster) -> Self:
        """The same with all names in full.

        Raises:
            NotFoundError: the cluster has no such node, pod or other object.
        """
        if not self.node:
            names = ", ".join(node.name for node in cluster.nodes)
            raise NotFoundError(f"{self.kind}: node is missing; there are: {names}")
        return dataclasses.replace(self, node=cluster.node(self.node).name)

    def check(self, cluster: Cluster) -> None:
        """See that the cluster has what the fault is about; names are in full.

        Raises:
            NotFoundError: it lacks something; the message says what there is.
        """

    def inject(self, site: Site) -> Mapping[str, object]:
        """Do to the machines what is more than programming.

        Returns:
            What it takes to undo it, as JSON has it.

        Raises:
            PrerequisiteError: this machine's kernel cannot do it.
            CommandError, SwitchError: it was refused; nothing has been changed.
        """
        del site
        return {}

    def undo(self, site: Site, memo: Mapping[str, object]) -> None:
        """Undo exactly what ``inject`` did.

        Args:
            site: where.
            memo: what ``inject`` returned.
        """

    def recall(self, site: Site, memo: Mapping[str, object]) -> None:
        """Do once more what ovs-vswitchd has forgotten, if that is a part of it.

        Args:
            site: where.
            memo: what ``inject`` returned.
        """


def short(name: str) -> str:
    """A node's name up to its domain."""
    return name.partition(".")[0]


@dataclass(frozen=True, kw_only=True)
class PodFault(Fault):
    """Something that is wrong with one pod, on its node.

    Attributes:
        pod: ``namespace/name``.
    """

    pod: str

    def resolved(self, cluster: Cluster) -> Self:
        """The same with the pod's node."""
        pod = cluster.pod(self.pod)
        if pod.host_network:
            raise NotFoundError(
                f"{self.kind}: {pod.key} has no port: it is on the host network"
            )
        if self.node and cluster.node(self.node).name != pod.node:
            raise NotFoundError(
                f"{self.kind}: {pod.key} is on {pod.node}, not on {self.node}"
            )
        return dataclasses.replace(self, node=pod.node)
