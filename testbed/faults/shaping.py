"""Links that lose, delay, reorder or throttle what is sent over them (tc(8)).

What is shaped is what leaves the interface: with ``eth0`` what the node sends on the
underlay, with ``tun0`` what its kernel sends into br0, with a pod what br0 sends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.errors import CommandError, NotFoundError, PrerequisiteError
from testbed.faults.devices import check_device, interface, is_there
from testbed.faults.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbed.faults.site import Site
    from testbed.model import Cluster

_DEFAULTS = ("noqueue", "pfifo_fast", "fq_codel", "fq", "mq", "pfifo")
"""What the kernel gives an interface by itself."""


@dataclass(frozen=True, kw_only=True)
class _Shaped(Fault):
    """A queueing discipline on an interface.

    Attributes:
        device: ``eth0``, ``tun0``, or a pod of the node (``namespace/name``).
    """

    device: str = "eth0"

    def check(self, cluster: Cluster) -> None:
        """See that the node has the interface, and that the numbers are in range."""
        check_device(self.kind, cluster, self.node, self.device)

    def _discipline(self) -> tuple[str, ...]:
        """The discipline, in tc's words."""
        raise NotImplementedError

    def inject(self, site: Site) -> Mapping[str, object]:
        """Put it on the interface.

        Raises:
            PrerequisiteError: this machine's kernel lacks it.
            NotFoundError: the interface is shaped already.
        """
        machine = site.machine(self.node)
        name = interface(site.cluster, self.device, site.datapath)
        there = machine.run("tc", "qdisc", "show", "dev", name, "root").split()
        if len(there) > 1 and there[1] not in _DEFAULTS:
            raise NotFoundError(
                f"{self.kind}: {self.device} of {self.node} is shaped already, by "
                f"{there[1]}"
            )
        discipline = self._discipline()
        try:
            machine.run("tc", "qdisc", "add", "dev", name, "root", *discipline)
        except CommandError as error:
            kind = discipline[0]
            if "kind is unknown" not in error.stderr:
                raise
            raise PrerequisiteError(
                f"{self.kind}: this machine's kernel has no {kind}; type: "
                f"sudo modprobe sch_{kind}"
            ) from error
        return {"interface": name}

    def undo(self, site: Site, memo: Mapping[str, object]) -> None:
        """Take it away; the interface has the kernel's own again."""
        machine, name = site.machine(self.node), str(memo["interface"])
        if is_there(machine, name):
            machine.run("tc", "qdisc", "del", "dev", name, "root")

    def _in_range(self, name: str, low: float, high: float, unit: str) -> None:
        value = getattr(self, name)
        if not low <= value <= high:
            raise NotFoundError(
                f"{self.kind}: {name} must be {low:g} to {high:g} {unit}, not {value:g}"
            )


@dataclass(frozen=True, kw_only=True)
class NetemLoss(_Shaped):
    """Some packets get lost.

    Attributes:
        percent: how many, up to 100.
    """

    percent: float

    @property
    def told(self) -> str:
        """How many."""
        return f"{self.device} of {self.on} loses {self.percent:g} % of what it sends"

    def check(self, cluster: Cluster) -> None:
        """See that it is a share."""
        super().check(cluster)
        self._in_range("percent", 0.001, 100, "percent")

    def _discipline(self) -> tuple[str, ...]:
        return ("netem", "loss", f"{self.percent}%")


@dataclass(frozen=True, kw_only=True)
class NetemDelay(_Shaped):
    """All packets are late.

    Attributes:
        milliseconds: by how much.
        jitter: by how much that varies, in milliseconds.
    """

    milliseconds: float
    jitter: float = 0

    @property
    def told(self) -> str:
        """By how much."""
        varying = f" ± {self.jitter:g}" if self.jitter else ""
        return (
            f"{self.device} of {self.on} delays what it sends by "
            f"{self.milliseconds:g}{varying} ms"
        )

    def check(self, cluster: Cluster) -> None:
        """See that it is a time."""
        super().check(cluster)
        self._in_range("milliseconds", 0.001, 60_000, "ms")
        self._in_range("jitter", 0, self.milliseconds, "ms")

    def _discipline(self) -> tuple[str, ...]:
        jitter = (f"{self.jitter}ms",) if self.jitter else ()
        return ("netem", "delay", f"{self.milliseconds}ms", *jitter)


@dataclass(frozen=True, kw_only=True)
class NetemReorder(_Shaped):
    """Some packets overtake those before them.

    Attributes:
        percent: how many.
        milliseconds: by how much the others are late.
    """

    percent: float
    milliseconds: float = 10

    @property
    def told(self) -> str:
        """How many."""
        return (
            f"{self.percent:g} % of what {self.device} of {self.on} sends overtakes "
            "the rest"
        )

    def check(self, cluster: Cluster) -> None:
        """See that they are a share and a time."""
        super().check(cluster)
        self._in_range("percent", 0.001, 100, "percent")
        self._in_range("milliseconds", 0.001, 60_000, "ms")

    def _discipline(self) -> tuple[str, ...]:
        delay, share = f"{self.milliseconds}ms", f"{self.percent}%"
        return ("netem", "delay", delay, "reorder", share)


@dataclass(frozen=True, kw_only=True)
class NetemRate(_Shaped):
    """No more than so much gets through; the rest waits, and then is dropped.

    By a token bucket, which more kernels have than netem.

    Attributes:
        kbit: how much, in kbit/s.
    """

    kbit: int

    @property
    def told(self) -> str:
        """How much."""
        return f"{self.device} of {self.on} sends no more than {self.kbit} kbit/s"

    def check(self, cluster: Cluster) -> None:
        """See that it is a rate."""
        super().check(cluster)
        self._in_range("kbit", 8, 100_000_000, "kbit/s")

    def _discipline(self) -> tuple[str, ...]:
        # A burst of 50 ms, and of a packet or two at least.
        burst = max(4000, self.kbit * 50 // 8)
        rate = f"{self.kbit}kbit"
        return ("tbf", "rate", rate, "burst", str(burst), "latency", "400ms")
