"""What is wrong with a running cluster on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.errors import NotFoundError
from testbed.faults.injection import clear, inject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.emulation.programming import Fault
    from testbed.faults.injection import Injected
    from testbed.model import Cluster


class StandingFaults:
    """The faults that are in a cluster, in the order in which they came.

    Args:
        standing: those that were there before.

    Attributes:
        suffered: those injected since the scenario began, cleared ones included.
    """

    def __init__(self, standing: tuple[Injected, ...]) -> None:
        self.suffered: list[Fault] = []
        self._standing = standing
        self._loose: set[int] = set()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What they are."""
        return tuple(item.fault for item in self._standing)

    @property
    def deaf(self) -> set[str]:
        """The nodes whose ovs-vswitchd does not answer, on purpose."""
        return {fault.node for fault in self.faults if fault.deaf}

    def inject(self, cluster: Cluster, fault: Fault, *, loose: bool = False) -> Fault:
        """Have a fault in one node of a cluster.

        Args:
            cluster: what the cluster is now.
            fault: what goes wrong.
            loose: whether it ends with the scenario, and not with a block.

        Returns:
            The same with all names in full, for ``clear``.

        Raises:
            NotFoundError: the cluster lacks what the fault is about.
            EmulationError: it is there already.
            PrerequisiteError: this machine's kernel cannot do it.
            FlowRejectedError, CommandError, SwitchError: the node does not take it.
        """
        self._standing = inject(cluster, self._standing, fault)
        injected = self._standing[-1]
        self.suffered.append(injected.fault)
        if loose:
            self._loose.add(injected.number)
        return injected.fault

    def clear(self, cluster: Cluster, fault: Fault) -> None:
        """Undo exactly what a fault has done; others stay.

        Raises:
            NotFoundError: it is not there.
        """
        gone = self._of(fault)
        self._standing = clear(cluster, self._standing, gone)
        self._loose.discard(gone.number)

    def loose(self) -> Iterator[Fault]:
        """Yield those that end with the scenario, the latest first."""
        for item in reversed(self._standing):
            if item.number in self._loose:
                yield item.fault

    def keep(self) -> None:
        """Have all of them stay, whatever is restored."""
        self._loose.clear()

    def _of(self, fault: Fault) -> Injected:
        for item in self._standing:
            if item.fault is fault:
                return item
        raise NotFoundError(f"there is no such fault: {fault}")
