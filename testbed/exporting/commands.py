"""What the SDN's two collecting tools have in common. Pure.

``hack/debug.sh`` came first; ``oc adm diagnostics NetworkCheck`` is its rewrite in Go,
and runs the same commands into files of the same names, but for a few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.exporting.collection import File

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from testbed.exporting.collection import Collection
    from testbed.model import HostSubnet

CPE = "cpe:/o:centos:centos:7\n"
"""What ``/etc/system-release-cpe`` holds."""

NMCLI = (
    ("nmcli-dev", "nmcli --nocheck -f all dev show"),
    ("nmcli-con", "nmcli --nocheck -f all con show"),
)
IP = (
    ("addresses", "ip addr show"),
    ("routes", "ip route show"),
)
HOST = (
    ("iptables", "iptables-save"),
    ("hosts", "cat /etc/hosts"),
    ("resolv.conf", "cat /etc/resolv.conf"),
    ("modules", "lsmod"),
    ("sysctl", "sysctl -a"),
)
NODE = (
    ("flows", "ovs-ofctl -O OpenFlow13 dump-flows br0"),
    ("ovs-show", "ovs-ofctl -O OpenFlow13 show br0"),
    ("tc-qdisc", "tc qdisc show"),
    ("tc-class", "tc class show"),
    ("tc-filter", "tc filter show"),
    ("docker-unit-file", "systemctl cat docker.service"),
)


def outputs(
    collection: Collection,
    node: HostSubnet,
    folder: str,
    commands: Iterable[tuple[str, str]],
    shown: Callable[[str, str | None], str],
) -> Iterator[File]:
    """Yield a file for each command that is run on a node.

    Args:
        collection: the cluster.
        node: where.
        folder: where the files go.
        commands: file name and command.
        shown: what a tool makes of a command and what it printed; that is ``None``
            where there is no such command.
    """
    for name, command in commands:
        printed = collection.answers.node(node.name, command)
        yield File(f"{folder}/{name}", shown(command, printed))
