"""What works inside a sandbox on this machine: each thing is done once, for nothing.

Run as ``python -m testbed.doctor.probe`` in a sandbox of its own; prints JSON: by the
name of each attempt what went wrong, or nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.emulation.prerequisites import TUN
from testbed.errors import SDNError
from testbed.ovs import Appctl, Bridge, configure, start_daemons
from testbed.ovs.daemons import create_database
from testbed.process import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

RULES: Mapping[str, tuple[str, str]] = {
    "addrtype": ("nat", "-A OUTPUT -m addrtype --dst-type LOCAL -j RETURN"),
    "comment": ("filter", '-A INPUT -m comment --comment "a b" -j ACCEPT'),
    "conntrack": ("filter", "-A INPUT -m conntrack --ctstate NEW -j ACCEPT"),
    "mark": ("filter", "-A INPUT -m mark --mark 0x1/0x1 -j ACCEPT"),
    "physdev": ("filter", "-A FORWARD -m physdev ! --physdev-is-in -j ACCEPT"),
    "recent": ("filter", "-A INPUT -m recent --set --name x --rsource -j ACCEPT"),
    "statistic": (
        "filter",
        "-A INPUT -m statistic --mode random --probability 0.5 -j ACCEPT",
    ),
    "tcp": ("filter", "-A INPUT -p tcp -m tcp --dport 1 -j ACCEPT"),
    "udp": ("filter", "-A INPUT -p udp -m udp --dport 1 -j ACCEPT"),
    "DNAT": ("nat", "-A PREROUTING -p tcp -j DNAT --to-destination 192.0.2.1:1"),
    "MARK": ("mangle", "-A PREROUTING -j MARK --set-xmark 0x1/0x1"),
    "MASQUERADE": ("nat", "-A POSTROUTING -j MASQUERADE"),
    "REJECT": ("filter", "-A INPUT -j REJECT --reject-with icmp-port-unreachable"),
    "SNAT": ("nat", "-A POSTROUTING -j SNAT --to-source 192.0.2.1"),
}
"""Every match and target of iptables that a node's rules use, with a rule that has it.

Targets are in capitals, as iptables writes them.
"""

APPCTL_COMMANDS = (
    ("bridge/dump-flows", "probe"),
    ("ofproto/trace", "probe", "in_port=LOCAL"),
    ("revalidator/pause",),
    ("revalidator/resume",),
    ("tnl/neigh/aging",),
)
"""What is asked of ovs-vswitchd, and older ones may not know."""

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000


def main() -> None:
    """Try everything and say how it went."""
    json.dump(dict(attempts()), sys.stdout)


def attempts() -> Iterator[tuple[str, str]]:
    """Yield the name of each attempt, and what went wrong with it or nothing."""
    yield "veth", _said(_make_veth)
    yield "bridge", _said(lambda: run(["ip", "link", "add", "b0", "type", "bridge"]))
    yield "tap", _said(_make_tap)
    yield "conntrack", _said(lambda: run(["conntrack", "-L"]))
    yield "netem", _said(lambda: _shape("netem", "delay", "1ms"))
    yield "htb", _said(lambda: _shape("htb"))
    for name in RULES:
        yield f"iptables {name}", _said(partial(_load, *RULES[name]))
    yield "iptables-save", _said(lambda: run(["iptables-save"]))
    yield "ovs-vswitchd", _said(_start_switch)
    if Path("/sys/module/openvswitch").exists():
        yield "kernel datapath", _said(lambda: run(["ovs-dpctl", "add-dp", "probe"]))


def _said(attempt: Callable[[], object]) -> str:
    """What went wrong, in one line."""
    try:
        attempt()
    except (SDNError, OSError) as error:
        lines = str(error).strip().splitlines()
        return lines[0] if lines else type(error).__name__
    return ""


def _make_veth() -> None:
    run(["ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"])


def _make_tap() -> None:
    """As userspace makes its internal ports (Documentation/networking/tuntap)."""
    descriptor = os.open(TUN, os.O_RDWR)
    try:
        request = struct.pack("16sH22x", b"t0", _IFF_TAP | _IFF_NO_PI)
        fcntl.ioctl(descriptor, _TUNSETIFF, request)
    finally:
        os.close(descriptor)


def _shape(kind: str, *options: str) -> None:
    run(["tc", "qdisc", "replace", "dev", "v0", "root", kind, *options])


def _load(table: str, rule: str) -> None:
    run(["iptables-restore", "--noflush"], stdin=f"*{table}\n{rule}\nCOMMIT\n")


def _start_switch() -> None:
    directory = Path("/run/testbed/probe")
    directory.mkdir()
    create_database(directory / "empty.db")
    with start_daemons(
        directory,
        database=directory / "empty.db",
        options=["--enable-dummy=override", "--disable-system"],
    ) as daemons:
        # Most commands come with the first bridge.
        bridge = Bridge(name="probe", datapath_type="dummy", ports=())
        configure(daemons.database_socket, [bridge], "")
        with Appctl(daemons.control_socket) as appctl:
            for command in APPCTL_COMMANDS:
                appctl(*command)


if __name__ == "__main__":
    main()
