"""The files of a sosreport of each machine. Pure.

Each command's output is a file named after it, with all that is no letter, digit, dot,
dash or slash an underscore and each slash a dot. Pods' networks are not looked into,
and no policies are collected; the first node is the master.

Source: sosreport 3.6 sos/plugins (__init__, host, kernel, kubernetes, networking,
openvswitch, origin).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from testbed.exporting.collection import File

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.exporting.collection import Collection
    from testbed.model import HostSubnet

_COMMANDS = (
    ("host", "hostname"),
    ("kernel", "lsmod"),
    ("kernel", "sysctl -a"),
    ("networking", "ip -o addr"),
    ("networking", "ip address"),
    ("networking", "ip route show table all"),
    ("networking", "ip neigh show"),
    ("networking", "tc -s qdisc show"),
    ("networking", "iptables-save"),
    ("networking", "netstat -W -neopa"),
    ("openvswitch", "ovs-vsctl -t 5 show"),
    ("openvswitch", "ovs-dpctl -s show"),
    ("origin", "ovs-ofctl -O OpenFlow13 dump-flows br0"),
    ("origin", "ovs-ofctl -O OpenFlow13 dump-ports-desc br0"),
)
_OC = "oc --config=/etc/origin/master/admin.kubeconfig"
_NAME_LENGTH = 255
_NOT_THERE = "timeout: failed to run command '{}': No such file or directory"
"""What sos finds in the place of output: it runs everything by ``timeout``."""


def sos(collection: Collection) -> Iterator[File]:
    """Yield the files of every machine's report, side by side."""
    for node in collection.cluster.nodes:
        top = f"sosreport-{node.name}-{collection.moment:%Y%m%d%H%M%S}"
        for file in _report(collection, node):
            yield File(f"{top}/{file.path}", file.text)


def archive_name(collection: Collection) -> str:
    """A name for a tarball of all the reports."""
    return f"sosreports-{collection.moment:%Y-%m-%d}.tgz"


def mangled(command: str) -> str:
    """The name of the file that a command's output is in."""
    name = re.sub(r"^/(usr/|)(bin|sbin)/", "", command)
    name = re.sub(r"[^\w\-\.\/]+", "_", name)
    return name.replace("/", ".").strip(" ._-")[:_NAME_LENGTH]


def _report(collection: Collection, node: HostSubnet) -> Iterator[File]:
    answers = collection.answers
    yield File("hostname", f"{node.name}\n")
    for plugin, command in _COMMANDS:
        printed = answers.node(node.name, command)
        if printed is None:
            program = command.partition(" ")[0]
            printed = f"{_NOT_THERE.format(program)}\n"
        yield _output(plugin, command, printed)
    for path in ("/etc/hosts", "/etc/resolv.conf"):
        yield File(path[1:], answers.node(node.name, f"cat {path}") or "")
    if node == collection.master:
        yield from _master(collection)


def _master(collection: Collection) -> Iterator[File]:
    api = collection.api
    for name in ("hostsubnet", "clusternetwork", "netnamespaces"):
        yield _output("origin", f"{_OC} get -o json {name}", api.json(name))
    for name in ("pods", "services"):
        command = f"oc get --all-namespaces=true {name}"
        yield _output(f"kubernetes/{name}", command, api.table(name))


def _output(plugin: str, command: str, text: str) -> File:
    return File(f"sos_commands/{plugin}/{mangled(command)}", text)
