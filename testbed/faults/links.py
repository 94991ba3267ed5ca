"""Links of a node that are down, come and go, or take other sizes."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.emulation.wiring import VXLAN_OVERHEAD
from testbed.errors import NotFoundError
from testbed.faults.devices import (
    check_device,
    interface,
    is_there,
    mtu_of,
    noted_routes,
    restore_routes,
    routes_of,
)
from testbed.faults.fault import Fault
from testbed.ovs import set_interface_mtu
from testbed.process import end, runs, spawn, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbed.faults.site import Site
    from testbed.model import Cluster

_TIMEOUT = 30.0
_FLAPPER = "testbed.faults.flapper"
_SMALLEST, _LARGEST = 68, 65485
"""The MTUs that the kernel and VXLAN allow."""


@dataclass(frozen=True, kw_only=True)
class MtuDrifted(Fault):
    """An interface of the node has an MTU that the SDN did not give it.

    On tun0 as in BZ1564346; on eth0 the packets of VXLAN no longer fit.

    Attributes:
        device: ``tun0`` or ``eth0``.
        mtu: in bytes, 68 to 65485.
    """

    device: str
    mtu: int

    @property
    def told(self) -> str:
        """Which interface takes how much."""
        return f"{self.on} has an MTU of {self.mtu} on {self.device}"

    def check(self, cluster: Cluster) -> None:
        """See that it is another MTU of an interface of the node's own."""
        right = cluster.underlay.mtu
        should = {"tun0": right, "eth0": right + VXLAN_OVERHEAD}
        if self.device not in should:
            raise NotFoundError(
                f"{self.kind}: no device {self.device}; there are: {', '.join(should)}"
            )
        if not _SMALLEST <= self.mtu <= _LARGEST:
            raise NotFoundError(f"{self.kind}: mtu must be {_SMALLEST} to {_LARGEST}")
        if self.mtu == should[self.device]:
            raise NotFoundError(f"{self.kind}: {self.mtu} is what {self.device} has")

    def inject(self, site: Site) -> Mapping[str, object]:
        """Change it; Open vSwitch would put back what was changed behind its back."""
        machine = site.machine(self.node)
        if self.device == "tun0":
            socket = site.daemons(self.node).database_socket
            before = set_interface_mtu(socket, "tun0", self.mtu)
            self._await(site, {"tun0": self.mtu})
            return {"request": before, "is": {"tun0": before}}
        names = dict.fromkeys((site.datapath.uplink, "eth0"))
        was = {name: mtu_of(machine, name) for name in names}
        machine.configure_links(f"link set {site.datapath.uplink} mtu {self.mtu}\n")
        self._await(site, dict.fromkeys(names, self.mtu))
        return {"is": was}

    def undo(self, site: Site, memo: Mapping[str, object]) -> None:
        """Change it back."""
        was = memo["is"]
        if not isinstance(was, dict):
            raise TypeError(was)
        if self.device == "tun0":
            request = memo["request"]
            socket = site.daemons(self.node).database_socket
            mtu = request if isinstance(request, int) else None
            set_interface_mtu(socket, "tun0", mtu)
        else:
            uplink = site.datapath.uplink
            site.machine(self.node).configure_links(
                f"link set {uplink} mtu {was[uplink]}\n"
            )
        self._await(site, {name: mtu for name, mtu in was.items() if mtu})

    def _await(self, site: Site, wanted: Mapping[str, int]) -> None:
        """Until all have it: with the userspace datapath, bridge eth0 follows."""
        machine = site.machine(self.node)
        wait_until(
            lambda: all(mtu_of(machine, name) == mtu for name, mtu in wanted.items()),
            timeout=_TIMEOUT,
            what=f"{self.node} has an MTU of {wanted}",
        )


@dataclass(frozen=True, kw_only=True)
class _LinkFault(Fault):
    """Something that is wrong with a link.

    Attributes:
        device: ``eth0``, ``tun0``, or a pod of the node (``namespace/name``) for the
            node's end of its wire.
    """

    device: str

    def check(self, cluster: Cluster) -> None:
        """See that the node has the interface."""
        check_device(self.kind, cluster, self.node, self.device)

    def _restore(self, site: Site, memo: Mapping[str, object]) -> None:
        machine, name = site.machine(self.node), str(memo["interface"])
        if not is_there(machine, name):
            return  # it went with its pod
        machine.configure_links(f"link set {name} up\n")
        restore_routes(machine, name, noted_routes(memo))
        wait_until(
            lambda: "LOWER_UP" in machine.run("ip", "link", "show", name),
            timeout=_TIMEOUT,
            what=f"{name} of {self.node} has a carrier",
        )

    def _kept(self, site: Site) -> dict[str, object]:
        machine = site.machine(self.node)
        name = interface(site.cluster, self.device, site.datapath)
        return {"interface": name, "routes": routes_of(machine, name)}


@dataclass(frozen=True, kw_only=True)
class LinkDown(_LinkFault):
    """A link is down: the node's wire, tun0, or that to a pod."""

    @property
    def told(self) -> str:
        """Which link."""
        return f"{self.device} of {self.on} is down"

    def inject(self, site: Site) -> Mapping[str, object]:
        """Set it down; its routes go with it."""
        memo = self._kept(site)
        site.machine(self.node).configure_links(f"link set {memo['interface']} down\n")
        return memo

    def undo(self, site: Site, memo: Mapping[str, object]) -> None:
        """Set it up, with the routes that it had."""
        self._restore(site, memo)


@dataclass(frozen=True, kw_only=True)
class LinkFlapping(_LinkFault):
    """A link goes down and comes up again, over and over.

    Attributes:
        period: seconds from one time to the next, 0.05 to 3600; it is down for half.
    """

    period: float = 1.0

    @property
    def told(self) -> str:
        """Which link, and how often."""
        return f"{self.device} of {self.on} goes down every {self.period:g} s"

    def check(self, cluster: Cluster) -> None:
        """See that the node has the interface, and that the period is one."""
        super().check(cluster)
        if not 0.05 <= self.period <= 3600:
            raise NotFoundError(f"{self.kind}: period must be 0.05 to 3600 seconds")

    def inject(self, site: Site) -> Mapping[str, object]:
        """Set it down, and start a process that does the rest."""
        memo = self._kept(site)
        name = str(memo["interface"])
        site.machine(self.node).configure_links(f"link set {name} down\n")
        pid = spawn(
            [
                *(sys.executable, "-m", _FLAPPER),
                *(self.node, name, str(self.period), json.dumps(memo["routes"])),
            ]
        )
        return {**memo, "pid": pid}

    def undo(self, site: Site, memo: Mapping[str, object]) -> None:
        """End it, and leave the link up."""
        pid = memo["pid"]
        if isinstance(pid, int) and runs(pid, _FLAPPER):
            end(pid)
        self._restore(site, memo)
