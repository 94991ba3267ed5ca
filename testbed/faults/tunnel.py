"""VXLAN of a node that is blocked, or that carries or expects something else."""

from __future__ import annotations

import dataclasses
import enum
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from testbed.emulation.wiring import Datapath
from testbed.errors import NotFoundError
from testbed.faults.fault import Fault
from testbed.openflow import Flow
from testbed.ovs import Switch, interface_options, set_interface_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from testbed.faults.site import Site
    from testbed.model import Cluster

_BITS = 12
_PRIORITY = 50_000
"""Above what bridge eth0 has: one flow of priority 0 that switches as any switch."""


class Direction(enum.StrEnum):
    """Which way."""

    IN = "in"
    OUT = "out"
    BOTH = "both"


@dataclass(frozen=True, kw_only=True)
class VxlanBlocked(Fault):
    """The node's firewall drops VXLAN, as after a firewalld reload (openshift-sdn#62).

    iptables has the rule. With the userspace datapath VXLAN does not pass iptables, so
    there bridge eth0 drops it, too, by a flow of the same meaning.

    Attributes:
        direction: ``in``, ``out`` or ``both``.
        port: the UDP port; 0 for the cluster's own.
    """

    direction: Direction = Direction.BOTH
    port: int = 0

    @property
    def told(self) -> str:
        """What is dropped."""
        way = {
            Direction.IN: "that comes in",
            Direction.OUT: "that goes out",
            Direction.BOTH: "both ways",
        }
        return f"{self.on} drops VXLAN (UDP {self.port}) {way[self.direction]}"

    def resolved(self, cluster: Cluster) -> Self:
        """The same with the port."""
        port = self.port or cluster.network.vxlan_port
        return dataclasses.replace(super().resolved(cluster), port=port)

    def rules(self, computed: str) -> str:
        """The rules, and before all others in their chains those that drop it."""
        return "".join(f"{line}\n" for line in self._edited(computed))

    def _edited(self, computed: str) -> Iterator[str]:
        wanted = {
            chain: f"-A {chain} -p udp -m udp --dport {self.port} -j DROP"
            for chain, direction in (("INPUT", Direction.IN), ("OUTPUT", Direction.OUT))
            if self.direction in (direction, Direction.BOTH)
        }
        table = ""
        for line in computed.splitlines():
            table = line[1:] if line.startswith("*") else table
            if table == "filter":
                chain = line.split(" ", 2)[1] if line.startswith("-A ") else ""
                if chain in wanted:
                    yield wanted.pop(chain)
                elif line == "COMMIT":
                    yield from wanted.values()  # their chains are empty
            yield line

    def inject(self, site: Site) -> Mapping[str, object]:
        """Have bridge eth0 drop it, where there is one."""
        if site.datapath is Datapath.SYSTEM:
            return {}
        number = secrets.randbits(_BITS)
        for flow in self._flows(number):
            self._eth0(site).add_flow(flow)
        return {"number": number}

    def undo(self, site: Site, memo: Mapping[str, object]) -> None:
        """Take its flows away again."""
        if isinstance(number := memo.get("number"), int):
            for flow in self._flows(number):
                self._eth0(site).delete_flow(flow)

    def recall(self, site: Site, memo: Mapping[str, object]) -> None:
        """Have bridge eth0 drop it once more."""
        if isinstance(number := memo.get("number"), int):
            for flow in self._flows(number):
                self._eth0(site).add_flow(flow)

    def _eth0(self, site: Site) -> Switch:
        return Switch(run_dir=site.run_dir(self.node), bridge="eth0")

    def _flows(self, number: int) -> Iterator[Flow]:
        """What drops it; by their priorities they differ from another fault's."""
        priority = _PRIORITY + 2 * number
        vxlan = f"tp_dst={self.port}"
        if self.direction is not Direction.OUT:
            yield _flow(priority, ("udp", vxlan), "drop")
        if self.direction is not Direction.BOTH:
            goes = "drop" if self.direction is Direction.OUT else "NORMAL"
            yield _flow(priority + 1, ("udp", "in_port=LOCAL", vxlan), goes)


@dataclass(frozen=True, kw_only=True)
class VxlanCorrupted(Fault):
    """All that the node sends by VXLAN has one VNID, whoever sends it.

    Attributes:
        vnid: that VNID, 0 to 2**24 - 1.
    """

    vnid: int

    @property
    def told(self) -> str:
        """Which VNID."""
        return f"{self.on} sends everything by VXLAN with VNID {self.vnid:#x}"

    def check(self, cluster: Cluster) -> None:
        """See that it is a VNID."""
        del cluster
        if not 0 <= self.vnid < 1 << 24:
            raise NotFoundError(f"{self.kind}: vnid must be 0 to {(1 << 24) - 1}")

    def inject(self, site: Site) -> Mapping[str, object]:
        """Give vxlan0 a key of its own (``options:out_key``)."""
        return _with_options(site, self.node, {"out_key": str(self.vnid)})

    def undo(self, site: Site, memo: Mapping[str, object]) -> None:
        """Give it the options that it had."""
        _restore_options(site, self.node, memo)


@dataclass(frozen=True, kw_only=True)
class VxlanPortWrong(Fault):
    """The node speaks VXLAN on another port than the rest of the cluster (BZ1462842).

    Attributes:
        port: that UDP port.
    """

    port: int

    @property
    def told(self) -> str:
        """Which port."""
        return f"{self.on} speaks VXLAN on UDP {self.port}"

    def check(self, cluster: Cluster) -> None:
        """See that it is a port, and not the cluster's."""
        if not 1 <= self.port <= 65535:
            raise NotFoundError(f"{self.kind}: port must be 1 to 65535")
        if self.port == cluster.network.vxlan_port:
            raise NotFoundError(f"{self.kind}: {self.port} is the cluster's port")

    def inject(self, site: Site) -> Mapping[str, object]:
        """Give vxlan0 another ``options:dst_port``."""
        return _with_options(site, self.node, {"dst_port": str(self.port)})

    def undo(self, site: Site, memo: Mapping[str, object]) -> None:
        """Give it the options that it had."""
        _restore_options(site, self.node, memo)


def _flow(priority: int, match: tuple[str, ...], action: str) -> Flow:
    return Flow(table=0, priority=priority, match=match, actions=(action,))


def _with_options(
    site: Site, node: str, changed: Mapping[str, str]
) -> Mapping[str, object]:
    socket = site.daemons(node).database_socket
    before = interface_options(socket, "vxlan0")
    set_interface_options(socket, "vxlan0", {**before, **changed})
    return {"options": before}


def _restore_options(site: Site, node: str, memo: Mapping[str, object]) -> None:
    options = memo["options"]
    if not isinstance(options, dict):
        raise TypeError(options)
    set_interface_options(site.daemons(node).database_socket, "vxlan0", options)
