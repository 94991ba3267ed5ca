"""Daemons of a node that are dead or hang, and a node that is dead altogether."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from testbed.emulation.nodes import (
    FRAGMENTS,
    dnsmasq_pid,
    introduce_peers,
    restart_dnsmasq,
)
from testbed.emulation.wiring import Datapath, switch_ports
from testbed.errors import EmulationError
from testbed.faults.fault import Fault
from testbed.host.names import underlay_mac
from testbed.ovs import Switch, kill_vswitchd, restart_vswitchd
from testbed.process import end, runs, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testbed.faults.site import Site
    from testbed.openflow import Flow

_TIMEOUT = 30.0
_STOPPED = "Tt"
_DISABLED, _FORWARDING = "0", "3"
"""A bridge port's states. Source: bridge(8)."""


@dataclass(frozen=True, kw_only=True)
class SwitchKilled(Fault):
    """ovs-vswitchd is dead; ovsdb-server runs.

    The kernel's datapath goes on with what it knows until that is too old; the
    userspace one stops at once.
    """

    deaf: ClassVar[bool] = True
    forgets: ClassVar[str] = "undo"

    @property
    def told(self) -> str:
        """What is dead."""
        return f"ovs-vswitchd of {self.on} is dead"

    def inject(self, site: Site) -> Mapping[str, object]:
        """Kill it."""
        kill_vswitchd(site.daemons(self.node))
        return {}

    def undo(self, site: Site, memo: Mapping[str, object]) -> None:
        """Start it again."""
        del memo
        _restart(site, self.node)
        _set_up(site, self.node)


@dataclass(frozen=True, kw_only=True)
class SwitchRestarted(Fault):
    """ovs-vswitchd was restarted, and the flows, which it kept in memory, are lost.

    So is how br0 matches fragments. The SDN, which ran on, has not noticed: it sets
    the bridge up anew when it next starts (openshift-sdn#47).
    """

    forgets: ClassVar[str] = "inject"

    @property
    def told(self) -> str:
        """What was restarted."""
        return f"ovs-vswitchd of {self.on} was restarted, and its flows are lost"

    def flows(self, computed: Sequence[Flow]) -> tuple[Flow, ...]:
        """No flow."""
        del computed
        return ()

    def inject(self, site: Site) -> Mapping[str, object]:
        """Kill it and start it again."""
        kill_vswitchd(site.daemons(self.node))
        _restart(site, self.node)
        return {}

    def undo(self, site: Site, memo: Mapping[str, object]) -> None:
        """Set the bridge up as it was; the flows follow."""
        del memo
        _set_up(site, self.node)


@dataclass(frozen=True, kw_only=True)
class SwitchHung(Fault):
    """ovs-vswitchd does nothing any more, and answers nobody."""

    deaf: ClassVar[bool] = True

    @property
    def told(self) -> str:
        """What hangs."""
        return f"ovs-vswitchd of {self.on} hangs"

    def inject(self, site: Site) -> Mapping[str, object]:
        """Stop it (SIGSTOP)."""
        daemons = site.daemons(self.node)
        daemons.check()
        _stop(daemons.vswitchd_pid)
        return {}

    def undo(self, site: Site, memo: Mapping[str, object]) -> None:
        """Let it go on."""
        del memo
        _go_on(site.daemons(self.node).vswitchd_pid)


@dataclass(frozen=True, kw_only=True)
class DnsmasqDead(Fault):
    """The node's dnsmasq is dead, and its pods resolve no name."""

    @property
    def told(self) -> str:
        """What is dead."""
        return f"dnsmasq of {self.on} is dead"

    def inject(self, site: Site) -> Mapping[str, object]:
        """Kill it."""
        run_dir = site.run_dir(self.node)
        pid = dnsmasq_pid(run_dir)
        if not runs(pid, str(run_dir)):
            raise EmulationError(f"dnsmasq of {self.node} is dead already")
        end(pid)
        return {}

    def undo(self, site: Site, memo: Mapping[str, object]) -> None:
        """Start it again."""
        del memo
        restart_dnsmasq(site.machine(self.node), site.run_dir(self.node))


@dataclass(frozen=True, kw_only=True)
class NodeDead(Fault):
    """The node is gone: nothing comes from it or gets to it, its daemons do nothing.

    Its pods are cut off, even from each other. Nobody has noticed yet: for egress IPs
    that are taken over, name it in the Underlay's ``offlineNodes``.
    """

    deaf: ClassVar[bool] = True

    @property
    def told(self) -> str:
        """Which node."""
        return f"{self.on} is dead"

    def inject(self, site: Site) -> Mapping[str, object]:
        """Disable its port of the underlay's switch, and stop its daemons."""
        daemons = site.daemons(self.node)
        daemons.check()
        self._set_port(site, _DISABLED)
        for pid in self._pids(site):
            _stop(pid)
        return {}

    def undo(self, site: Site, memo: Mapping[str, object]) -> None:
        """Let them go on, and enable the port."""
        del memo
        for pid in self._pids(site):
            _go_on(pid)
        self._set_port(site, _FORWARDING)

    def _pids(self, site: Site) -> tuple[int, ...]:
        run_dir = site.run_dir(self.node)
        dnsmasq = dnsmasq_pid(run_dir)
        alive = (dnsmasq,) if runs(dnsmasq, str(run_dir)) else ()
        return (site.daemons(self.node).vswitchd_pid, *alive)

    def _set_port(self, site: Site, state: str) -> None:
        # Not its link: the kernel takes up to a second to notice that one is up.
        mac = underlay_mac(site.node(self.node).host_ip)
        ports = switch_ports(site.cluster).items()
        port = next(name for name, owner in ports if owner == mac)
        site.switch.run("bridge", "link", "set", "dev", port, "state", state)


def _restart(site: Site, node: str) -> None:
    """Start ovs-vswitchd where it was killed."""
    daemons = site.daemons(node)
    restart_vswitchd(daemons, enter=site.machine(node).argv())
    switch = Switch(run_dir=site.run_dir(node))
    wait_until(switch.answers, timeout=_TIMEOUT, what=f"br0 of {node} is set up again")
    if site.datapath is Datapath.NETDEV:
        # What it learnt by ARP, kernels know anew at once.
        introduce_peers(site.cluster, site.node(node), daemons.control_socket)


def _set_up(site: Site, node: str) -> None:
    Switch(run_dir=site.run_dir(node)).set_fragment_handling(FRAGMENTS)


def _stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    wait_until(
        lambda: _state(pid) in _STOPPED, timeout=_TIMEOUT, what=f"{pid} is stopped"
    )


def _go_on(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
