"""What this machine offers, found out before anything is built.

Only what would keep a cluster from being built; ``testbed.doctor`` looks closer.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.emulation.visitor import program_path
from testbed.emulation.wiring import Datapath
from testbed.errors import PrerequisiteError

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAMS: Mapping[str, str] = {
    "ovs-vswitchd": "openvswitch-switch",
    "ovsdb-server": "openvswitch-switch",
    "ovsdb-tool": "openvswitch-switch",
    "ovs-ofctl": "openvswitch-switch",
    "ovs-vsctl": "openvswitch-switch",
    "mnexec": "mininet",
    "ip": "iproute2",
    "bridge": "iproute2",
    "ping": "iputils-ping",
    "ethtool": "ethtool",
    "iptables-restore": "iptables",
    "iptables-save": "iptables",
    "conntrack": "conntrack",
    "dnsmasq": "dnsmasq-base",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
    "sleep": "coreutils",
}
"""Every program that is run, and the package it is in on Debian and Ubuntu."""

TUN = Path("/dev/net/tun")
"""With this device userspace makes its internal ports."""


def choose_datapath(insisted: Datapath | None = None) -> Datapath:
    """The kernel's datapath where its module is loaded, else the userspace one.

    Raises:
        PrerequisiteError: what the datapath needs is missing, or a program.
    """
    if missing := missing_programs():
        raise PrerequisiteError(_not_installed(missing))
    loaded = Path("/sys/module/openvswitch").exists()
    if insisted is Datapath.SYSTEM and not loaded:
        raise PrerequisiteError(
            "datapath system needs the kernel module openvswitch; "
            "type: sudo modprobe openvswitch"
        )
    chosen = insisted or (Datapath.SYSTEM if loaded else Datapath.NETDEV)
    if chosen is Datapath.NETDEV and (problem := tun_problem()):
        raise PrerequisiteError(f"datapath netdev needs {TUN}: {problem}")
    return chosen


def missing_programs() -> tuple[str, ...]:
    """Which of the programs are not installed."""
    path = program_path(os.environ.get("PATH", os.defpath))
    return tuple(name for name in PROGRAMS if not shutil.which(name, path=path))


def install(programs: tuple[str, ...]) -> str:
    """What to type to have programs installed."""
    packages = dict.fromkeys(PROGRAMS[name] for name in programs)
    return f"sudo apt install {' '.join(packages)}"


def tun_problem() -> str:
    """What keeps this user from ``TUN``, and what to type; or nothing."""
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
    except PermissionError:
        return f"this user may not open it; type: sudo chmod 666 {TUN}"
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        return f"{said}; type: sudo modprobe tun"
    return ""


def _not_installed(programs: tuple[str, ...]) -> str:
    are = "is" if len(programs) == 1 else "are"
    names = ", ".join(programs)
    return f"{names} {are} not installed; type: {install(programs)}"
