"""What this machine offers, found out before anything is built."""

from __future__ import annotations

import os
from pathlib import Path

from testbed.emulation.wiring import Datapath
from testbed.errors import PrerequisiteError

_TUN = "/dev/net/tun"


def choose_datapath(insisted: Datapath | None = None) -> Datapath:
    """The kernel's datapath where its module is loaded, else the userspace one.

    Raises:
        PrerequisiteError: what the datapath needs is missing.
    """
    loaded = Path("/sys/module/openvswitch").exists()
    if insisted is Datapath.SYSTEM and not loaded:
        raise PrerequisiteError(
            "datapath system needs the kernel module openvswitch; "
            "type: sudo modprobe openvswitch"
        )
    chosen = insisted or (Datapath.SYSTEM if loaded else Datapath.NETDEV)
    if chosen is Datapath.NETDEV:
        _check_tun()
    return chosen


def _check_tun() -> None:
    """Userspace makes its internal ports with this device."""
    try:
        os.close(os.open(_TUN, os.O_RDWR | os.O_CLOEXEC))
    except PermissionError as error:
        raise PrerequisiteError(
            f"datapath netdev needs {_TUN}, which this user may not open; "
            f"type: sudo chmod 666 {_TUN}"
        ) from error
    except OSError as error:
        raise PrerequisiteError(
            f"datapath netdev needs {_TUN}: {error.strerror}; type: sudo modprobe tun"
        ) from error
